"""Ingesting: every record accounted for, nothing taken twice, all files or none."""

from __future__ import annotations

import gzip
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.raw.quarantine import count_by_reason, find
from ingestion.readers import port
from parked.clock import from_us
from parked.errors import InputError, NotFoundError, SettingError
from parked.schemas import FIXES, RAW_FIXES, RAW_MOTION
from tests.ingestion.raw.conftest import NOW, START_US, Home, open_home, save, some_fixes


def counts(report: Any) -> tuple[int, int, int, int]:
    total = report.total
    assert total.read == total.accepted + total.duplicates + total.quarantined
    return total.read, total.accepted, total.duplicates, total.quarantined


def test_what_was_read_can_be_scanned_with_where_it_came_from(home: Home, tmp_path: Path):
    path = save(some_fixes(3, received_us=START_US + 9_000_000), tmp_path / "a.parquet")
    assert counts(home.ingest(path)) == (3, 3, 0, 0)
    scanned = home.log.scan_fixes()
    assert scanned.schema.equals(RAW_FIXES)
    assert scanned.select(FIXES.names).equals(some_fixes(3, received_us=START_US + 9_000_000))
    assert scanned["source"].to_pylist() == [str(path)] * 3
    assert scanned["source_offset"].to_pylist() == [0, 1, 2]
    assert scanned["as_if_live"].to_pylist() == [False] * 3
    assert home.log.scan_motion().schema.equals(RAW_MOTION)


def test_the_same_file_twice_adds_nothing_whatever_it_is_called(home: Home, tmp_path: Path):
    home.ingest(save(some_fixes(), tmp_path / "a.parquet"))
    before = home.state()
    again = home.ingest(save(some_fixes(), tmp_path / "b.parquet"))
    assert [file.already for file in again.files] == [True]
    assert counts(again) == (0, 0, 0, 0)
    assert home.state() == before


def test_the_same_file_twice_in_one_command_is_taken_once(home: Home, tmp_path: Path):
    path = save(some_fixes(), tmp_path / "a.parquet")
    report = home.ingest(path, path)
    assert [file.already for file in report.files] == [False, True]
    assert home.log.scan_fixes().num_rows == 10


def test_the_same_track_given_to_another_phone_is_another_phones(home: Home, tmp_path: Path):
    path = save(some_fixes(), tmp_path / "a.parquet")
    home.ingest(path, device="x")
    assert counts(home.ingest(path, device="y")) == (10, 10, 0, 0)
    assert set(home.log.scan_fixes()["device_id"].to_pylist()) == {"x", "y"}


def test_records_seen_before_are_duplicates_in_any_order_batch_or_file(home: Home, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("ingestion.readers.parquetfile.BATCH_ROWS", 7)
    rows = list(range(40))
    random.Random(1).shuffle(rows)
    shuffled = some_fixes(40).take(pa.array(rows + rows[:5]))  # five of them re-sent within the file
    assert counts(home.ingest(save(some_fixes(25), tmp_path / "a.parquet"))) == (25, 25, 0, 0)
    assert counts(home.ingest(save(shuffled, tmp_path / "b.parquet"))) == (45, 15, 30, 0)
    later = some_fixes(40, received_us=START_US + 99_000_000)
    assert counts(home.ingest(save(later, tmp_path / "c.parquet"))) == (40, 0, 40, 0)
    assert home.log.scan_fixes().num_rows == 40


def test_of_a_record_sent_twice_in_a_file_the_first_received_is_kept(home: Home, tmp_path: Path):
    late, early = (some_fixes(1, received_us=START_US + second * 1_000_000) for second in (60, 5))
    assert counts(home.ingest(save(pa.concat_tables([late, early]), tmp_path / "a.parquet"))) == (2, 1, 1, 0)
    assert home.log.scan_fixes()["received_at"].to_pylist() == [from_us(START_US + 5_000_000)]


def test_without_a_time_of_receipt_a_record_is_received_now(home: Home, tmp_path: Path):
    home.ingest(save(some_fixes(2), tmp_path / "a.parquet"))
    scanned = home.log.scan_fixes()
    assert scanned["received_at"].to_pylist() == [NOW, NOW]
    assert not home.runs()[0].as_if_live


def test_as_if_live_states_a_lag_and_marks_what_it_stated(home: Home, tmp_path: Path):
    stated = some_fixes(1, received_us=START_US + 3_000_000)
    path = save(pa.concat_tables([stated, some_fixes(1, first=1)]), tmp_path / "a.parquet")
    home.ingest(path, as_if_live_lag_s=2.5)
    scanned = home.log.scan_fixes()
    assert scanned["as_if_live"].to_pylist() == [False, True]
    assert scanned["received_at"].to_pylist() == [
        from_us(START_US + 3_000_000),
        from_us(START_US + 1_000_000) + timedelta(seconds=2.5),
    ]
    assert home.runs()[0].as_if_live


@pytest.mark.parametrize("lag", [-1.0, 1e9, float("nan")])
def test_an_absurd_lag_is_refused(home: Home, tmp_path: Path, lag):
    with pytest.raises(SettingError, match="as if live"):
        home.ingest(save(some_fixes(), tmp_path / "a.parquet"), as_if_live_lag_s=lag)
    assert home.runs() == []


def test_a_folder_is_walked_and_what_no_reader_knows_is_skipped(home: Home, tmp_path: Path):
    drives = tmp_path / "drives"
    save(some_fixes(), drives / "deep" / "a.parquet")
    save(some_fixes(first=50), drives / "b.parquet")
    (drives / "LICENSE").write_text("BSD")
    (drives / "other.csv").write_text("x,y\n1,2\n")
    (drives / ".hidden.csv").write_text("x")
    report = home.ingest(drives)
    assert [Path(file.source).name for file in report.files] == ["b.parquet", "a.parquet"]
    assert sorted(Path(name).name for name in report.skipped) == ["LICENSE", "other.csv"]
    assert counts(report) == (20, 20, 0, 0)


def test_progress_counts_the_files(home: Home, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    paths = [save(some_fixes(first=n * 20), tmp_path / f"{n}.parquet") for n in range(2)]
    home.ingest(*paths, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(0, 2), (1, 2), (2, 2)]


MISTAKES = {
    "missing.csv": None,
    "empty.csv": b"",
    "words.txt": b"hello",
    "wrong.csv": b"device_id,lat\na,1\n",
    "headed.csv": b"device_id,event_time,lat,lon\n",
    "cut.json": b'[{"metadata": {"key": "background/location"}, "data": {',
    "none.json": b'[{"_type": "location"',
    "cut.json.gz": gzip.compress(json.dumps([{"metadata": {"key": "x"}, "d": str(n)} for n in range(20000)]).encode())[
        :-9
    ],
    "cut.parquet": b"PAR1 and nothing more",
    "bare.gpx": b"<gpx></gpx>",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_cannot_be_read_undoes_the_whole_command(home: Home, tmp_path: Path, name):
    home.ingest(save(some_fixes(), tmp_path / "before.parquet"))
    before = home.state()
    good, bad = save(some_fixes(first=100), tmp_path / "good.parquet"), tmp_path / name
    if MISTAKES[name] is not None:
        bad.write_bytes(MISTAKES[name])
    with pytest.raises(InputError) as caught:
        home.ingest(good, bad)
    assert str(bad) in str(caught.value)
    assert caught.value.mend
    assert "\n" not in str(caught.value)
    assert home.state() == before
    assert counts(home.ingest(good)) == (10, 10, 0, 0)  # and the good one still counts as new


def test_a_folder_with_nothing_to_read_is_a_mistake(home: Home, tmp_path: Path):
    (tmp_path / "drives").mkdir()
    with pytest.raises(InputError, match="no file in it"):
        home.ingest(tmp_path / "drives")
    with pytest.raises(NotFoundError, match="no reader 'zip'"):
        home.ingest(tmp_path, reader="zip")


def test_a_mistake_opens_no_database(tmp_path: Path, home: Home):
    opened: list[str] = []
    with pytest.raises(InputError):
        home.ingest(tmp_path / "gone.csv", clock=lambda: opened.append("clock") or NOW)
    assert opened == []


def test_refused_records_are_kept_with_reason_detail_source_offset_and_payload(home: Home, tmp_path: Path):
    rows = ["a,2024-04-01T00:00:00Z,0,0", "a,2024-04-01T00:00:00Z,north,1", "a,2024-04-01T00:00:01Z,1,1", "broken"]
    path = tmp_path / "a.csv"
    path.write_text("device_id,event_time,lat,lon\n" + "\n".join(rows) + "\n")
    assert counts(home.ingest(path)) == (4, 1, 0, 3)
    found = {row.source_offset: row for row in find(home.engine)}
    assert {offset: row.reason for offset, row in found.items()} == {
        0: "null_island",
        1: "bad_number",
        3: "not_a_record",
    }
    assert json.loads(found[0].payload)["lat"] == "0"
    assert found[1].detail == "lat='north'"
    assert found[3].payload == "broken"
    assert {row.source for row in found.values()} == {str(path)}
    assert count_by_reason(home.engine) == {"bad_number": 1, "not_a_record": 1, "null_island": 1}


def test_a_refused_parquet_row_is_kept_as_its_columns(home: Home, tmp_path: Path):
    table = some_fixes(2).set_column(2, "lat", pa.array([91.0, 50.0]))
    home.ingest(save(table, tmp_path / "a.parquet"))
    (row,) = find(home.engine)
    assert row.reason == "position_out_of_range"
    assert json.loads(row.payload)["lat"] == 91.0


def test_memory_holds_one_batch_of_a_large_file(home: Home, tmp_path: Path, monkeypatch):
    sizes: list[int] = []
    original = port.Batch.__init__

    def spy(self: port.Batch, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        sizes.append(self.fixes.num_rows)

    monkeypatch.setattr("ingestion.readers.parquetfile.BATCH_ROWS", 1000)
    monkeypatch.setattr(port.Batch, "__init__", spy)
    home.ingest(save(some_fixes(4500), tmp_path / "a.parquet"))
    assert max(sizes) == 1000
    assert len(home.log.segments("fixes")) == 5


def test_many_phones_scan_by_device_by_column_and_by_what_was_known(home: Home, tmp_path: Path):
    early, late = START_US + 100_000_000, START_US + 200_000_000
    one, two = some_fixes(3, device="one", received_us=early), some_fixes(4, device="two", received_us=late)
    home.ingest(save(pa.concat_tables([one, two]), tmp_path / "a.parquet"))
    assert home.log.scan_fixes(["two", "three"]).num_rows == 4
    assert home.log.scan_fixes([]).num_rows == 0
    assert home.log.scan_fixes(received_by=from_us(early)).num_rows == 3
    assert home.log.scan_fixes(["two"], received_by=from_us(early)).num_rows == 0
    assert home.log.scan_fixes(columns=["lat", "device_id"]).column_names == ["lat", "device_id"]


numbers = st.floats() | st.floats(-90, 90) | st.sampled_from([0.0, 1.5, 91.0, 1e300])
odd_times = [
    0,
    946_684_800_000_000,
    4_294_967_296_000_000,
    START_US,
    START_US,
    START_US + 1_000_000,
]  # 1970, 2000, 2106
messy = st.lists(
    st.fixed_dictionaries(
        {
            "device_id": st.sampled_from(["a", "b", "", None]),
            "event_time": st.sampled_from(odd_times) | st.none(),
            "lat": numbers | st.none(),
            "lon": numbers | st.none(),
            "accuracy_m": numbers | st.none(),
            "received_at": st.none() | st.sampled_from(odd_times),
        }
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=messy, order=st.randoms(use_true_random=False), lag=st.none() | st.just(5.0))
def test_whatever_a_file_holds_it_is_accounted_for_and_holds_nothing_new_when_shuffled(
    tmp_path_factory, rows, order, lag
):
    folder = tmp_path_factory.mktemp("messy")
    home = open_home(folder / "home")
    names = list(rows[0])
    kinds = {name: FIXES.field(name).type for name in names}

    def table(of: list[dict[str, Any]]) -> pa.Table:
        return pa.table({name: pa.array([row[name] for row in of], kinds[name]) for name in names})

    first = home.ingest(save(table(rows), folder / "a.parquet"), as_if_live_lag_s=lag)
    read, accepted, _, quarantined = counts(first)
    assert read == len(rows)
    assert home.log.scan_fixes().num_rows == accepted
    assert sum(count_by_reason(home.engine).values()) == quarantined

    shuffled = list(rows)
    order.shuffle(shuffled)
    shuffled.append(shuffled[0])
    again = home.ingest(save(table(shuffled), folder / "b.parquet"), as_if_live_lag_s=lag)
    assert again.total.accepted == 0
    assert counts(again)[0] == len(rows) + 1
    assert home.log.scan_fixes().num_rows == accepted
