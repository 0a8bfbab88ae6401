"""One Evidently report, in a process of its own: ``python -m monitoring.report_job --reference ... --current ...``.

Evidently costs seconds of CPU and 300 MB to import and loses a whole report on one bad column; so nobody imports this
module, ``monitoring.report`` starts it, hands it Parquet files it has looked through, and bounds its time. What was
learnt of 0.7.23 by running it:

* custom statistics go in through ``register_stattest``; the series they get have lost their missing values, which are
  put back here, so that Evidently's figure is the one the triggers judge;
* column types come from an explicit ``DataDefinition``, numbers as float64;
* ``Report(include_tests=True)`` yields tests, the preset's own argument does not;
* its JSON may hold bare NaN, which no strict reader takes.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")  # read when Evidently is imported: it must not phone home
os.environ.setdefault("ITERATIVE_DO_NOT_TRACK", "1")

import numpy as np
import pandas as pd

from monitoring.statistics import js_distance, ks_distance
from parked.errors import first_line
from parked.files import write_text

METHOD_NUMBERS = "parked_ks"
METHOD_CATEGORIES = "parked_js"


def main(arguments: list[str] | None = None) -> int:
    """Make the report; on a fault one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.report_job", description="One Evidently report.")
    for name in ("reference", "current", "spec", "html", "json"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")  # numpy's and plotly's, about constant columns: not for the caller's stderr
    try:
        spec = json.loads(given.spec.read_text(encoding="utf-8"))
        reference, current = pd.read_parquet(given.reference), pd.read_parquet(given.current)
        snapshot = run_evidently(reference, current, spec["columns"])
        write_text(given.html, page(snapshot.get_html_str(as_iframe=False), spec))
        document = {key: value for key, value in spec.items() if key != "columns"}
        document |= {"columns": spec["columns"], "evidently": json.loads(snapshot.json())}
        write_text(given.json, json.dumps(without_nan(document), indent=1, allow_nan=False) + "\n")
    except Exception as error:  # whatever Evidently trips over must come back as one line, not as a traceback
        sys.stderr.write(f"{type(error).__name__}: {first_line(error)}\n")
        return 1
    return 0


def run_evidently(reference: pd.DataFrame, current: pd.DataFrame, columns: list[dict[str, Any]]) -> Any:
    """The drift and summary report of ``columns`` (fields as in ``monitoring.report``), as Evidently's snapshot."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    _register(reference, current, {column["name"] for column in columns if column["missing_counts"]})
    numbers = [column["name"] for column in columns if not column["categorical"]]
    categories = [column["name"] for column in columns if column["categorical"]]
    names = numbers + categories
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    report = Report(
        [
            DataDriftPreset(
                columns=names,
                per_column_method={
                    **dict.fromkeys(numbers, METHOD_NUMBERS),
                    **dict.fromkeys(categories, METHOD_CATEGORIES),
                },
                per_column_threshold={column["name"]: column["limit"] for column in columns},
                # Evidently's own verdict on the whole table: true as soon as one column is over its limit.
                drift_share=1 / len(names),
            ),
            DataSummaryPreset(columns=names),
        ],
        include_tests=True,
    )
    as_dataset = [
        Dataset.from_pandas(
            frame[names].astype(dict.fromkeys(numbers, np.float64)).reset_index(drop=True), data_definition=definition
        )
        for frame in (current, reference)
    ]
    return report.run(*as_dataset)


def _register(reference: pd.DataFrame, current: pd.DataFrame, missing_counts: set[str]) -> None:
    """Teach Evidently the two statistics the triggers judge by."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def with_missing(kept: pd.Series, frame: pd.DataFrame) -> Any:
        missing = len(frame) - len(kept) if kept.name in missing_counts else 0
        return np.concatenate([kept.to_numpy(dtype=np.float64), np.full(missing, np.nan)])

    def ks(before: pd.Series, now: pd.Series, _kind: Any, limit: float) -> tuple[float, bool]:
        distance = ks_distance(with_missing(before, reference), with_missing(now, current))
        return distance, distance >= limit

    def js(before: pd.Series, now: pd.Series, _kind: Any, limit: float) -> tuple[float, bool]:
        distance = js_distance(before.tolist(), now.tolist())
        return distance, distance >= limit

    for name, shown, kind, function in (
        (METHOD_NUMBERS, "Kolmogorov-Smirnov D", ColumnType.Numerical, ks),
        (METHOD_CATEGORIES, "Jensen-Shannon distance", ColumnType.Categorical, js),
    ):
        test = StatTest(name=name, display_name=shown, allowed_feature_types=[kind], default_threshold=0.1)
        register_stattest(test, function)


def page(evidently_html: str, spec: Mapping[str, Any]) -> str:
    """Evidently's page under a title and a table that say what is compared and what was found."""
    title = html.escape(spec["title"])
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in spec["lines"])
    head = "".join(f"<th>{h}</th>" for h in ("feature", "distance", "limit", "verdict", "what else"))
    body = "".join(_row(finding) for finding in spec["findings"])
    style = (
        "<style>.parked{font:15px/1.5 sans-serif;margin:24px auto;max-width:1100px}"
        ".parked td,.parked th{padding:3px 14px;text-align:left;border-bottom:1px solid #ddd}"
        ".parked .drift{background:#fdecea;font-weight:600}</style>"
    )
    top = f'<div class="parked"><h1>{title}</h1>{lines}<table><tr>{head}</tr>{body}</table></div>'
    with_title = evidently_html.replace("<head>", f"<head><title>{title}</title>{style}", 1)
    return with_title.replace("<body>", f"<body>{top}", 1)


def _row(finding: Mapping[str, Any]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    cells = (
        finding["name"],
        number(finding["distance"]),
        number(finding["limit"]),
        finding["verdict"],
        ", ".join(finding["remarks"]),
    )
    kind = ' class="drift"' if finding["verdict"] == "drift" else ""
    return f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def without_nan(value: Any) -> Any:
    """The same JSON value with null for NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


if __name__ == "__main__":
    sys.exit(main())
