"""e-mission / MobilityNet records as the phones wrote them, Android and iOS, with their mess."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.readers.emission import EmissionReader
from parked.errors import InputError
from tests.ingestion.readers.helpers import Everything, read_all

T = 1_563_821_439.113


def record(key: str, data: Any, platform: str = "android", **metadata: Any) -> dict[str, Any]:
    meta = {"key": f"background/{key}", "platform": platform, "write_ts": T + 2} | metadata
    return {"user_id": {"$uuid": "u1"}, "metadata": meta, "data": data}


def location(**changes: Any) -> dict[str, Any]:
    return {"ts": T, "latitude": 37.4, "longitude": -122.1, "accuracy": 10, "sensed_speed": 3.5} | changes


def read(folder: Path, records: Any, device: str | None = None) -> Everything:
    path = folder / "phone.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    return read_all(EmissionReader(), path, device)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_a_location_becomes_a_fix_received_when_it_was_written(tmp_path):
    (fix,) = read(tmp_path, [record("location", location())]).fixes
    assert fix == {
        "device_id": "u1",
        "event_time": moment(T),
        "lat": 37.4,
        "lon": -122.1,
        "accuracy_m": 10.0,
        "speed_mps": 3.5,
        "received_at": moment(T + 2),
        "platform": "android",
        "source_offset": 0,
        "mock": None,
    }


@pytest.mark.parametrize(
    ("data", "speed"),
    [
        ({"sensed_speed": -1}, None),
        ({"sensed_speed": 0}, 0.0),
        ({"sensed_speed": None, "speed": 4}, 4.0),
        ({"sensed_speed": None}, None),
    ],
)
def test_an_unknown_speed_is_null_and_zero_stays_zero(tmp_path, data, speed):
    (fix,) = read(tmp_path, [record("location", location(**data))]).fixes
    assert fix["speed_mps"] == speed


@pytest.mark.parametrize(
    ("code", "activity"),
    [(0, "in_vehicle"), (1, "cycling"), (2, "on_foot"), (3, "still"), (4, "unknown"), (5, "unknown"), (7, "on_foot")],
)
@pytest.mark.parametrize("names", [("type", "confidence"), ("zzbhB", "zzbhC")])
def test_android_motion_codes_under_both_their_names(tmp_path, code, activity, names):
    data = {names[0]: code, names[1]: 75}
    (motion,) = read(tmp_path, [record("motion_activity", data)]).motion
    assert (motion["activity"], motion["confidence"]) == (activity, 0.75)
    assert motion["event_time"] == moment(T + 2)  # no ts: when it was written


def test_motion_with_its_own_time_keeps_it(tmp_path):
    (motion,) = read(tmp_path, [record("motion_activity", {"type": 3, "confidence": 100, "ts": T})]).motion
    assert motion["event_time"] == moment(T)


@pytest.mark.parametrize(
    ("true", "activity"),
    [
        (["automotive"], "in_vehicle"),
        (["automotive", "stationary"], "in_vehicle"),
        (["walking"], "on_foot"),
        (["running"], "on_foot"),
        (["cycling"], "cycling"),
        (["stationary"], "still"),
        (["unknown"], "unknown"),
        ([], "unknown"),
    ],
)
def test_ios_flags(tmp_path, true, activity):
    flags = ["automotive", "cycling", "running", "walking", "stationary", "unknown"]
    data = {flag: flag in true for flag in flags} | {"ts": T, "confidence": "high"}
    (motion,) = read(tmp_path, [record("motion_activity", data, "ios")]).motion
    assert (motion["activity"], motion["confidence"], motion["platform"]) == (activity, 1.0, "ios")


def test_an_ios_confidence_level_wins_over_the_servers_number(tmp_path):
    data = {"walking": True, "confidence": 75, "confidence_level": "medium", "ts": T}
    (motion,) = read(tmp_path, [record("motion_activity", data, "ios")]).motion
    assert motion["confidence"] == 0.66


def test_derived_locations_and_state_changes_are_counted_not_read(tmp_path):
    found = read(tmp_path, [record("filtered_location", location()), record("battery", {})])
    assert (found.fixes, found.motion, found.malformed, found.ignored) == ([], [], [], 2)


def test_a_device_given_for_the_file_wins(tmp_path):
    assert read(tmp_path, [record("location", location())], device="mine").fixes[0]["device_id"] == "mine"


def test_broken_records_are_set_aside_as_sent_and_the_others_read(tmp_path):
    records = [
        record("location", location(latitude="north")),
        7,
        record("location", None),
        record("motion_activity", {"type": 6}),
        record("motion_activity", {}),
        {"metadata": None},
        record("location", location(ts=True)),
        record("location", location()) | {"user_id": {"$uuid": "\ud800"}},
        record("location", location()),
    ]
    found = read(tmp_path, records)
    assert [fix["source_offset"] for fix in found.fixes] == [8]
    assert found.reasons == [
        "bad_number",
        "not_a_record",
        "not_a_record",
        "unknown_activity",
        "missing_activity",
        "not_a_record",
        "bad_number",
        "not_a_record",
    ]
    assert [json.loads(entry.payload) for entry in found.malformed] == records[:8]


@pytest.mark.parametrize("seconds", [0, -1, 1e300, -1e300, 4_300_000_000, 10**400, float("inf")])
def test_any_clock_becomes_a_printable_candidate(tmp_path, seconds):
    (fix,) = read(tmp_path, [record("location", location(ts=seconds))]).fixes
    assert 1 <= fix["event_time"].year <= 9999


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"[]", "holds no records"),
        (b'[{"metadata": {"key": 1', "not JSON"),
        (b'[{"metadata": {"key": "\xff"}}]', "not JSON in UTF-8"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_no_json_is_refused_by_name(tmp_path, content, says):
    path = tmp_path / "phone.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_all(EmissionReader(), path)
    assert str(path) in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
field_names = ["ts", "latitude", "longitude", "accuracy", "sensed_speed", "type", "confidence", "walking", "zzbhB"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            json_values,
            st.builds(
                record,
                st.sampled_from(["location", "motion_activity"]),
                st.dictionaries(st.sampled_from(field_names), json_values, max_size=6) | json_values,
                write_ts=json_values,
                platform=json_values,
            ),
            st.builds(
                lambda data: record("location", location(**data)),
                st.dictionaries(st.sampled_from(field_names), json_values),
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_the_records_hold_each_is_read_set_aside_or_counted(tmp_path_factory, records):
    found = read(tmp_path_factory.mktemp("fuzz"), records)
    assert len(found.fixes) + len(found.motion) + len(found.malformed) + found.ignored == len(records)
