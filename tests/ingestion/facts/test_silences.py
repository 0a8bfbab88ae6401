"""What is said of rests that a silence hides in part, and of phones that only seem to leave."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from tests.ingestion.facts.test_rules_met import drive, east, fixes, seconds, standing

RULES = load_rules()


def facts_of(*parts: tuple[float, list[tuple[float, float]]]) -> pa.Table:
    """Facts of tracks that each begin ``silent`` seconds after the one before, where that ended plus their own way."""
    points: list[tuple[float, float]] = []
    for silent, part in parts:
        at = points[-1][0] + silent if points else 0.0
        points += [(at + t, x) for t, x in part]
    return build_facts(fixes(points), None, RULES)


def shifted(metres: float, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(t, x + metres) for t, x in points]


DRIVE = drive((12, 300, 5))  # 3600 m


def test_a_rest_that_a_silence_hides_the_arrival_of_begins_as_soon_as_the_way_allows() -> None:
    (stop,) = standing(facts_of((0, DRIVE), (600, shifted(4600, drive((0, 600, 10))))), "stop")
    assert east(stop) == pytest.approx(4600, abs=10)
    assert seconds(stop) == pytest.approx(300 + 1000 / RULES.rest.travel_mps, abs=2)
    assert stop["started_uncertainty_s"] == 600
    assert "silence" in str(stop["reasons"])


def test_it_is_said_at_the_first_fix_and_taken_back_where_the_drive_goes_on() -> None:
    stops = facts_of((0, DRIVE), (400, shifted(4100, drive((12, 300, 5))))).to_pylist()
    stops = [(row["status"], row["revision"]) for row in stops if row["kind"] == "stop"]
    assert stops == [("OPEN", 1), ("RETRACTED", 2)]


def test_a_silence_long_enough_for_more_than_detours_is_a_rest_though_the_phone_moves_off_at_once() -> None:
    stops = standing(facts_of((0, DRIVE), (1200, shifted(4600, drive((1.3, 300, 5), (12, 60, 5))))), "stop")
    assert [round(seconds(stop)) for stop in stops] == [500]
    assert seconds(stops[0], "ended_at") == pytest.approx(1500, abs=30)


def test_who_had_set_out_when_the_phone_fell_silent_left_then() -> None:
    rest = drive((0, 900, 10), (1.3, 40, 5))
    stop = standing(facts_of((0, rest), (3600, shifted(240, drive((0, 900, 10))))), "stop")[0]
    assert seconds(stop, "ended_at") == pytest.approx(900, abs=30)
    assert float(str(stop["ended_uncertainty_s"])) < 60


def test_who_rested_when_the_phone_fell_silent_left_within() -> None:
    stop = standing(facts_of((0, drive((0, 900, 10))), (3600, shifted(3000, drive((12, 60, 5))))), "stop")[0]
    assert seconds(stop, "ended_at") == pytest.approx(4500 - 3000 / RULES.rest.travel_mps, abs=2)
    assert stop["ended_uncertainty_s"] == 3600


def test_a_phone_that_drifts_back_to_where_it_is_has_not_left() -> None:
    drift = drive((12, 300, 5), (0, 300, 5), (1.0, 70, 5), (0, 400, 5), (1.3, 300, 5))
    (stop,) = standing(facts_of((0, drift)), "stop")
    assert seconds(stop) == pytest.approx(300, abs=30)
    assert seconds(stop, "ended_at") == pytest.approx(1070, abs=30)


def test_three_jumps_soon_after_each_other_are_no_journey() -> None:
    places = {800: 3000, 880: -2500, 960: 5000}
    points = [(t, x + places.get(round(t), 0)) for t, x in drive((0, 3600, 80))]
    (stop,) = standing(build_facts(fixes(points), None, RULES), "stop")
    assert stop["ended_at"] is None


def test_two_that_agree_are_believed_after_a_silence_on_the_way() -> None:
    facts = facts_of((0, DRIVE), (7200, shifted(8000, drive((0, 100, 100)))))
    (stop,) = standing(facts, "stop")
    assert (stop["status"], round(east(stop), -1)) == ("OPEN", 8000)


PARK_AND_WALK = drive((12, 300, 5), (0, 60, 5), (1.3, 150, 5), (0, 900, 10))


@pytest.mark.parametrize("first", [60, 300], ids=["near", "on its way"])
def test_a_vehicle_driven_off_within_a_silence_left_within_as_the_stop_did(first: float) -> None:
    away = shifted(3795 + first, drive((12, 120, 5)))
    facts = facts_of((0, PARK_AND_WALK), (36_000, away))
    heard = PARK_AND_WALK[-1][0] + 36_000
    left = standing(facts, "vehicle_left")[0]
    stop = standing(facts, "stop")[-1]
    assert seconds(stop, "ended_at") <= seconds(left, "ended_at") <= heard
    assert seconds(left, "ended_at") == pytest.approx(heard, abs=120)
    assert left["ended_uncertainty_s"] == pytest.approx(36_000, abs=120)


def test_a_vehicle_seen_to_drive_off_left_then() -> None:
    facts = facts_of((0, PARK_AND_WALK), (5, shifted(3795, drive((0, 60, 5), (12, 120, 5)))))
    left = standing(facts, "vehicle_left")[0]
    assert seconds(left, "ended_at") == pytest.approx(PARK_AND_WALK[-1][0] + 65, abs=15)
    assert 0 < float(str(left["ended_uncertainty_s"])) <= 20


def test_what_was_fast_for_a_moment_before_a_silence_began_no_drive_that_began_after_it() -> None:
    darted = drive((12, 300, 5), (0, 60, 5), (1.3, 150, 5), (0, 900, 10), (4, 10, 5))
    facts = facts_of((0, darted), (36_000, shifted(4200, drive((12, 120, 5)))))
    left = standing(facts, "vehicle_left")[0]
    assert seconds(left, "ended_at") == pytest.approx(darted[-1][0] + 36_000, abs=120)
    assert left["ended_uncertainty_s"] == pytest.approx(36_000, abs=120)
