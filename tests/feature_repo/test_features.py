"""What each feature says of a small, hand-made day."""

from __future__ import annotations

import math
from typing import Any

import pytest

from feature_repo.asked import ASKED_FEATURES, ASKED_INPUTS, ask
from feature_repo.declare import declared
from feature_repo.fact import facts_of
from feature_repo.known import Known
from parked.geo import cell_of, offset_m
from tests.feature_repo.facts_builder import HOME, HOUR, MINUTE, SECOND, START, Row, row, table

EAST = offset_m(*HOME, 3000.0, 0.0)


@pytest.fixture
def day() -> Known:
    """Home at 0, a drive that ended 3 km east at 30 min, a stop 80 m from there, not ended."""
    leg: Row = {
        "leg_started_at": START + 24 * MINUTE,
        "leg_distance_m": 4500.0,
        "leg_max_speed_mps": 20.0,
        "leg_fixes": 36,
        "leg_halts": 9,
        "walked_m": 80.0,
        "followed_by": "foot",
        "motion_before": "in_vehicle",
    }
    rows = [
        row(
            "d1", "a", "vehicle_left", START, START, ended_at=START + 24 * MINUTE, return_m=15.0,
            next_leg_lat=HOME[0], next_leg_lon=HOME[1], leg_distance_m=500.0, accuracy_m=20.0,
        ),
        row("d1", "s", "stop", START + MINUTE, START, ended_at=START + 21 * MINUTE, radius_m=12.0),
        row("d1", "h", "halt", START + 29 * MINUTE, START, at=EAST, ended_at=START + 29 * MINUTE + 30 * SECOND),
        row("d1", "b", "vehicle_left", START + 30 * MINUTE, START, at=EAST, **leg),
        row("d1", "t", "stop", START + 32 * MINUTE, START, at=offset_m(*EAST, 80.0, 0.0), radius_m=9.0),
    ]  # fmt: skip
    known = Known("d1")
    for fact in facts_of(table(rows)):
        known.apply(fact)
    return known


def value(name: str, known: Known, subject: str = "b") -> Any:
    feature = declared().get(name)
    assert feature is not None
    if feature.view == "device_state":
        return feature.of(known, known)
    return feature.of(known.places[subject] if feature.view == "place_state" else known.current(subject), known)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("leg_duration_s", 360.0),
        ("leg_mean_speed_mps", 12.5),
        ("leg_cadence_s", 10.0),
        ("leg_halts_per_km", 2.0),
        ("leg_net_m", pytest.approx(3000, rel=1e-4)),
        ("leg_detour", pytest.approx(1.5, rel=1e-4)),
        ("from_previous_m", pytest.approx(3000, rel=1e-4)),
        ("since_previous_s", 1800.0),
        ("previous_away_s", 1440.0),
        ("previous_return_m", 15.0),
        ("followed_by", "foot"),
        ("motion_before", "in_vehicle"),
        ("motion_after", None),
        ("walked_m", 80.0),
        ("ended", False),
        ("away_s", None),
        ("return_m", None),
        ("next_ride_s", None),
        ("rest_delay_s", 120.0),
        ("rest_s", None),
        ("rest_radius_m", 9.0),
        ("rest_distance_m", pytest.approx(80, rel=1e-3)),
        ("halt_s", 30.0),
        ("rest_from_us", START + 32 * MINUTE),
        ("rest_until_us", None),
    ],
)
def test_of_the_candidate(day, name, expected):
    assert value(name, day) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("leg_duration_s", None),
        ("leg_mean_speed_mps", None),
        ("leg_cadence_s", None),
        ("leg_halts_per_km", None),
        ("leg_net_m", None),
        ("leg_detour", None),
        ("since_previous_s", None),
        ("ended", True),
        ("away_s", 1440.0),
        ("return_m", 15.0),
        ("next_ride_s", 1800.0),
        ("rest_s", 1200.0),
        ("halt_s", None),
    ],
)
def test_of_a_candidate_without_a_leg_that_has_ended(day, name, expected):
    assert value(name, day, "a") == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("candidate_1", "b"),
        ("candidate_2", "a"),
        ("candidate_3", None),
        ("ended_at_us_1", None),
        ("ended_at_us_2", START + 24 * MINUTE),
        ("left_at_us_1", START + 30 * MINUTE),
        ("cell_1", cell_of(*EAST)),
        ("lat_3", None),
        ("driving", False),
        ("candidates_7d", 2),
        ("median_leg_m", 2500.0),
        ("median_accuracy_m", 14.0),
        ("median_cadence_s", 10.0),
        ("quick_again_share", 0.0),
        ("usual_return_m", 15.0),
        ("usual_halts_per_km", None),
        ("usual_leg_speed_mps", None),
        ("days_known", 32 / 1440),
        ("sends_motion", True),
    ],
)
def test_of_the_phone(day, name, expected):
    assert value(name, day) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stays_here", 1),
        ("dwell_here_s", 1200.0),
        ("days_here", 1),
        ("candidates_here", 1),
        ("returns_here", 1),
        ("quick_here", 0),
        ("last_stay_ended_us", START + 21 * MINUTE),
    ],
)
def test_of_the_place(day, name, expected):
    assert value(name, day, cell_of(*HOME)) == expected


def test_the_phone_is_driving_once_a_leg_began_from_its_newest_candidate(day):
    (gone,) = facts_of(
        table([row("d1", "b", "vehicle_left", START + 30 * MINUTE, START, at=EAST, ended_at=START + HOUR, revision=1)])
    )
    day.apply(gone)
    assert value("driving", day) is True


def test_a_phone_without_facts_has_no_values_but_counts():
    nothing = Known("d0")
    values = {f.name: f.of(nothing, nothing) for f in declared().of("device_state")}
    assert {name for name, found in values.items() if found is not None} == {"candidates_7d"}
    assert values["candidates_7d"] == 0


def asked(**columns: Any) -> dict[str, Any]:
    inputs = {"asked_at_us": [0], **{name: [None] for names in ASKED_INPUTS.values() for name in names}}
    inputs |= {name: [given] for name, given in columns.items()}
    return {name: column[0] for name, column in ask(inputs).items()}


def test_ages_count_up_to_the_moment_asked():
    answers = asked(asked_at_us=START + HOUR, left_at_us=START, rest_from_us=START + MINUTE, last_stay_ended_us=START)
    assert (answers["age_s"], answers["rest_so_far_s"], answers["since_last_stay_s"]) == (3600.0, 3540.0, 3600.0)


def test_a_rest_that_has_ended_no_longer_grows():
    answers = asked(asked_at_us=START + HOUR, rest_from_us=START, rest_until_us=START + MINUTE)
    assert answers["rest_so_far_s"] == 60.0


def test_the_hour_is_the_suns_not_the_servers():
    noon_in_greenwich = 12 * HOUR
    there = asked(left_at_us=noon_in_greenwich, lon=0.0)
    assert (there["left_hour_sin"], there["left_hour_cos"]) == pytest.approx((0.0, -1.0), abs=1e-12)
    evening = asked(left_at_us=noon_in_greenwich, lon=90.0)
    assert (evening["left_hour_sin"], evening["left_hour_cos"]) == pytest.approx((-1.0, 0.0), abs=1e-12)


def test_what_is_not_known_stays_unknown_at_the_moment_asked():
    answers = asked(asked_at_us=START)
    assert set(answers) == set(ASKED_FEATURES)
    assert set(answers.values()) == {None}


def test_the_circle_of_hours_has_radius_one():
    answers = asked(asked_at_us=START, left_at_us=START - HOUR, lon=-122.0)
    assert math.hypot(answers["asked_hour_sin"], answers["asked_hour_cos"]) == pytest.approx(1.0)
