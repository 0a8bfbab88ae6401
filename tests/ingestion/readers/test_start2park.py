"""start2park waypoints: Berlin wall time to UTC through both changes of the clock, km/h to m/s."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.readers.port import Kept
from ingestion.readers.start2park import Start2ParkReader
from parked.errors import InputError
from tests.ingestion.readers.helpers import Everything, read_all

BERLIN = ZoneInfo("Europe/Berlin")


def read(folder: Path, *rows: str, device: str | None = None) -> Everything:
    path = folder / "waypoints.csv"
    path.write_text("TripID,lon,lat,time,speed_kmh,label\n" + "".join(f"{row}\n" for row in rows))
    return read_all(Start2ParkReader(), path, device)


def test_a_waypoint_becomes_a_fix_of_its_trip(tmp_path):
    (fix,) = read(tmp_path, "01202102222011,8.677,50.13,2021-02-22 20:11:11,36,driving").fixes
    assert fix == {
        "device_id": "01202102222011",
        "event_time": datetime(2021, 2, 22, 19, 11, 11, tzinfo=UTC),
        "lat": 50.13,
        "lon": 8.677,
        "accuracy_m": None,
        "speed_mps": 10.0,
        "received_at": None,
        "platform": None,
        "source_offset": 0,
        "mock": None,
    }


def test_summer_is_two_hours_ahead(tmp_path):
    (fix,) = read(tmp_path, "t,8,50,2021-07-01 12:00:00,0,driving").fixes
    assert fix["event_time"] == datetime(2021, 7, 1, 10, tzinfo=UTC)


def night(folder: Path, *clocks: str, trip: str = "t") -> tuple[list[datetime], list[str]]:
    """The UTC moments of wall times of 25 October 2020, and the reasons of those set aside."""
    found = read(folder, *(f"{trip},8,50,2020-10-25 {clock},0,driving" for clock in clocks))
    return [fix["event_time"] for fix in found.fixes], found.reasons


def at(hour: int, minute: int) -> datetime:
    return datetime(2020, 10, 25, hour, minute, tzinfo=UTC)


def test_a_repeated_time_that_goes_on_from_before_the_hour_is_of_the_first_pass(tmp_path):
    assert night(tmp_path, "01:55:00", "02:04:00", "02:14:00") == ([at(23, 55) - timedelta(1), at(0, 4), at(0, 14)], [])


def test_a_repeated_time_that_goes_on_to_after_the_hour_is_of_the_second_pass(tmp_path):
    assert night(tmp_path, "02:51:00", "02:58:00", "03:05:00") == ([at(1, 51), at(1, 58), at(2, 5)], [])


@pytest.mark.parametrize(
    "clocks",
    [
        ["02:30:00"],  # alone
        ["02:59:00", "02:01:00"],  # the order of rows is none of theirs
        ["01:55:00", "02:06:00"],  # too far from what is before
        ["02:40:00", "03:05:00"],
        ["01:55:00", *(f"02:{m:02d}:00" for m in range(0, 60, 10))],  # it may go on into the second pass
        [*(f"02:{m:02d}:00" for m in range(9, 60, 10)), "03:05:00"],  # it may have begun in the first
    ],
)
def test_a_repeated_time_that_nothing_tells_of_is_set_aside(tmp_path, clocks):
    moments, reasons = night(tmp_path, *clocks)
    assert reasons == ["local_time_repeated"] * sum(clock.startswith("02") for clock in clocks)
    assert len(moments) == sum(not clock.startswith("02") for clock in clocks)


def test_another_trips_clock_says_nothing(tmp_path):
    found = read(tmp_path, "t,8,50,2020-10-25 01:58:00,0,driving", "u,8,50,2020-10-25 02:01:00,0,driving")
    assert found.reasons == ["local_time_repeated"]


def test_neighbours_may_stand_anywhere_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ingestion.readers.csvfile._BLOCK_BYTES", 256)
    far = [f"x,8,50,2021-02-01 10:{m:02d}:00,0,driving" for m in range(60)]
    rows = ["t,8,50,2020-10-25 02:04:00,0,driving", *far, "t,8,50,2020-10-25 01:58:00,0,driving"]
    found = read(tmp_path, *rows)
    assert (found.fixes[0]["event_time"], found.reasons) == (at(0, 4), [])


def test_kept_rows_of_a_repeated_hour_stay_aside(tmp_path):
    rows = [f"t,8,50,2020-10-25 {clock},0,driving" for clock in ("01:58:00", "02:04:00")]
    names = ("TripID", "lon", "lat", "time", "speed_kmh", "label")
    kept = [Kept(json.dumps(dict(zip(names, row.split(","), strict=True))), None) for row in rows]
    again = Start2ParkReader().again(kept, source="waypoints.csv")
    assert [str(entry.reason) for entry in again.malformed] == ["local_time_repeated"]
    assert again.fixes.num_rows == 1


def test_bad_rows_are_set_aside(tmp_path):
    rows = [
        "t,8,50,2021-03-28 02:30:00,0,driving",  # the hour that never was
        "t,8,50,tomorrow,0,driving",
        "t,8,north,2021-03-01 02:30:00,0,driving",
        "t,8",
        "t,8,50,2021-03-01 02:30:00,,driving",
    ]
    found = read(tmp_path, *rows)
    assert sorted(zip([m.source_offset for m in found.malformed], found.reasons, strict=True)) == [
        (0, "local_time_skipped"),
        (1, "bad_time"),
        (2, "bad_number"),
        (3, "not_a_record"),
    ]
    assert [(fix["source_offset"], fix["speed_mps"]) for fix in found.fixes] == [(4, None)]


def test_missing_columns_are_named(tmp_path):
    path = tmp_path / "metadata.csv"
    path.write_text("TripID,time\na,b\n")
    with pytest.raises(InputError, match="no column lon, lat, speed_kmh"):
        read_all(Start2ParkReader(), path)


@settings(max_examples=100, deadline=None)
@given(
    start=st.one_of(st.integers(0, 86_400 * 700), st.integers(86_400 * 297, 86_400 * 298 + 10_000)),
    steps=st.lists(st.one_of(st.integers(1, 600), st.integers(540, 600)), max_size=20),
    order=st.randoms(use_true_random=False),
)
def test_a_drives_moments_are_told_exactly_or_not_at_all_in_any_order(tmp_path_factory, start, steps, order):
    moments = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=start)]
    for step in steps:
        moments.append(moments[-1] + timedelta(seconds=step))
    order.shuffle(moments)
    walls = [moment.astimezone(BERLIN).replace(tzinfo=None, fold=0) for moment in moments]
    found = read(tmp_path_factory.mktemp("drive"), *(f"t,8,50,{wall},0,driving" for wall in walls))
    told = {fix["source_offset"]: fix["event_time"] for fix in found.fixes}
    assert len(told) + len(found.malformed) == len(moments)
    for offset, (moment, wall) in enumerate(zip(moments, walls, strict=True)):
        once = wall.replace(tzinfo=BERLIN).utcoffset() == wall.replace(tzinfo=BERLIN, fold=1).utcoffset()
        assert told.get(offset) == moment or not (once or offset in told)
