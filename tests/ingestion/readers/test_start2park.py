"""start2park waypoints: Berlin wall time to UTC through both changes of the clock, km/h to m/s."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.readers.start2park import Start2ParkReader, to_utc
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


def test_in_the_repeated_hour_the_second_pass_is_told_by_the_clock_going_back(tmp_path):
    rows = [f"t,8,50,2020-10-25 {clock},0,driving" for clock in ("02:30:00", "02:59:00", "02:01:00", "03:00:00")]
    times = [fix["event_time"] for fix in read(tmp_path, *rows).fixes]
    assert times == [datetime(2020, 10, 25, *clock, tzinfo=UTC) for clock in ((0, 30), (0, 59), (1, 1), (2, 0))]


def test_another_trips_clock_says_nothing(tmp_path):
    rows = ["t,8,50,2020-10-25 02:59:00,0,driving", "u,8,50,2020-10-25 02:01:00,0,driving"]
    assert read(tmp_path, *rows).fixes[1]["event_time"] == datetime(2020, 10, 25, 0, 1, tzinfo=UTC)


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


@settings(max_examples=60, deadline=None)
@given(
    start=st.one_of(st.integers(0, 86_400 * 700), st.integers(86_400 * 297, 86_400 * 298 + 10_000)),
    steps=st.lists(st.integers(1, 900), max_size=20),
)
def test_wall_times_stay_what_was_written_and_are_exact_outside_the_repeated_hour(start, steps):
    moments = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=start)]
    for step in steps:
        moments.append(moments[-1] + timedelta(seconds=step))
    local = [moment.astimezone(BERLIN).replace(tzinfo=None, fold=0) for moment in moments]
    converted = to_utc(pd.Series(pd.to_datetime(local)), pd.Series(["trip"] * len(local))).tolist()
    for moment, wall, found in zip(moments, local, converted, strict=True):
        assert found.to_pydatetime().astimezone(BERLIN).replace(tzinfo=None, fold=0) == wall
        once = wall.replace(tzinfo=BERLIN).utcoffset() == wall.replace(tzinfo=BERLIN, fold=1).utcoffset()
        assert found == moment or not once
