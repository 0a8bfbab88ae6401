"""Evidently reports, made in another process and handed back as two files, or as one line that says what went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

import monitoring

MAX_ROWS: Final = 20_000
"""Rows of either side handed to Evidently (drawn by seed): its plots and copies cost some 10 kB a row at 30 columns."""

MAX_CATEGORIES: Final = 200
"""A column of more categories is judged, but not drawn: a bar for each would be no picture."""


@dataclass(frozen=True)
class Finding:
    """One feature as the page's own table tells it."""

    name: str
    categorical: bool
    distance: float | None
    limit: float | None
    verdict: str
    """drift, quiet, or why it was not judged"""
    remarks: tuple[str, ...] = ()
    missing_counts: bool = True
    """Whether a missing value is a value of its own; not so for scores, which fitted rows simply do not have."""


@dataclass(frozen=True)
class Report:
    """A finished report."""

    html: Path
    json: Path
    distances: dict[str, float]
    """Evidently's own figure by feature."""
    left_out: tuple[str, ...]
    """Features judged but not drawn (empty on a side, or too many categories)."""


class ReportError(Exception):
    """The report could not be made; the text says why in one line. The decision does not hang on it."""


def make_report(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    findings: Sequence[Finding],
    *,
    title: str,
    lines: Sequence[str],
    html: Path,
    json_path: Path,
    weights: Any = None,
    seed: int = 0,
    timeout_s: float = 180.0,
) -> Report:
    """Write the report of ``current`` against ``reference`` to ``html`` and ``json_path``.

    Both frames hold a column per finding, named as it (numbers float64, missing NaN; categories strings).
    ``weights``: of the reference's rows, where it is weighted (float64, shape (n,)); it is then drawn by them.
    Raises ReportError; files that were there stay as they were.
    """
    drawable = [f for f in findings if f.limit is not None and _drawable(f, reference, current)]
    left_out = tuple(f.name for f in findings if f not in drawable)
    if not drawable:
        raise ReportError("no feature has values on both sides")
    names = [f.name for f in drawable]
    html.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="parked-report-") as name:
        folder = Path(name)
        drawn = _draw(reference[names], seed, weights)
        drawn.to_parquet(folder / "reference.parquet", index=False)
        _draw(current[names], seed).to_parquet(folder / "current.parquet", index=False)
        spec = {
            "title": title,
            "lines": list(lines),
            "columns": [
                {
                    "name": f.name,
                    "categorical": f.categorical,
                    "limit": f.limit,
                    "missing_counts": f.missing_counts,
                }
                for f in drawable
            ],
            "findings": [{**vars(f), "remarks": list(f.remarks)} for f in findings],
        }
        (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        _run_job(folder, html, json_path, timeout_s)
    return Report(html, json_path, read_distances(json_path), left_out)


def _run_job(folder: Path, html: Path, json_path: Path, timeout_s: float) -> None:
    command = [sys.executable, "-m", "monitoring.report_job"]
    for option in ("reference.parquet", "current.parquet", "spec.json"):
        command += [f"--{option.split('.')[0]}", str(folder / option)]
    command += ["--html", str(html), "--json", str(json_path)]
    root = str(Path(monitoring.__file__).parent.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "DO_NOT_TRACK": "1",
        "ITERATIVE_DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise ReportError(f"Evidently took longer than {timeout_s:.0f} s and was stopped") from None
    except OSError as error:
        raise ReportError(f"Evidently's process could not be started: {error}") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise ReportError(f"Evidently failed: {said[-1] if said else f'exit code {done.returncode}'}")


def read_distances(json_path: Path) -> dict[str, float]:
    """Evidently's drift figure by column, from the JSON of a report. Raises ReportError where it is no report."""
    try:
        document = json.loads(json_path.read_text(encoding="utf-8"))
        metrics = document["evidently"]["metrics"]
        drift = (m for m in metrics if m["config"]["type"].endswith(":ValueDrift"))
        return {m["config"]["column"]: float(m["value"]) for m in drift if m["value"] is not None}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{json_path}: not an Evidently report ({type(error).__name__}: {error})") from None


def _drawable(finding: Finding, reference: pd.DataFrame, current: pd.DataFrame) -> bool:
    sides = (reference[finding.name], current[finding.name])
    if finding.categorical:
        return all(len(side) > 0 for side in sides) and pd.concat(sides).nunique() <= MAX_CATEGORIES
    return all(bool(side.notna().any()) for side in sides)


def _draw(frame: pd.DataFrame, seed: int, weights: Any = None) -> pd.DataFrame:
    if weights is None and len(frame) <= MAX_ROWS:
        return frame
    replace = weights is not None  # a weighted sample without replacement would not keep the weights' shares
    return frame.sample(n=min(len(frame), MAX_ROWS), replace=replace, weights=weights, random_state=seed)
