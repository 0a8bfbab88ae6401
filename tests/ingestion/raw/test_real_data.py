"""Every real file we have is taken, each of its records accounted for, and nothing of it twice."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pyarrow.compute as pc
import pytest

from ingestion.raw.ingest import IngestReport
from ingestion.raw.quarantine import Selection, count_by_reason
from tests.ingestion.raw.conftest import Home, open_home

DATA = Path(os.environ.get("PARKED_REAL_DATA") or Path(__file__).parents[4] / "shared" / "data")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason="the shared real data is not there (set PARKED_REAL_DATA)"),
]


def records_in(folder: str) -> int:
    if folder == "start2park":
        return len((DATA / folder / "waypoints.csv").read_text().splitlines()) - 1
    return sum(len(json.loads(gzip.decompress(file.read_bytes()))) for file in (DATA / folder).rglob("*.json.gz"))


READERS = {"start2park": "start2park", "emission": "emission", "mobilitynet": "emission"}
REASONS = {"start2park": {}, "emission": {"clock_before_2005": 1}, "mobilitynet": {}}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, dict[str, IngestReport]]:
    home = open_home(tmp_path_factory.mktemp("real"))
    return home, {folder: home.ingest(DATA / folder) for folder in READERS}


@pytest.mark.parametrize("folder", READERS)
def test_every_record_is_accounted_for(everything, folder):
    home, reports = everything
    report = reports[folder]
    total = report.total
    assert {file.reader for file in report.files} == {READERS[folder]}
    for file in report.files:
        assert file.counts.read == file.counts.accepted + file.counts.duplicates + file.counts.quarantined
    assert total.read + total.ignored == records_in(folder)
    assert total.accepted > 0.9 * total.read
    reasons: dict[str, int] = {}
    for file in report.files:
        for reason, count in count_by_reason(home.engine, Selection(run=file.run)).items():
            reasons[reason] = reasons.get(reason, 0) + count
    assert reasons == REASONS[folder]


def test_what_was_accepted_is_what_the_log_holds(everything):
    home, reports = everything
    held = home.log.scan_fixes(columns=["lat"]).num_rows + home.log.scan_motion(columns=["activity"]).num_rows
    assert held == sum(report.total.accepted for report in reports.values())


def test_a_second_time_in_another_order_adds_nothing(everything):
    home, _ = everything
    before = home.state()
    again = home.ingest(*sorted(DATA.rglob("*.json.gz"), reverse=True), DATA / "start2park")
    assert all(file.already for file in again.files)
    assert home.state() == before


def test_phones_keep_their_platform_their_motion_and_when_it_was_received(everything):
    home, _ = everything
    fixes, motion = home.log.scan_fixes(), home.log.scan_motion()
    phones = fixes.filter(pc.is_valid(fixes["platform"]))
    assert set(phones["platform"].to_pylist()) == {"android", "ios"}
    assert {"in_vehicle", "on_foot", "still", "cycling", "unknown"} == set(motion["activity"].to_pylist())
    assert {moment.year for moment in phones["received_at"].to_pylist()} == {2015, 2016, 2019}
    assert pc.min(fixes["speed_mps"]).as_py() >= 0
    assert not pc.any(fixes["as_if_live"]).as_py()


def test_berlin_trips_lie_in_their_own_winter_and_may_be_taken_as_if_live(home: Home):
    home.ingest(DATA / "start2park" / "waypoints.csv", as_if_live_lag_s=5)
    fixes = home.log.scan_fixes()
    lag = pc.subtract(fixes["received_at"], fixes["event_time"])
    assert {value.total_seconds() for value in pc.unique(lag).to_pylist()} == {5.0}
    assert pc.all(fixes["as_if_live"]).as_py()
    first = pc.min(fixes["event_time"]).as_py()
    assert first.isoformat() == "2020-11-05T06:48:46+00:00"  # 07:48:46 in Berlin
