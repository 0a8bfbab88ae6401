"""What is told of a vehicle that a phone fell silent in while it rolled, for less than a silence that ends a leg."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from tests.ingestion.facts.test_rules_met import drive, east, fixes, seconds, standing

RULES = load_rules()

Points = list[tuple[float, float]]
ROLLING_IN = drive((12, 300, 5), (5, 10, 5))  # to 3650 m, at 310 s


def heard_again(silent: float, metres: float, *legs: tuple[float, float, float]) -> Points:
    """Into the dark, and ``silent`` s later ``metres`` on; there goes on as ``legs`` say."""
    at, x = ROLLING_IN[-1]
    return ROLLING_IN + [(at + silent + t, x + metres + away) for t, away in drive(*legs)]


def facts_of(points: Points, **options: float) -> pa.Table:
    return build_facts(fixes(points, **options), None, RULES)


WALKS_ON = ((1.3, 150, 5), (0, 900, 10))
STAYS = ((0, 1200, 10),)


@pytest.mark.parametrize("then", [WALKS_ON, STAYS], ids=["walks on", "stays"])
@pytest.mark.parametrize("silent", [60, 90, 150])
def test_a_short_silence_from_rolling_to_on_foot_is_a_garage(
    silent: float, then: tuple[tuple[float, ...], ...]
) -> None:
    (left,) = standing(facts_of(heard_again(silent, 50, *then)), "vehicle_left")
    assert "garage" in str(left["reasons"]).split(",")
    assert 3650 < east(left) < 3700
    assert 20 < float(str(left["uncertainty_m"])) < 80
    assert 310 < seconds(left) < 310 + silent
    assert left["silence_s"] == silent


def test_it_is_told_with_the_first_fix_after_and_the_later_ones_make_no_other_of_it() -> None:
    facts = facts_of(heard_again(90, 50, *WALKS_ON))
    rows = [row for row in facts.to_pylist() if row["kind"] == "vehicle_left"]
    assert len({row["fact_id"] for row in rows}) == 1
    assert [row["status"] for row in rows] == ["OPEN", "PROVISIONAL"]
    assert seconds(rows[0], "available_at") == pytest.approx(400, abs=1)
    assert {row["uncertainty_m"] > 20 for row in rows} == {True}


def test_the_longer_the_silence_the_less_is_known_of_the_place() -> None:
    stated = [
        float(str(standing(facts_of(heard_again(silent, 50, *STAYS)), "vehicle_left")[0]["uncertainty_m"]))
        for silent in (50, 70, 90, 150, 175)
    ]
    assert stated == sorted(stated)
    assert stated[0] < stated[-1]


def test_the_worse_the_fixes_after_it_the_nearer_the_place_to_the_last_one_before() -> None:
    def told(accuracy: float) -> float:
        points = heard_again(90, 50, *STAYS)
        before, after = fixes(ROLLING_IN), fixes(points[len(ROLLING_IN) :], accuracy=accuracy)
        return east(standing(build_facts(pa.concat_tables([before, after]), None, RULES), "vehicle_left")[0])

    assert 3650 < told(60.0) < told(25.0) < told(5.0) < 3700


@pytest.mark.parametrize("silent", [60, 90, 150])
def test_a_tunnel_is_no_garage(silent: float) -> None:
    on = heard_again(silent, 10 * silent, (12, 200, 5), (0, 900, 10))
    (left,) = standing(facts_of(on), "vehicle_left")
    assert "garage" not in str(left["reasons"])
    assert east(left) == pytest.approx(on[-1][1], abs=15)


@pytest.mark.parametrize("silent", [60, 90, 150])
@pytest.mark.parametrize("stands", [0, 30, 60])
def test_a_red_light_that_loses_fixes_is_no_garage(silent: float, stands: float) -> None:
    facts = facts_of(heard_again(silent, 30, (0, stands, 5), (12, 300, 5), (0, 900, 10)))
    (left,) = standing(facts, "vehicle_left")
    assert "garage" not in str(left["reasons"])
    assert east(left) == pytest.approx(3680 + 3600, abs=15)
    halts = standing(facts, "halt")
    assert len(halts) == (stands > 0)
    for halt in halts:
        assert east(halt) == pytest.approx(3680, abs=5)
        assert seconds(halt) == pytest.approx(310 + silent, abs=1)


@pytest.mark.parametrize("every", [20, 30, 60])
def test_a_phone_that_is_always_as_slow_as_that_tells_of_no_garage(every: float) -> None:
    in_time = drive((12, 600, every))
    at, x = in_time[-1]
    lost = 2 * every
    points = in_time + [(at + lost + t, x + 50 + away) for t, away in drive((1.3, 150, every), (0, 900, every))]
    (left,) = standing(facts_of(points), "vehicle_left")
    assert "garage" not in str(left["reasons"])


def test_who_was_seen_to_stand_before_the_silence_left_there() -> None:
    at, x = ROLLING_IN[-1]
    stood = ROLLING_IN + [(at + 5.0 * i, x) for i in range(1, 5)]
    points = stood + [(stood[-1][0] + 90 + t, x + 50 + away) for t, away in drive(*WALKS_ON)]
    (left,) = standing(facts_of(points), "vehicle_left")
    assert "garage" not in str(left["reasons"])
    assert east(left) == pytest.approx(x, abs=5)


def test_a_copy_of_the_fixes_and_any_order_tell_the_same() -> None:
    table = fixes(heard_again(90, 50, *WALKS_ON))
    again = pa.concat_tables([table, table]).take(pa.array([*range(2 * table.num_rows)][::-1]))
    assert build_facts(again, None, RULES).equals(build_facts(table, None, RULES))
