"""The accept rules: what can never be a record is refused with its reason, everything else is kept as it was."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.raw.validate import Checked, check_fixes, check_motion
from ingestion.readers.port import CANDIDATE_FIXES, CANDIDATE_MOTION
from parked.clock import from_us
from parked.schemas import ACTIVITIES

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fix(**changes: Any) -> dict[str, Any]:
    base = {"device_id": "a", "event_time": NOW - HOUR, "lat": 52.5, "lon": 13.4, "accuracy_m": 5.0}
    return base | {"speed_mps": 1.0, "received_at": NOW, "platform": None, "source_offset": 0, "mock": None} | changes


def fixes(*rows: dict[str, Any]) -> Checked:
    return check_fixes(pa.Table.from_pylist(list(rows), schema=CANDIDATE_FIXES), now=NOW)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device_id": None}, "missing_device"),
        ({"device_id": ""}, "missing_device"),
        ({"device_id": "a\nb"}, "bad_device"),
        ({"device_id": "x" * 129}, "bad_device"),
        ({"event_time": None}, "missing_time"),
        ({"event_time": datetime(1970, 1, 1, tzinfo=UTC)}, "clock_before_2005"),
        ({"event_time": datetime(2000, 1, 1, tzinfo=UTC)}, "clock_before_2005"),
        ({"event_time": datetime(2106, 2, 7, tzinfo=UTC)}, "clock_ahead"),
        ({"event_time": NOW - 2 * HOUR, "received_at": NOW - 27 * HOUR}, "clock_ahead"),
        ({"event_time": NOW - HOUR, "received_at": NOW + 25 * HOUR}, "received_ahead"),
        ({"lat": None}, "missing_position"),
        ({"lon": None, "lat": None}, "missing_position"),
        ({"lat": math.nan}, "position_not_finite"),
        ({"lon": math.inf}, "position_not_finite"),
        ({"lat": 90.0001}, "position_out_of_range"),
        ({"lon": -180.0001}, "position_out_of_range"),
        ({"lat": 1e300, "lon": 0.0}, "position_out_of_range"),
        ({"lat": 0.0, "lon": -0.0}, "null_island"),
        ({"lat": 4e-8, "lon": 0.0}, "null_island"),
        ({"mock": True}, "mock_position"),
    ],
)
def test_each_impossible_fix_has_its_reason_and_spares_its_neighbours(changes, reason):
    checked = fixes(fix(), fix(**changes), fix())
    assert checked.reasons == [reason]
    assert checked.accepted.num_rows == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy_m": 25_000.0},
        {"accuracy_m": 0.0},
        {"accuracy_m": -1.0},
        {"lat": 90.0, "lon": 180.0},
        {"lat": 0.0, "lon": 1e-6},
        {"mock": False},
        {"event_time": datetime(2005, 1, 1, tzinfo=UTC)},
        {"event_time": NOW + 23 * HOUR},
        {"received_at": NOW - 2 * HOUR},  # written before it was measured: clocks differ
        {"device_id": "Élodie's phone / 2"},
    ],
)
def test_a_poor_or_odd_fix_was_sent_all_the_same(changes):
    checked = fixes(fix(**changes))
    assert checked.accepted.to_pylist() == [fix(**changes)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_optional_value_that_is_no_number_becomes_null(value):
    checked = fixes(fix(accuracy_m=value, speed_mps=value), fix())
    assert checked.accepted["accuracy_m"].to_pylist() == [None, 5.0]
    assert checked.accepted["speed_mps"].to_pylist() == [None, 1.0]


anything = st.none() | st.floats()
moments = st.none() | st.integers(-(10**16), 10**16).map(from_us)


@given(
    st.lists(
        st.builds(
            fix,
            device_id=st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
            event_time=moments,
            received_at=moments,
            lat=anything | st.floats(-90, 90),
            lon=anything | st.floats(-180, 180),
            accuracy_m=anything,
        )
    )
)
def test_every_candidate_is_accepted_whole_or_refused_with_one_reason(rows):
    rows = [row | {"source_offset": offset} for offset, row in enumerate(rows)]
    checked = fixes(*rows)
    assert checked.accepted.num_rows + len(checked.reasons) == len(rows)
    assert checked.refused.num_rows == len(checked.reasons)
    offsets = checked.accepted["source_offset"].to_pylist() + checked.refused["source_offset"].to_pylist()
    assert sorted(offsets) == list(range(len(rows)))
    for row in checked.accepted.to_pylist():
        assert row["device_id"]
        assert abs(row["lat"]) <= 90
        assert abs(row["lon"]) <= 180
        assert (row["lat"], row["lon"]) != (0, 0)
        assert datetime(2005, 1, 1, tzinfo=UTC) <= row["event_time"] <= NOW + 24 * HOUR
        assert row["accuracy_m"] is None or math.isfinite(row["accuracy_m"])


def motion(**changes: Any) -> Checked:
    row = {"device_id": "a", "event_time": NOW, "received_at": NOW, "activity": "still", "confidence": 1.0}
    row |= {"source_offset": 0} | changes
    return check_motion(pa.Table.from_pylist([row], schema=CANDIDATE_MOTION), now=NOW)


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_each_known_activity_is_accepted(activity):
    assert motion(activity=activity).reasons == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"activity": None}, "missing_activity"),
        ({"activity": "flying"}, "unknown_activity"),
        ({"event_time": datetime(1970, 1, 1, tzinfo=UTC)}, "clock_before_2005"),
        ({"device_id": ""}, "missing_device"),
    ],
)
def test_each_impossible_motion_record_has_its_reason(changes, reason):
    assert motion(**changes).reasons == [reason]


@pytest.mark.parametrize(("sent", "kept"), [(0.0, 0.0), (1.0, 1.0), (math.nan, None), (None, None)])
def test_a_confidence_on_its_scale_is_kept_and_none_is_null(sent, kept):
    assert motion(confidence=sent).accepted["confidence"].to_pylist() == [kept]


@pytest.mark.parametrize("sent", [1.5, -1.0, math.inf, -math.inf])
def test_a_confidence_outside_its_scale_is_refused(sent):
    assert motion(confidence=sent).reasons == ["confidence_out_of_range"]
