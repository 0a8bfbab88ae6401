"""What the phone's own words do to where the vehicle was left: they help, and wrong ones do no harm."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.stops.uncertainty import matched
from benchmarks.stops.world import World, make
from ingestion.facts.asof import as_of
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from parked.schemas import MOTION, TIME
from tests.ingestion.facts.test_rules_met import drive, east, fixes, seconds, standing
from tests.ingestion.facts.worlds import START_US

RULES = load_rules()
PARK_WALK_PAY_WALK = drive((12, 300, 5), (0, 20, 5), (1.3, 45, 5), (0, 30, 5), (1.3, 150, 5), (0, 900, 30))
MARGIN = 0.015
"""How many more of the places, as a share, a phone that says nothing but nonsense may make us miss."""


def words(*said: tuple[float, str], device: str = "phone") -> pa.Table:
    """MOTION of (seconds, word)."""
    when = pa.array([START_US + round(t * 1e6) for t, _ in said], pa.int64()).cast(TIME)
    activity = pa.array([word for _, word in said])
    return pa.table([[device] * len(said), when, when, activity, [1.0] * len(said)], schema=MOTION)


@pytest.mark.parametrize(
    "said",
    [
        [(20, "in_vehicle")],
        [(t, "in_vehicle") for t in range(20, 1400, 60)],
        [(20, "in_vehicle"), (290, "in_vehicle"), (515, "on_foot")],
        [(290, "in_vehicle"), (345, "still"), (350, "in_vehicle"), (380, "cycling"), (390, "in_vehicle")],
    ],
    ids=["never ended", "stuck", "late", "contradictory"],
)
def test_a_phone_that_says_vehicle_while_its_owner_walks_does_not_move_the_vehicle(
    said: list[tuple[float, str]],
) -> None:
    (left,) = standing(build_facts(fixes(PARK_WALK_PAY_WALK), words(*said), RULES), "vehicle_left")
    (unsaid,) = standing(build_facts(fixes(PARK_WALK_PAY_WALK), None, RULES), "vehicle_left")
    assert east(left) == pytest.approx(east(unsaid), abs=1)
    assert east(left) == pytest.approx(3600, abs=15)


@pytest.mark.parametrize(("step", "place"), [(2.4, 3648), (1.3, 3600)], ids=["faster than a walk", "at a walk"])
def test_what_crept_on_under_the_word_vehicle_moved_the_vehicle_only_where_nobody_walks_so_fast(
    step: float, place: float
) -> None:
    crept = drive((12, 300, 5), (0, 20, 5), (step, 20, 5), (0, 900, 5))
    (left,) = standing(build_facts(fixes(crept), words((290, "in_vehicle")), RULES), "vehicle_left")
    assert east(left) == pytest.approx(place, abs=20)


RED_LIGHT = drive((12, 300, 5), (0, 45, 5), (12, 600, 5), (0, 900, 30))


@pytest.mark.parametrize(
    "said",
    [
        [(5, "in_vehicle"), (310, "on_foot"), (320, "in_vehicle")],
        [(5, "in_vehicle"), (310, "on_foot")],
        [(t, "on_foot") for t in range(5, 900, 10)],
    ],
    ids=["for ten seconds", "never taken back", "always"],
)
def test_a_wrong_word_of_walking_at_a_red_light_is_taken_back_when_the_phone_drives_on(
    said: list[tuple[float, str]],
) -> None:
    facts = build_facts(fixes(RED_LIGHT), words(*said), RULES)
    (halt,) = standing(facts, "halt")
    assert east(halt) == pytest.approx(3600, abs=15)
    assert [round(east(left), -2) for left in standing(facts, "vehicle_left")] == [10800]
    assert "RETRACTED" in facts["status"].to_pylist()
    gone = facts.filter(pc.equal(facts["status"], "RETRACTED"))["fact_id"]
    assert "FINAL" not in facts.filter(pc.is_in(facts["fact_id"], gone.combine_chunks()))["status"].to_pylist()


@pytest.mark.parametrize("walk", [(1.3, 45, 5), (1.3, 100, 5)], ids=["25 m and more", "far"])
def test_a_word_of_walking_that_the_way_confirms_stands_though_another_drive_begins_soon(
    walk: tuple[float, float, float],
) -> None:
    gone = drive((12, 300, 5), (0, 10, 5), walk, (12, 600, 5), (0, 900, 30))
    first, _ = standing(build_facts(fixes(gone), words((5, "in_vehicle"), (320, "on_foot")), RULES), "vehicle_left")
    assert east(first) == pytest.approx(3600, abs=15)
    assert first["followed_by"] == "foot"


@pytest.mark.parametrize(
    ("said", "where"),
    [([(5, "in_vehicle"), (310, "on_foot")], 3600), ([(t, "on_foot") for t in range(5, 900, 10)], 3660)],
    ids=["of a phone that told the drive", "of one that says nothing else"],
)
def test_a_dash_is_fast_too_so_whose_word_was_good_is_believed_until_it_is_a_drive(
    said: list[tuple[float, str]], where: float
) -> None:
    dashed = drive((12, 300, 5), (0, 20, 5), (4, 15, 5), (0, 900, 30))
    (left,) = standing(build_facts(fixes(dashed), words(*said), RULES), "vehicle_left")
    assert east(left) == pytest.approx(where, abs=15)


def test_who_stands_beside_the_vehicle_on_foot_does_not_draw_its_place_along() -> None:
    beside = drive((12, 300, 5), (0, 20, 5), (1.2, 15, 5), (0, 65, 5), (1.3, 60, 5), (0, 900, 30))
    (left,) = standing(build_facts(fixes(beside), words((5, "in_vehicle"), (315, "on_foot")), RULES), "vehicle_left")
    assert east(left) == pytest.approx(3600, abs=8)


def test_a_word_of_walking_that_the_phone_takes_back_is_no_walk() -> None:
    stood = drive((12, 300, 5), (0, 900, 30))
    said = words((5, "in_vehicle"), (320, "on_foot"), (330, "in_vehicle"))
    (left,) = standing(build_facts(fixes(stood), said, RULES), "vehicle_left")
    assert left["followed_by"] == "rest"


INTO_A_GARAGE = drive((12, 300, 5))
SAID_INSIDE = ((20, "in_vehicle"), (360, "on_foot"))


def test_in_a_garage_the_word_of_walking_alone_tells_where_the_vehicle_was_left() -> None:
    facts = build_facts(fixes(INTO_A_GARAGE), words(*SAID_INSIDE), RULES)
    (left,) = standing(facts, "vehicle_left")
    assert (left["status"], left["followed_by"]) == ("PROVISIONAL", "foot")
    assert {"garage", "motion_activity"} <= set(str(left["reasons"]).split(","))
    assert east(left) == pytest.approx(3600, abs=1)
    assert seconds(left) == pytest.approx(300, abs=1)
    assert seconds(left, "available_at") == pytest.approx(360, abs=1)
    assert float(str(left["uncertainty_m"])) > 100


def test_heard_again_after_a_silence_it_is_the_same_fact() -> None:
    out = [*INTO_A_GARAGE, *((3900.0 + 5 * i, 3640.0 + 6.5 * i) for i in range(40))]
    (before,) = standing(build_facts(fixes(INTO_A_GARAGE), words(*SAID_INSIDE), RULES), "vehicle_left")
    (left,) = standing(build_facts(fixes(out), words(*SAID_INSIDE), RULES), "vehicle_left")
    assert (left["fact_id"], east(left)) == (before["fact_id"], east(before))
    assert left["followed_by"] == "foot"
    assert left["silence_s"] == pytest.approx(3600, abs=5)


@pytest.mark.parametrize("heard", [370.0, 420.0])
def test_a_word_of_walking_in_a_short_silence_of_a_drive_leaves_nothing(heard: float) -> None:
    on = [(heard + 5 * i, 12 * heard + 60.0 * i) for i in range(60)]
    on += [(on[-1][0] + 30 * i, on[-1][1]) for i in range(1, 40)]
    facts = build_facts(fixes([*INTO_A_GARAGE, *on]), words(*SAID_INSIDE), RULES)
    (left,) = standing(facts, "vehicle_left")
    assert east(left) == pytest.approx(on[-1][1], abs=15)
    assert "RETRACTED" in facts["status"].to_pylist()


def test_a_word_of_walking_in_a_silence_goes_when_the_phone_takes_it_back() -> None:
    said = words(*SAID_INSIDE, (380, "in_vehicle"))
    assert standing(build_facts(fixes(INTO_A_GARAGE), said, RULES), "vehicle_left") == []


@lru_cache(maxsize=2)
def phones(seed: int) -> World:
    return make("clean", phones=40, seed=seed)


def each_minute(world: World, word: Callable[[int], list[str]]) -> pa.Table:
    """Words of every phone, one a minute while it sends fixes, sure of themselves."""
    parts = []
    for name in pc.unique(world.fixes["device_id"]).to_pylist():
        moments = world.fixes.filter(pc.equal(world.fixes["device_id"], name))["event_time"].cast(pa.int64())
        when = np.arange(pc.min(moments).as_py(), pc.max(moments).as_py(), 60_000_000)
        times = pa.array(when, pa.int64()).cast(TIME)
        n = len(when)
        parts.append(pa.table([[name] * n, times, times, word(n), [1.0] * n], schema=MOTION))
    return pa.concat_tables(parts)


def stuck(word: str) -> Callable[[World], pa.Table]:
    return lambda world: each_minute(world, lambda n: [word] * n)


def never_ended(world: World) -> pa.Table:
    return world.motion.filter(pc.equal(world.motion["activity"], "in_vehicle"))


def at_random(world: World) -> pa.Table:
    rng = np.random.default_rng(2)
    return each_minute(world, lambda n: rng.choice(["in_vehicle", "on_foot", "still", "cycling"], n).tolist())


def late(world: World) -> pa.Table:
    """Every word 150-210 s after the 18-60 s that it lags anyway."""
    lag = np.random.default_rng(1).integers(150, 210, world.motion.num_rows) * 1_000_000
    moved = pc.add(world.motion["event_time"].cast(pa.int64()), pa.array(lag)).cast(TIME)
    return world.motion.set_column(1, MOTION.field(1), moved).set_column(2, MOTION.field(2), moved)


def missed(world: World, said: pa.Table | None) -> float:
    """Share of the places where a vehicle was left that have no fact within 50 m and 2 min."""
    found = matched(as_of(build_facts(world.fixes, said, RULES)), world.parked)
    return 1.0 - float((found["error_m"] <= 50.0).sum()) / len(world.parked)


@pytest.mark.parametrize("seed", [301, 302])
@pytest.mark.parametrize(
    "said",
    [stuck("in_vehicle"), stuck("on_foot"), stuck("still"), never_ended, late, at_random],
    ids=["always vehicle", "always on foot", "always still", "never ended", "late", "at random"],
)
def test_wrong_words_are_hardly_worse_than_none(seed: int, said: Callable[[World], pa.Table]) -> None:
    world = phones(seed)
    assert missed(world, said(world)) <= missed(world, None) + MARGIN


def test_true_words_find_more_places_than_none() -> None:
    world = phones(301)
    assert missed(world, world.motion) < missed(world, None)
