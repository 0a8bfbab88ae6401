"""Ingestion and the stop engine refuse alike: what became raw enters the engine, and reasons have one name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts.canonical import canonicalise
from ingestion.facts.kernel.records import REFUSALS
from ingestion.raw.validate import check_fixes, check_motion
from ingestion.readers.port import CANDIDATE_FIXES, CANDIDATE_MOTION
from ingestion.readers.reasons import Reason
from parked.clock import from_us
from parked.schemas import ACTIVITIES, FIXES, MOTION

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY_US = 86_400_000_000
BEFORE_2100 = datetime(2100, 1, 1, tzinfo=UTC) - timedelta(days=1, microseconds=1)
"""A now from which ingestion, too, takes whatever is before 2100: nobody says now to the engine."""
NOW_US = 1_714_564_800_000_000

edges = [NOW_US, NOW_US + DAY_US, NOW_US + DAY_US + 1, NOW_US - DAY_US, 1_104_537_600_000_000, 1_104_537_599_999_999, 0]
moments = st.sampled_from(edges) | st.integers(0, 5_000_000_000_000_000)
degrees = st.sampled_from([0.0, -0.0, 4e-8, 5e-8, 6e-8, 90.0, 90.00000001, 180.0, -180.1, 1e300]) | st.floats()
devices = st.sampled_from(["a", "b", "", None])
fix_rows = st.fixed_dictionaries(
    {
        "device_id": devices,
        "event_time": st.none() | moments,
        "received_at": moments,
        "lat": st.none() | degrees,
        "lon": st.none() | degrees,
        "accuracy_m": st.none() | st.floats(),
        "speed_mps": st.none() | st.floats(),
    }
)
motion_rows = st.fixed_dictionaries(
    {
        "device_id": devices,
        "event_time": st.none() | moments,
        "received_at": moments,
        "activity": st.none() | st.sampled_from([*ACTIVITIES, "flying", ""]),
        "confidence": st.none() | st.floats(),
    }
)


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    times = ("event_time", "received_at")
    rows = [
        row | {name: from_us(row[name]) for name in times if row[name] is not None} | {"source_offset": offset}
        for offset, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def distinct(accepted: pa.Table) -> int:
    """How many different moments of devices there are, to the engine's millisecond."""
    ms = pc.divide(accepted["event_time"].cast(pa.int64()), 1000).to_pylist()
    return len(set(zip(accepted["device_id"].to_pylist(), ms, strict=True)))


def test_every_reason_of_the_engine_is_one_of_ingestions():
    assert set(REFUSALS) <= set(Reason)


@settings(max_examples=150, deadline=None)
@given(st.lists(fix_rows, min_size=1, max_size=8), st.lists(motion_rows, min_size=1, max_size=8))
def test_what_ingestion_accepts_the_engine_takes_to_the_last_record(fixes, motion):
    accepted = check_fixes(table(fixes, CANDIDATE_FIXES), now=NOW).accepted
    moved = check_motion(table(motion, CANDIDATE_MOTION), now=NOW).accepted
    taken = canonicalise(accepted.select(FIXES.names), moved.select(MOTION.names))
    assert taken.refused == {}
    assert len(taken.records) >= max(distinct(accepted), distinct(moved))


@settings(max_examples=150, deadline=None)
@given(fix_rows)
def test_a_fix_the_engine_refuses_is_refused_at_ingestion_by_the_same_name(row):
    candidates = table([row], CANDIDATE_FIXES)
    refused = list(canonicalise(candidates.select(FIXES.names)).refused)
    if refused:
        (reason,) = check_fixes(candidates, now=BEFORE_2100).reasons
        same = {Reason.MISSING_POSITION: "position_not_finite"}  # the engine reads "no number" as NaN
        assert refused == [same.get(reason, str(reason))]


@settings(max_examples=150, deadline=None)
@given(motion_rows)
def test_a_motion_record_the_engine_refuses_is_refused_at_ingestion_by_the_same_name(row):
    candidates = table([row], CANDIDATE_MOTION)
    refused = list(
        canonicalise(table([], CANDIDATE_FIXES).select(FIXES.names), candidates.select(MOTION.names)).refused
    )
    if refused:
        (reason,) = check_motion(candidates, now=BEFORE_2100).reasons
        same = {Reason.MISSING_ACTIVITY: "unknown_activity"}
        assert refused == [same.get(reason, str(reason))]
