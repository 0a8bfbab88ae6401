"""The real Evidently, in its own process, once; what goes wrong around it by other means."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring import report
from monitoring.report import Finding, Report, ReportError, make_report
from monitoring.report_job import without_nan
from monitoring.statistics import js_distance, ks_distance

ROWS = 800


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)

    def one(shift: float, lost: float) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "accuracy_m": rng.normal(shift, 1, ROWS),
                "walked_m": np.where(rng.random(ROWS) < lost, np.nan, rng.normal(0, 1, ROWS)),
                "motion": rng.choice(["on_foot", "still", ""], ROWS).astype(object),
                "constant": np.ones(ROWS),
                "gone": np.full(ROWS, np.nan),
            }
        )

    return one(0.0, 0.1), one(1.0, 0.6)


FINDINGS = (
    Finding("accuracy_m", False, 0.38, 0.1, "drift", ("out of the training range 2.0%",)),
    Finding("walked_m", False, 0.5, 0.1, "drift"),
    Finding("motion", True, 0.03, 0.2, "quiet"),
    Finding("constant", False, 0.0, 0.05, "quiet"),
    Finding("gone", False, None, None, "not judged", ("no value at all <as in training>",)),
)


def make(folder: Path, **options: Any) -> Report:
    reference, current = frames()
    given: dict[str, Any] = {
        "title": "what parking:1 was served",
        "lines": ["800 rows & more"],
        "html": folder / "report.html",
        "json_path": folder / "report.json",
        **options,
    }
    return make_report(reference, current, FINDINGS, **given)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make(tmp_path_factory.mktemp("report"))


def test_evidently_measures_what_the_triggers_judge(made: Report) -> None:
    reference, current = frames()
    for name in ("accuracy_m", "walked_m", "constant"):
        assert made.distances[name] == pytest.approx(ks_distance(reference[name], current[name]))
    assert made.distances["motion"] == pytest.approx(js_distance(reference["motion"], current["motion"]))


def test_a_column_that_went_missing_is_drift_to_evidently_too(made: Report) -> None:
    assert made.distances["walked_m"] > 0.4


def test_an_all_null_column_is_left_out_and_named_and_does_not_lose_the_report(made: Report) -> None:
    assert made.left_out == ("gone",)
    assert "no value at all &lt;as in training&gt;" in made.html.read_text(encoding="utf-8")


def test_the_page_says_what_is_compared_and_what_drifted(made: Report) -> None:
    page = made.html.read_text(encoding="utf-8")
    assert "<title>what parking:1 was served</title>" in page
    assert "800 rows &amp; more" in page
    assert '<tr class="drift"><td>accuracy_m</td><td>0.380</td><td>0.100</td><td>drift</td>' in page
    assert '<tr class="drift"><td>motion</td>' not in page


def test_the_page_loads_nothing_from_elsewhere(made: Report) -> None:
    page = made.html.read_text(encoding="utf-8")
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "<script" in page
    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:)\w+:""", markup) == []
    assert re.findall(r"<script[^>]*\ssrc", page) == []


def test_the_json_is_strict_and_holds_evidentlys_tests(made: Report) -> None:
    document = json.loads(made.json.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(name))
    failed = [t["name"] for t in document["evidently"]["tests"] if t["status"] == "FAIL" and "Drift" in t["name"]]
    assert any("accuracy_m" in name for name in failed)
    assert not any("motion" in name for name in failed)


def test_a_report_that_takes_too_long_is_stopped_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"^Evidently took longer than 0 s and was stopped$"):
        make(tmp_path, timeout_s=0.05)
    assert list(tmp_path.iterdir()) == []


def test_what_evidently_trips_over_comes_back_as_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def job(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        seen.update(options["env"])
        return subprocess.CompletedProcess(command, 1, "", "a warning\nValueError: column x\n")

    monkeypatch.setattr(subprocess, "run", job)
    with pytest.raises(ReportError, match=r"^Evidently failed: ValueError: column x$"):
        make(tmp_path)
    assert (seen["DO_NOT_TRACK"], seen["ITERATIVE_DO_NOT_TRACK"]) == ("1", "1")


def test_nothing_to_draw_is_told_without_starting_evidently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_o: pytest.fail("started"))
    reference, current = frames()
    with pytest.raises(ReportError, match="no feature has values on both sides"):
        make_report(
            reference,
            current,
            FINDINGS[-1:],
            title="t",
            lines=[],
            html=tmp_path / "r.html",
            json_path=tmp_path / "r.json",
        )


def test_many_rows_are_drawn_by_seed_and_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_ROWS", 1000)
    frame = pd.DataFrame({"x": np.arange(5000)})
    assert len(report._draw(frame, 1)) == 1000
    assert report._draw(frame, 1).equals(report._draw(frame, 1))
    weights = np.where(np.arange(5000) < 2500, 3.0, 1.0)
    assert (report._draw(frame, 1, weights)["x"] < 2500).mean() == pytest.approx(0.75, abs=0.05)


def test_nan_becomes_null_at_any_depth() -> None:
    assert without_nan({"a": [float("nan"), {"b": float("inf")}, 1.5]}) == {"a": [None, {"b": None}, 1.5]}


def test_the_monitor_itself_never_imports_evidently() -> None:
    code = "import monitoring.loop, monitoring.refit, cli.monitor, sys; print('evidently' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
