"""A record that comes again with an earlier receipt: the log keeps both as they came, and speaks by the earlier."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestion.raw.log import Writer
from ingestion.raw.quarantine import Selection
from ingestion.raw.retry import retry
from parked.clock import fixed_clock, from_us
from parked.errors import InternalError
from parked.schemas import RAW_FIXES, TIME
from tests.ingestion.raw.conftest import NOW, START_US, Home, open_home, save, some_fixes

LATE, EARLY = START_US + 60_000_000, START_US + 5_000_000

pytestmark = pytest.mark.usefixtures("database_url")


def took(home: Home, table: pa.Table, name: str, **options: Any) -> tuple[int, int]:
    counts = home.ingest(save(table, home.settings.home.parent / name), **options).total
    assert counts.read == counts.accepted + counts.duplicates + counts.quarantined == table.num_rows
    return counts.accepted, counts.duplicates


def receipts(home: Home, **options: Any) -> list[Any]:
    return home.log.scan_fixes(**options).sort_by("event_time")["received_at"].to_pylist()


@pytest.mark.parametrize("order", [(LATE, EARLY), (EARLY, LATE)])
def test_the_earlier_receipt_counts_whichever_came_first(home: Home, order: tuple[int, int]):
    assert took(home, some_fixes(3, received_us=order[0]), "a.parquet") == (3, 0)
    assert took(home, some_fixes(3, received_us=order[1]), "b.parquet") == (0, 3)
    assert receipts(home) == [from_us(EARLY)] * 3
    assert home.log.scan_fixes().schema.equals(RAW_FIXES)
    assert home.log.scan_fixes(["a"], columns=["received_at"], received_by=from_us(EARLY)).num_rows == 3
    assert home.log.scan_fixes(["b"]).num_rows == 0


def test_both_copies_stay_in_the_log_as_they_came_and_nothing_in_it_changes(home: Home):
    took(home, some_fixes(3, received_us=LATE), "a.parquet")
    (first,) = home.log.segments()
    before = (home.settings.raw_dir / first.path).read_bytes()
    end = home.log.position()
    took(home, some_fixes(2, received_us=EARLY, first=1), "b.parquet")
    assert (home.settings.raw_dir / first.path).read_bytes() == before
    assert [segment.kind for segment in home.log.segments()] == ["fixes", "earlier_fixes"]
    assert receipts(home, upto=end) == [from_us(LATE)] * 3  # as the log was then
    assert receipts(home) == [from_us(LATE), from_us(EARLY), from_us(EARLY)]
    assert receipts(home, after=end) == [from_us(EARLY)] * 2
    assert receipts(home, received_by=from_us(EARLY)) == [from_us(EARLY)] * 2
    assert home.log.received_earlier(after=end) == ["a"]
    assert home.log.received_earlier(upto=end) == []
    assert home.log.orphans() == []


def test_read_in_pieces_a_record_comes_once_for_every_receipt_up_to_a_position(home: Home):
    took(home, some_fixes(3, received_us=LATE), "a.parquet")
    end = home.log.position()
    took(home, some_fixes(2, received_us=EARLY, first=1), "b.parquet")
    columns = ["device_id", "received_at"]

    def pieces(**options: Any) -> list[pa.Table]:
        return list(home.log.receipts("fixes", columns=columns, rows=2, **options))

    assert [piece.num_rows for piece in pieces()] == [2, 1, 2]
    assert [r for piece in pieces() for r in piece["received_at"].to_pylist()] == [from_us(LATE)] * 3 + [
        from_us(EARLY)
    ] * 2
    assert {d for piece in pieces() for d in piece["device_id"].to_pylist()} == {"a"}
    assert home.log.count_receipts("fixes") == 5
    assert sum(piece.num_rows for piece in pieces(upto=end)) == home.log.count_receipts("fixes", upto=end) == 3
    assert home.log.count_receipts("motion") == 0
    assert list(home.log.receipts("motion", columns=columns, rows=2)) == []
    (home.settings.raw_dir / home.log.segments()[0].path).write_bytes(b"PAR1")
    with pytest.raises(InternalError, match="a raw segment in the ledger is not readable"):
        pieces()


def test_a_receipt_that_is_no_earlier_adds_nothing_also_in_a_new_process(home: Home):
    took(home, some_fixes(3, received_us=EARLY + 2), "a.parquet")
    took(home, some_fixes(3, received_us=EARLY), "b.parquet")
    fresh = open_home(home.settings.home, home.settings.database)
    for i, received in enumerate((LATE, EARLY, EARLY + 1)):
        table = some_fixes(3, received_us=received).append_column("note", pa.array([str(i)] * 3))
        assert took(fresh, table, f"again-{i}.parquet") == (0, 3)
    assert [segment.kind for segment in home.log.segments()] == ["fixes", "earlier_fixes"]
    took(fresh, some_fixes(3, received_us=EARLY - 1), "c.parquet")
    assert receipts(home) == [from_us(EARLY - 1)] * 3


def test_copies_within_one_file_count_by_the_earliest_too(home: Home):
    both = pa.concat_tables([some_fixes(3, received_us=LATE), some_fixes(3, received_us=EARLY)])
    assert took(home, both, "a.parquet") == (3, 3)
    assert receipts(home) == [from_us(EARLY)] * 3
    assert [segment.kind for segment in home.log.segments()] == ["fixes"]


def test_of_one_moment_an_observed_receipt_counts_and_takes_the_mark_away(tmp_path: Path):
    stated, observed = some_fixes(2), some_fixes(2)
    event = stated["event_time"]
    observed = observed.set_column(6, "received_at", event)
    for i, order in enumerate([("stated", "observed"), ("observed", "stated")]):
        home = open_home(tmp_path / str(i) / "home")
        for name in order:
            table = {"stated": stated, "observed": observed}[name]
            took(home, table, f"{name}.parquet", as_if_live_lag_s=0.0)
        found = home.log.scan_fixes()
        assert found["received_at"].to_pylist() == event.to_pylist()
        assert found["as_if_live"].to_pylist() == [False, False]


def test_a_stated_receipt_that_is_earlier_counts_with_its_mark(home: Home):
    took(home, some_fixes(2, received_us=LATE), "live.parquet")
    took(home, some_fixes(2), "history.parquet", as_if_live_lag_s=1.0)
    found = home.log.scan_fixes().sort_by("event_time")
    assert found["received_at"].to_pylist() == [t + timedelta(seconds=1) for t in found["event_time"].to_pylist()]
    assert found["as_if_live"].to_pylist() == [True, True]


def test_motion_records_likewise(home: Home):
    def motion(received_us: int) -> pa.Table:
        return pa.table(
            {
                "device_id": ["a"],
                "event_time": pa.array([START_US], TIME),
                "received_at": pa.array([received_us], TIME),
                "activity": ["still"],
                "confidence": [0.5],
            }
        )

    took(home, motion(LATE), "a.parquet")
    took(home, motion(EARLY), "b.parquet")
    assert home.log.scan_motion()["received_at"].to_pylist() == [from_us(EARLY)]
    assert home.log.scan_motion(upto=1)["received_at"].to_pylist() == [from_us(LATE)]
    assert home.log.received_earlier() == ["a"]


def test_a_retry_that_tells_of_an_earlier_receipt_is_a_duplicate_that_counts(home: Home, tmp_path: Path):
    took(home, some_fixes(1, received_us=LATE), "a.parquet")
    row = f"{from_us(START_US).isoformat()},50.0,8.0,5.0,{from_us(EARLY).isoformat()}"
    file = tmp_path / "no-device.csv"
    file.write_text(f"device_id,event_time,lat,lon,accuracy_m,received_at\n,{row}\n", encoding="utf-8")
    assert home.ingest(file).total.quarantined == 1
    chosen = Selection(source="no-device")
    done = retry(home.log, chosen, clock=fixed_clock(NOW), who="test", device="a")
    assert done.outcomes == {"duplicate": 1}
    assert receipts(home) == [from_us(EARLY)]


def test_a_failed_ingest_leaves_nothing_of_it(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    took(home, some_fixes(3, received_us=LATE), "a.parquet")
    before = home.state()
    early = save(some_fixes(3, received_us=EARLY), tmp_path / "b.parquet")

    def full(writer: Writer) -> None:
        assert [segment.kind for segment in writer.runs[0].segments] == ["earlier_fixes"]
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_commit", full)
        with pytest.raises(OSError, match="no space"):
            home.ingest(early)
    assert home.state() == before
    assert home.ingest(early).total.duplicates == 3
    assert receipts(home) == [from_us(EARLY)] * 3


@pytest.mark.parametrize("lags", [(None, 1.0), (1.0, None), (60.0, 1.0), (1.0, 60.0)])
def test_the_same_file_with_another_lag_is_read_again_and_the_earliest_receipt_counts(
    home: Home, tmp_path: Path, lags: tuple[float | None, float | None]
):
    file = save(some_fixes(3), tmp_path / "history.parquet")
    assert home.ingest(file, as_if_live_lag_s=lags[0]).total.accepted == 3
    assert home.ingest(file, as_if_live_lag_s=lags[1]).total.duplicates == 3
    assert [home.ingest(file, as_if_live_lag_s=lag).files[0].already for lag in lags] == [True, True]
    found = home.log.scan_fixes()
    assert [moment - timedelta(seconds=1) for moment in found["received_at"].to_pylist()] == (
        found["event_time"].to_pylist()
    )
    assert found["as_if_live"].to_pylist() == [True] * 3
