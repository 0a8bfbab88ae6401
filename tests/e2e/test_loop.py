"""The whole loop through real processes, once on a small simulated world; then its model on real drives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PHONES, DAYS = 45, 8


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """``parked demo`` as a user runs it: a real server, a real Evidently process; its figures."""
    home = tmp_path_factory.mktemp("home")
    command = [
        str(Path(sys.executable).parent / "parked"),
        "demo",
        "--devices",
        str(PHONES),
        "--days",
        str(DAYS),
        "--json",
    ]
    done = subprocess.run(
        command, env=os.environ | {"PARKED_HOME": str(home)}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


pytestmark = [pytest.mark.e2e, pytest.mark.timeout(700)]


def test_nothing_read_is_lost(demo: dict[str, Any]) -> None:
    for counts in (demo["ingested"], demo["ingested_after"]):
        assert counts["read"] > 10_000
        assert counts["read"] == counts["accepted"] + counts["duplicates"] + counts["quarantined"]


def test_the_served_model_finds_most_vehicles_and_most_pins_are_right(demo: dict[str, Any]) -> None:
    before = demo["before"]
    assert before["asked"] >= PHONES * 5
    assert before["found"] > 0.4
    assert before["pins_right"] > 0.75
    assert before["median_error_m"] < 30


def test_a_changed_world_is_seen_in_what_changed(demo: dict[str, Any]) -> None:
    changed = demo["changed"]
    assert changed["action"] == "refit"
    assert {"accuracy_m", "uncertainty_m", "leg_cadence_s"} & set(changed["drifted"])


def test_reports_are_there_to_open(demo: dict[str, Any]) -> None:
    for look in ("quiet", "changed"):
        report = Path(demo[look]["report"])
        assert report.stat().st_size > 100_000
        json.loads(report.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_refit_is_gated_and_the_same_server_answers_with_what_is_published(demo: dict[str, Any]) -> None:
    changed = demo["changed"]
    assert changed["outcome"] in ("published", "rejected")
    assert demo["generation"] == (2 if changed["outcome"] == "published" else 1)
    assert demo["changed_new_model"]["asked"] == demo["changed_old_model"]["asked"]


@pytest.mark.real
def test_real_drives_are_ingested_found_and_scored(demo: dict[str, Any], tmp_path: Path) -> None:
    from benchmarks.real_drives import find, load, ranking, separate
    from benchmarks.real_truth import real_data
    from bentos.model.scorer import load_published
    from cli.score import score_fixes
    from ingestion.facts.build import build_facts
    from ingestion.facts.rules import load_rules
    from parked.schemas import SCORES
    from parked.settings import load_settings

    folder = real_data()
    if folder is None:
        pytest.skip("the shared real data is not beside this checkout (set PARKED_REAL_DATA to its folder)")
    scorer = load_published(load_settings(home=Path(demo["home"]), database_url=""))
    for drives in load(folder, tmp_path):
        found = find(drives.name, build_facts(drives.fixes, drives.motion, load_rules()), drives.spots)
        assert found.spots >= 40
        assert found.share >= 0.8, f"{drives.name}: {found.hits} of {found.spots}"
        scores = score_fixes(drives.fixes, drives.motion, load_rules(), scorer)
        assert scores.schema.equals(SCORES)
        area = ranking(*separate(scores, drives.spots))
        assert area > 0.7, f"{drives.name}: parkings rank above other candidates with probability {area:.2f}"
