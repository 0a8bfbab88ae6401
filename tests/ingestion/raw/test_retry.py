"""Retrying what was refused: by today's readers and rules, exactly once, whole or not at all."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from ingestion.raw.quarantine import Selection, count_by_reason, count_by_source, find, get
from ingestion.raw.retry import RetryReport, retry
from ingestion.readers import emission
from ingestion.readers.port import CANDIDATE_FIXES, Batch, Malformed
from ingestion.readers.reasons import Reason
from parked.clock import fixed_clock, from_us
from parked.errors import InputError, NotFoundError
from parked.opsdb.engine import transaction
from parked.opsdb.tables import QuarantineRetry
from tests.ingestion.raw.conftest import NOW, START_US, Home, save, some_fixes

LATER = NOW + timedelta(days=3)
HEADER = "device_id,event_time,lat,lon,received_at\n"
EVERYTHING = Selection()
NAMELESS = ",2024-04-01T00:00:00Z,50,8,\n"
GOOD = "a,2024-04-01T00:00:01Z,50,8,\n"

pytestmark = pytest.mark.usefixtures("database_url")


def again(home: Home, selection: Selection = EVERYTHING, **options: Any) -> RetryReport:
    return retry(home.log, selection, **{"clock": fixed_clock(LATER), "who": "me"} | options)


def csv(folder: Path, *rows: str) -> Path:
    path = folder / "drive.csv"
    path.write_text(HEADER + "".join(rows))
    return path


def balance(home: Home) -> list[tuple[int, int, int, int]]:
    """Each run's read, accepted, duplicates, quarantined; which always add up, to the last row kept."""
    runs = home.runs()
    for run in runs:
        assert run.read == run.accepted + run.duplicates + run.quarantined
        assert run.quarantined == sum(count_by_reason(home.engine, Selection(run=run.id)).values())
    held = home.log.scan_fixes().num_rows + home.log.scan_motion().num_rows
    assert held == sum(run.accepted for run in runs)
    return [(run.read, run.accepted, run.duplicates, run.quarantined) for run in runs]


def retries(home: Home) -> list[QuarantineRetry]:
    with transaction(home.engine) as session:
        found = list(session.scalars(select(QuarantineRetry)))
        session.expunge_all()
        return found


def test_a_record_without_a_phone_becomes_raw_once_a_phone_is_named(home: Home, tmp_path: Path):
    path = csv(tmp_path, NAMELESS, GOOD, ",2024-04-01T00:00:02Z,0,0,\n")
    home.ingest(path)
    assert balance(home) == [(3, 1, 0, 2)]
    report = again(home, Selection(reason="missing_device"), device="anna")
    assert (report.tried, report.outcomes, report.left) == (2, {"accepted": 1}, {"null_island": 1})
    assert balance(home) == [(3, 2, 0, 1)]
    (row,) = [row for row in home.log.scan_fixes().to_pylist() if row["device_id"] == "anna"]
    assert (row["source"], row["source_offset"], row["lat"]) == (str(path), 0, 50.0)
    assert row["received_at"] == LATER  # it stated no receipt, and was not known before
    (kept,) = find(home.engine, Selection(taken=True))
    assert (kept.reason, kept.outcome, kept.retry_id) == ("missing_device", "accepted", report.retry)
    assert get(home.engine, kept.id) == kept
    (done,) = retries(home)
    assert (done.status, done.who, done.device, done.tried, done.taken) == ("done", "me", "anna", 2, 1)


def test_a_second_retry_finds_nothing_and_changes_nothing(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, NAMELESS, GOOD))
    again(home, Selection(source="drive.csv"), device="anna")
    before = home.state()
    assert again(home, Selection(source="drive.csv"), device="anna") == RetryReport(None, 0, {}, {})
    assert again(home) == RetryReport(None, 0, {}, {})
    assert home.state() == before


def test_a_retry_that_nothing_passes_changes_nothing(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, NAMELESS, "a,1970-01-01T00:00:00Z,1,1,\n", "a,b\n", "a,2024-04-01T00:00:00Z,north,1,\n"))
    before = home.state()
    report = again(home)
    assert report.retry is None
    assert report.left == dict.fromkeys(("missing_device", "clock_before_2005", "not_a_record", "bad_number"), 1)
    assert home.state() == before
    assert retries(home) == []


def test_what_the_log_holds_already_is_a_duplicate_and_the_sums_stay_true(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, NAMELESS, NAMELESS, GOOD))
    (tmp_path / "b").mkdir()
    home.ingest(csv(tmp_path / "b", NAMELESS.replace(",", "anna,", 1)))
    report = again(home, Selection(run=1), device="anna")
    assert report.outcomes == {"duplicate": 2}
    assert balance(home) == [(3, 1, 2, 0), (1, 1, 0, 0)]


def test_re_ingesting_what_a_retry_took_adds_nothing(home: Home, tmp_path: Path):
    path = csv(tmp_path, NAMELESS, GOOD)
    home.ingest(path)
    again(home, Selection(run=1), device="anna")
    before = home.state()
    assert [file.already for file in home.ingest(path).files] == [True]
    assert home.state() == before
    assert home.ingest(csv(tmp_path, NAMELESS, GOOD, GOOD), device="anna").total.duplicates == 2  # GOOD is now anna's


def test_a_clock_that_was_ahead_of_a_wrong_machine_passes_when_the_day_has_come(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, f"a,{(NOW + timedelta(days=2)).isoformat()},50,8,\n"))
    assert count_by_reason(home.engine) == {"clock_ahead": 1}
    assert again(home, clock=fixed_clock(NOW)).left == {"clock_ahead": 1}
    assert again(home).outcomes == {"accepted": 1}


def test_a_phones_clock_may_be_accepted_against_a_stated_receipt(home: Home, tmp_path: Path):
    ahead = "a,2024-04-01T00:00:00Z,50,8,1970-01-01T00:00:00Z\n"
    never = "a,2106-02-07T00:00:00Z,50,8,2024-04-01T00:00:00Z\n"
    home.ingest(csv(tmp_path, ahead, never))
    assert again(home).left == {"clock_ahead": 2}
    report = again(home, Selection(reason="clock_ahead"), accept_clock=True)
    assert (report.outcomes, report.left) == ({"accepted": 1}, {"clock_ahead": 1})
    assert home.log.scan_fixes()["received_at"].to_pylist() == [LATER]


def test_as_if_live_holds_for_a_retry_of_its_run_too(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, NAMELESS), as_if_live_lag_s=5.0)
    again(home, Selection(run=1), device="anna")
    (row,) = home.log.scan_fixes().to_pylist()
    assert row["received_at"] - row["event_time"] == timedelta(seconds=5)
    assert row["as_if_live"]
    assert home.runs()[0].as_if_live


@pytest.mark.parametrize("override", [{"device": "anna"}, {"accept_clock": True}])
def test_an_override_of_everything_at_once_is_a_mistake(home: Home, override):
    with pytest.raises(InputError, match="say which"):
        again(home, **override)


def test_an_id_that_is_not_there_is_named_and_nothing_is_tried(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, NAMELESS))
    before = home.state()
    with pytest.raises(NotFoundError, match="no record 99"):
        again(home, Selection(ids=[1, 99]), device="anna")
    assert home.state() == before


def test_a_refused_parquet_row_is_read_again_as_it_was(home: Home, tmp_path: Path):
    table = some_fixes(3).set_column(0, "device_id", pa.array(["a", None, "a"]))
    home.ingest(save(table, tmp_path / "a.parquet"))
    (kept,) = find(home.engine)
    assert json.loads(kept.payload)["received_at"] is None  # as sent, not as filled in
    assert again(home, Selection(ids=[kept.id]), device="b").outcomes == {"accepted": 1}
    row = next(row for row in home.log.scan_fixes().to_pylist() if row["device_id"] == "b")
    assert (row["event_time"], row["lat"], row["source_offset"]) == (from_us(START_US + 1_000_000), 50.0001, 1)
    balance(home)


def test_a_broken_csv_line_is_read_again_with_its_header(home: Home, tmp_path: Path, monkeypatch):
    home.ingest(csv(tmp_path, GOOD, 'a,"2024-04-01T00:00:05Z,50,8,\n'))
    monkeypatch.setattr(  # a mended reader: a quote that the line does not end is no quote
        "ingestion.readers.csvfile._sift", lambda _names, block, _start: (block.replace(b'"', b""), [])
    )
    assert again(home).outcomes == {"accepted": 1}
    assert home.log.scan_fixes()["source_offset"].to_pylist() == [0, 1]
    assert balance(home) == [(2, 2, 0, 0)]


def emission_file(folder: Path, *motion: dict[str, Any]) -> Path:
    record = {"metadata": {"key": "background/motion_activity", "write_ts": 1.7e9}, "user_id": {"$uuid": "u"}}
    path = folder / "phone.json"
    path.write_text(json.dumps([record | {"data": {"ts": 1.7e9 + n} | data} for n, data in enumerate(motion)]))
    return path


def test_a_mended_reader_takes_what_the_old_one_refused(home: Home, tmp_path: Path, monkeypatch):
    home.ingest(emission_file(tmp_path, {"type": 3, "confidence": 90}, {"type": 16, "confidence": 80}))
    assert balance(home) == [(2, 1, 0, 1)]
    monkeypatch.setitem(emission.GOOGLE_ACTIVITY, 16, "in_vehicle")
    assert again(home).outcomes == {"accepted": 1}
    assert home.log.scan_motion()["activity"].to_pylist() == ["still", "in_vehicle"]
    assert home.log.scan_motion()["source_offset"].to_pylist() == [0, 1]
    assert balance(home) == [(2, 2, 0, 0)]


def test_a_gpx_point_is_read_again_as_its_files(home: Home, tmp_path: Path):
    point = '<trkpt lat="50" lon="8"><time>{}</time></trkpt>'
    ahead = (NOW + timedelta(days=2)).isoformat()
    track = point.format("2024-04-01T00:00:00Z") + point.format(ahead)
    path = tmp_path / "sunday.gpx"
    path.write_text(f'<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>{track}</trkseg></trk></gpx>')
    home.ingest(path)
    assert again(home).outcomes == {"accepted": 1}
    assert home.log.scan_fixes()["device_id"].to_pylist() == ["sunday", "sunday"]


def test_of_a_message_with_a_fix_and_a_motion_only_the_refused_part_is_tried(home: Home, tmp_path: Path):
    path = tmp_path / "own.json"
    message = {"_type": "location", "tst": 1_700_000_000, "lat": 0, "lon": 0, "tid": "jd"}
    path.write_text(json.dumps(message | {"motionactivities": ["automotive"]}))
    home.ingest(path)
    assert balance(home) == [(2, 1, 0, 1)]
    assert again(home, Selection(run=1), device="jd2").left == {"null_island": 1}
    assert home.log.scan_motion().num_rows == 1


def test_a_broken_message_that_held_two_records_counts_as_two_once_it_is_read(home: Home, tmp_path, monkeypatch):
    path = tmp_path / "own.json"
    message = {"_type": "location", "tst": 1_700_000_000, "lat": "50", "lon": 8, "tid": "jd"}
    other = message | {"lat": 51}
    path.write_text("\n".join(json.dumps(m | {"motionactivities": ["automotive"]}) for m in (message, other)))
    home.ingest(path)
    assert balance(home) == [(3, 2, 0, 1)]
    from ingestion.readers import owntracks

    def lenient(record: Any, *names: str) -> float | None:
        return None if record.get(names[0]) is None else float(record[names[0]])

    monkeypatch.setattr(owntracks, "number", lenient)
    assert again(home).outcomes == {"accepted": 1}
    assert balance(home) == [(4, 3, 1, 0)]  # the motion of both is the same measurement


def test_a_record_that_turns_out_to_be_of_another_kind_is_ignored(home: Home, tmp_path: Path, monkeypatch):
    home.ingest(emission_file(tmp_path, {"type": 3}, {"type": 99}))

    def dropping(collector: Any, _offset: int, _record: Any, _device: Any) -> None:
        collector.ignore()

    monkeypatch.setattr(emission, "_read_record", dropping)
    assert again(home).outcomes == {"ignored": 1}
    assert balance(home) == [(1, 1, 0, 0)]
    assert home.runs()[0].ignored == 1


def test_in_the_hour_that_autumn_repeats_a_lone_row_stays(home: Home, tmp_path: Path):
    path = tmp_path / "waypoints.csv"
    path.write_text("TripID,lon,lat,time,speed_kmh\n,8,50,2020-10-25 02:30:00,0\n,8,50,2020-10-25 12:30:00,0\n")
    home.ingest(path)
    report = again(home, Selection(run=1), device="t")
    assert (report.outcomes, report.left) == ({"accepted": 1}, {"local_time_repeated": 1})
    assert home.log.scan_fixes()["event_time"].to_pylist()[0].hour == 11


def test_a_cut_record_stays(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, GOOD, NAMELESS.replace("50", "0" * 70_000 + "50")))
    (kept,) = find(home.engine)
    assert not kept.whole
    assert again(home, Selection(ids=[kept.id]), device="anna").left == {"cut": 1}


def test_records_that_came_from_no_file_are_read_again_as_their_columns(home: Home):
    rows = [
        {"device_id": name, "event_time": NOW, "lat": 1.0, "lon": 1.0, "source_offset": n}
        for n, name in ((0, "a"), (1, ""))
    ]
    batch = Batch(
        fixes=pa.Table.from_pylist(rows, schema=CANDIDATE_FIXES),
        malformed=[Malformed(2, Reason.NOT_A_RECORD, "torn", "not even JSON")],
    )
    home.log.append(batch, source="gateway", reader="gateway", sha256="1", clock=fixed_clock(NOW))
    report = again(home, Selection(source="gate"), device="b")
    assert (report.outcomes, report.left) == ({"accepted": 1}, {"not_a_record": 1})
    assert balance(home) == [(3, 2, 0, 1)]


def test_many_records_of_many_runs_are_tried_in_pieces(home: Home, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("ingestion.raw.retry._CHUNK", 7)
    for number in range(3):
        rows = [f",2024-04-01T00:{number:02}:{second:02}Z,50,8,\n" for second in range(20)]
        (tmp_path / str(number)).mkdir()
        home.ingest(csv(tmp_path / str(number), GOOD.replace(":01Z", f":0{number}.5Z"), *rows))
    seen: list[tuple[int, int]] = []
    report = again(home, Selection(reason="missing_device"), device="b", progress=lambda *at: seen.append(at))
    assert report.outcomes == {"accepted": 60}
    assert seen[-1] == (60, 60)
    assert balance(home) == [(21, 21, 0, 0)] * 3
    assert count_by_source(home.engine) == {}


def test_a_retry_that_breaks_half_way_is_undone_and_may_be_tried_again(home: Home, tmp_path: Path):
    home.ingest(csv(tmp_path, *[NAMELESS.replace(":00Z", f":{n:02}Z") for n in range(9)]))
    before = home.state()

    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(home, Selection(run=1), device="b", progress=stop)
    assert home.state() == before
    assert retries(home) == []
    assert again(home, Selection(run=1), device="b").outcomes == {"accepted": 9}


def test_counts_and_records_narrow_by_reason_source_and_run(home: Home, tmp_path: Path):
    (tmp_path / "100%").mkdir()
    home.ingest(csv(tmp_path, NAMELESS, "a,1970-01-01T00:00:00Z,1,1,\n"), csv(tmp_path / "100%", NAMELESS + GOOD))
    assert count_by_reason(home.engine) == {"missing_device": 2, "clock_before_2005": 1}
    assert count_by_source(home.engine, Selection(reason="missing_device")) == {
        str(tmp_path / "100%" / "drive.csv"): 1,
        str(tmp_path / "drive.csv"): 1,
    }
    assert [row.run_id for row in find(home.engine, Selection(source="0%"))] == [2]
    assert find(home.engine, Selection(run=2, reason="clock_before_2005")) == []
