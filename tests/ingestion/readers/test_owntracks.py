"""OwnTracks messages: one, many, or one a line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.readers.owntracks import OwnTracksReader
from parked.errors import InputError
from tests.ingestion.readers.helpers import Everything, read_all


def message(**changes: Any) -> dict[str, Any]:
    base = {"_type": "location", "tst": 1_700_000_000, "lat": 52.5, "lon": 13.4, "acc": 12, "vel": 36, "tid": "jd"}
    return base | changes


def read(folder: Path, text: str, device: str | None = None) -> Everything:
    path = folder / "owntracks.json"
    path.write_text(text, encoding="utf-8")
    return read_all(OwnTracksReader(), path, device)


def test_a_location_becomes_a_fix_in_metres_per_second(tmp_path):
    (fix,) = read(tmp_path, json.dumps(message(created_at=1_700_000_005))).fixes
    assert (fix["device_id"], fix["lat"], fix["lon"], fix["accuracy_m"], fix["speed_mps"]) == (
        "jd",
        52.5,
        13.4,
        12.0,
        10.0,
    )
    assert fix["event_time"] == datetime.fromtimestamp(1_700_000_000, UTC)
    assert fix["received_at"] == datetime.fromtimestamp(1_700_000_005, UTC)


@pytest.mark.parametrize("form", [json.dumps, lambda many: "\n".join(json.dumps(one) for one in many) + "\n\n"])
def test_an_array_and_lines_read_the_same(tmp_path, form):
    found = read(tmp_path, form([message(), message(tst=1_700_000_001), {"_type": "lwt"}]))
    assert [fix["source_offset"] for fix in found.fixes] == [0, 1]
    assert found.ignored == 1


@pytest.mark.parametrize(
    ("changes", "given_device", "device"),
    [
        ({"topic": "owntracks/jane/phone"}, None, "jane/phone"),
        ({"topic": "owntracks/jane/phone/event"}, None, "jane/phone"),
        ({"topic": "short"}, None, "jd"),
        ({"topic": "owntracks/jane/phone"}, "mine", "mine"),
        ({"tid": None}, None, None),
    ],
)
def test_whose_phone_it_was(tmp_path, changes, given_device, device):
    (fix,) = read(tmp_path, json.dumps(message(**changes)), given_device).fixes
    assert fix["device_id"] == device


def test_motion_activities_become_a_motion_record_of_their_own(tmp_path):
    found = read(tmp_path, json.dumps(message(motionactivities=["stationary", "automotive"])))
    assert [(m["activity"], m["confidence"], m["platform"]) for m in found.motion] == [("in_vehicle", None, "ios")]
    assert len(found.fixes) == 1


def test_one_bad_line_stops_no_other(tmp_path):
    lines = [
        json.dumps(message()),
        '{"_type": "loc',
        json.dumps(message(lat="x")),
        json.dumps(message(tst=1_700_000_009)),
    ]
    found = read(tmp_path, "\n".join(lines))
    assert [fix["source_offset"] for fix in found.fixes] == [0, 3]
    assert found.reasons == ["not_a_record", "bad_number"]
    assert found.malformed[0].payload == '{"_type": "loc'


def test_a_negative_velocity_is_unknown(tmp_path):
    assert read(tmp_path, json.dumps(message(vel=-1))).fixes[0]["speed_mps"] is None


def test_a_file_without_one_json_line_is_refused(tmp_path):
    with pytest.raises(InputError, match="not JSON"):
        read(tmp_path, "hello\nworld\n")


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
)
fields = ["tst", "lat", "lon", "acc", "vel", "tid", "topic", "created_at", "motionactivities"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(fields), values), min_size=1, max_size=5))
def test_whatever_a_message_holds_it_is_read_or_set_aside(tmp_path_factory, changes):
    text = json.dumps([message(**change) for change in changes])
    found = read(tmp_path_factory.mktemp("fuzz"), text)
    assert len(found.fixes) + len(found.malformed) == len(changes)


@pytest.mark.parametrize("between", [",", ",\n"])
def test_a_byte_lost_anywhere_in_a_record_of_an_array_costs_that_record_alone(tmp_path, between):
    first = 1_714_000_000
    records = [json.dumps({"_type": "location", "tst": first + n, "lat": 50, "lon": 8, "tid": "a"}) for n in range(3)]
    for broken in range(3):
        for at in range(len(records[broken])):
            damaged = [*records]
            damaged[broken] = records[broken][:at] + records[broken][at + 1 :]
            path = tmp_path / "a.json"
            path.write_text(f"[{between.join(damaged)}]")
            found = read_all(OwnTracksReader(), path)
            whole = {datetime.fromtimestamp(first + n, UTC) for n in range(3) if n != broken}
            assert whole <= {fix["event_time"] for fix in found.fixes}
