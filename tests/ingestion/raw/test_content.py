"""Content hashes: equal for the same measurement however received, different for anything else."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.raw.content import fix_hashes, from_hex, motion_hashes, to_hex
from ingestion.readers.port import CANDIDATE_FIXES, CANDIDATE_MOTION

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
FIX: dict[str, Any] = {
    "device_id": "a",
    "event_time": NOON,
    "lat": 52.5,
    "lon": 13.4,
    "accuracy_m": 5.0,
    "speed_mps": 0.0,
    "received_at": NOON,
    "platform": None,
    "source_offset": 0,
}


def hashes_of(*rows: dict[str, Any]) -> list[str]:
    return list(to_hex(fix_hashes(pa.Table.from_pylist(list(rows), schema=CANDIDATE_FIXES))).to_pylist())


def test_the_hash_of_a_fix_never_changes():
    # raw segments hold these for ever: a change would make every re-send look new
    assert hashes_of(FIX) == ["18dad649979481e2da07831e1d440210"]
    row = {"device_id": "a", "event_time": NOON, "activity": "still", "confidence": 0.5, "source_offset": 0}
    table = pa.Table.from_pylist([row], schema=CANDIDATE_MOTION)
    assert to_hex(motion_hashes(table)).to_pylist() == ["952a319480bb41a4c3dd6d60edfee8c0"]


@pytest.mark.parametrize(
    "changes",
    [
        {"received_at": NOON + timedelta(days=9)},
        {"received_at": None},
        {"platform": "ios"},
        {"source_offset": 7},
        {"speed_mps": -0.0},
    ],
)
def test_the_same_measurement_received_otherwise_is_the_same(changes):
    one, other = hashes_of(FIX, FIX | changes)
    assert one == other


@pytest.mark.parametrize(
    "changes",
    [
        {"device_id": "b"},
        {"event_time": NOON + timedelta(microseconds=1)},
        {"lat": math.nextafter(52.5, 53)},
        {"lon": 13.5},
        {"accuracy_m": None},
        {"speed_mps": None},
        {"accuracy_m": 0.0, "speed_mps": 5.0},
    ],
)
def test_whatever_was_measured_otherwise_is_another_record(changes):
    one, other = hashes_of(FIX, FIX | changes)
    assert one != other


names = st.text(st.characters(codec="utf-8"), max_size=3)


@given(st.lists(st.tuples(names, st.integers(0, 3)), max_size=12), st.integers(1, 4))
def test_a_record_hashes_the_same_alone_and_among_others_in_any_chunks(rows, chunk):
    records = [FIX | {"device_id": name, "lat": float(lat)} for name, lat in rows]
    table = pa.Table.from_pylist(records, schema=CANDIDATE_FIXES)
    pieces = [table.slice(start, chunk) for start in range(0, len(rows), chunk)] or [table]
    together = to_hex(fix_hashes(pa.concat_tables(pieces))).to_pylist()
    assert together == [hashes_of(record)[0] for record in records]
    assert len(set(together)) == len(set(rows))


@given(st.lists(st.integers(0, 2**20), max_size=20), st.integers(0, 5))
def test_hex_and_back(lats, skip):
    table = pa.Table.from_pylist([FIX | {"lat": float(lat)} for lat in lats], schema=CANDIDATE_FIXES)
    hashes = fix_hashes(table)
    back = from_hex(pa.chunked_array([to_hex(hashes), to_hex(hashes).slice(skip)], pa.string()))
    assert back.high.tolist() == hashes.high.tolist() + hashes.high.tolist()[skip:]
    assert back.low.tolist() == hashes.low.tolist() + hashes.low.tolist()[skip:]
