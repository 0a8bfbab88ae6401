"""Where the vehicle was left and within what, where its driver walks only a few steps to a door and stays there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.stops.held.doors import SHORT_S, behind_doors
from benchmarks.stops.held.world import Held
from benchmarks.stops.uncertainty import coverage, matched
from ingestion.facts.asof import as_of
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from tests.ingestion.facts.test_rules_met import drive, east, fixes, standing

RULES = load_rules()


def left(points: list[tuple[float, float]], accuracy: float = 5.0) -> tuple[float, float]:
    """Metres east and uncertainty of the one vehicle left."""
    (row,) = standing(build_facts(fixes(points, accuracy=accuracy), None, RULES), "vehicle_left")
    return east(row), float(str(row["uncertainty_m"]))


@pytest.mark.parametrize("way", [15, 20, 25])
def test_who_rests_a_few_steps_from_the_vehicle_draws_its_place_along_by_less_than_is_stated(way: float) -> None:
    place, stated = left(drive((12, 300, 5), (0, 20, 5), (1.0, way, 5), (0, 900, 10)))
    assert place == pytest.approx(3600, abs=min(stated, 4.0))


def test_coarse_fixes_speak_for_the_place_longer_than_sharp_ones() -> None:
    """At the door they tell as much of a vehicle 20 m away: their error is larger than the way."""
    near = drive((12, 300, 5), (0, 20, 5), (1.0, 20, 5), (0, 900, 10))
    (sharp, _), (coarse, _) = left(near), left(near, accuracy=60.0)
    assert sharp < 3604 < coarse < 3620


def test_fixes_of_every_second_claim_little_more_than_those_of_every_six() -> None:
    """Errors of fixes a second apart are one error: six of them know what one knows."""
    seldom, often = (left(drive((12, 300, step), (0, 1200, step)))[1] for step in (6, 1))
    assert 0.9 * seldom <= often <= seldom


def test_what_went_unheard_before_it_stood_is_in_the_uncertainty() -> None:
    often, seldom = (left(drive((12, 300, 5), (0, step, step), (0, 900, 10)))[1] for step in (5, 60))
    assert seldom > 1.2 * often


def test_until_what_followed_is_known_the_walk_may_be_any() -> None:
    near = drive((12, 300, 5), (0, 1200, 6))
    facts = build_facts(fixes(near), None, RULES).to_pylist()
    first, *_, last = [r for r in facts if r["kind"] == "vehicle_left"]
    assert (first["status"], last["followed_by"]) == ("OPEN", "rest")
    assert first["uncertainty_m"] > 1.5 * last["uncertainty_m"]


@pytest.mark.parametrize("door_m", [5.0, 15.0, 30.0])
def test_behind_near_doors_two_of_three_vehicles_stand_within_the_uncertainty(door_m: float) -> None:
    held = Held.make(40, 23, tune=True, life=behind_doors(door_m, SHORT_S))
    errors = matched(as_of(build_facts(held.fixes("clean"), None, RULES)), held.parked())
    assert len(errors) > 1000
    assert 0.63 <= coverage(errors) <= 0.73


def test_the_cars_of_such_a_world_stand_as_far_from_the_doors_as_it_says() -> None:
    held = Held.make(2, 21, life=behind_doors(15.0, SHORT_S), every_s=(60.0, 60.0))
    assert held.parked()["walk_m"].tolist() == pytest.approx([15.0] * len(held.parked()))
    times = np.diff(held.fixes("clean")["event_time"].cast(pa.int64()).to_numpy()) / 1e6
    assert np.median(times) >= 50.0
