"""The same records give the same facts; moved or mirrored records give moved or mirrored facts, to the last bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts.build import build_facts
from ingestion.facts.kernel.geometry import apart, distance, scale_at
from ingestion.facts.rules import load_rules
from parked.schemas import TIME
from tests.ingestion.facts.test_rules_met import fixes, standing
from tests.ingestion.facts.worlds import METRE, world

RULES = load_rules()
seeds = st.integers(0, 2**32 - 1)
FREE = ["fact_id", "lat", "lon", "next_leg_lat", "next_leg_lon"]


def e7(column: pa.ChunkedArray) -> np.ndarray:
    return np.rint(np.asarray(column.fill_null(0.0)) * 1e7).astype(np.int64)


def put(table: pa.Table, name: str, values: object) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))


@settings(max_examples=20, deadline=None)
@given(seeds, st.randoms(use_true_random=False))
def test_any_order_of_rows_and_any_copies_give_the_same_facts(seed: int, random: object) -> None:
    fixes, motion = world(seed, late=0.1)
    rng = np.random.default_rng(seed)
    copies = fixes.filter(pa.array(rng.random(fixes.num_rows) < 0.1))
    shuffled = pa.concat_tables([fixes, copies]).take(pa.array(rng.permutation(fixes.num_rows + copies.num_rows)))
    moved = motion.take(pa.array(rng.permutation(motion.num_rows)))
    assert build_facts(shuffled, moved, RULES).equals(build_facts(fixes, motion, RULES))


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_a_device_alone_has_the_facts_it_has_among_others(seed: int) -> None:
    fixes, motion = world(seed, devices=3, late=0.1)
    together = build_facts(fixes, motion, RULES)
    alone = build_facts(
        fixes.filter(pc.equal(fixes["device_id"], "phone-1")),
        motion.filter(pc.equal(motion["device_id"], "phone-1")),
        RULES,
    )
    assert together.filter(pc.equal(together["device_id"], "phone-1")).equals(alone)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_mirroring_the_latitudes_mirrors_the_facts(seed: int) -> None:
    fixes, motion = world(seed, late=0.1)
    there = build_facts(fixes, motion, RULES)
    mirrored = build_facts(put(fixes, "lat", -np.asarray(fixes["lat"])), motion, RULES)
    assert there.drop_columns(FREE).equals(mirrored.drop_columns(FREE))
    assert (e7(there["lat"]) == -e7(mirrored["lat"])).all()
    assert (e7(there["lon"]) == e7(mirrored["lon"])).all()


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(-1_799_999_999, 1_799_999_999), st.sampled_from([0.0, 50.1, -37.0, 89.2, 89.99]))
def test_moving_along_the_longitudes_moves_the_facts_even_across_the_antimeridian(
    seed: int, shift: int, lat: float
) -> None:
    fixes, motion = world(seed, late=0.1, centre=(lat, 8.6))
    there = build_facts(fixes, motion, RULES)
    lon = (e7(fixes["lon"]) + shift + 1_800_000_000) % 3_600_000_000 - 1_800_000_000
    moved = build_facts(put(fixes, "lon", lon / 1e7), motion, RULES)
    assert there.drop_columns(FREE).equals(moved.drop_columns(FREE))
    difference = (e7(moved["lon"]) - e7(there["lon"]) - shift) % 3_600_000_000
    assert (difference == 0).all()
    assert (e7(moved["lat"]) == e7(there["lat"])).all()


def tied(fixes: pa.Table, seed: int) -> tuple[pa.Table, int]:
    """Every tenth fix twice, one some metres east or west and on either side of the equator; a lon between two."""
    rng = np.random.default_rng(seed)
    again = fixes.take(pa.array(np.flatnonzero(rng.random(fixes.num_rows) < 0.1)))
    aside = rng.choice([-1, 1], again.num_rows) * rng.integers(200, 9000, again.num_rows)
    lon = (e7(again["lon"]) + aside + 1_800_000_000) % 3_600_000_000 - 1_800_000_000
    lat = np.asarray(again["lat"]) * rng.choice([-1, 1], again.num_rows)
    between = int(lon[0] - aside[0] // 2) if again.num_rows else 0
    return pa.concat_tables([fixes, put(put(again, "lon", lon / 1e7), "lat", lat)]), between


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_of_two_fixes_at_once_the_same_one_speaks_in_the_mirror_and_across_the_antimeridian(seed: int) -> None:
    fixes, motion = world(seed, late=0.1, centre=(0.0, 8.6))
    fixes, between = tied(fixes, seed)
    there = build_facts(fixes, motion, RULES)
    mirrored = build_facts(put(fixes, "lat", -np.asarray(fixes["lat"])), motion, RULES)
    assert there.drop_columns(FREE).equals(mirrored.drop_columns(FREE))
    assert (e7(there["lat"]) == -e7(mirrored["lat"])).all()
    lon = (e7(fixes["lon"]) - between) % 3_600_000_000 - 1_800_000_000
    moved = build_facts(put(fixes, "lon", lon / 1e7), motion, RULES)
    assert there.drop_columns(FREE).equals(moved.drop_columns(FREE))
    assert (e7(there["lat"]) == e7(moved["lat"])).all()


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 9))
def test_fixes_at_once_all_around_the_earth_have_facts_that_their_order_does_not_change(seed: int, n: int) -> None:
    fixes, _ = world(seed, devices=1)
    rng = np.random.default_rng(seed)
    again = fixes.slice(0, 1).take(pa.array(np.zeros(n, np.int64)))
    again = put(again, "lon", np.round(rng.uniform(-180, 180, n), 7))
    everywhere = pa.concat_tables([again, fixes.slice(1)])
    shuffled = everywhere.take(pa.array(rng.permutation(everywhere.num_rows)))
    assert build_facts(shuffled, None, RULES).equals(build_facts(everywhere, None, RULES))


def near_the_pole(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees of places in metres from the north pole."""
    return 90.0 - np.hypot(x, y) / 111_195.08, np.degrees(np.arctan2(y, x))


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 5])
def test_a_phone_that_rests_at_the_pole_drives_no_more_than_elsewhere(seed: int) -> None:
    n = 300
    x, y = np.random.default_rng(seed).normal(0.0, 25.0, (2, n))
    lat, lon = near_the_pole(x, y)
    points = fixes([(10.0 * i, 0.0) for i in range(n)], accuracy=20.0)
    elsewhere = put(put(points, "lat", 10.0 + y * METRE), "lon", x * METRE)
    at_the_pole = put(put(points, "lat", lat), "lon", lon)
    assert standing(build_facts(elsewhere, None, RULES), "vehicle_left") == []
    assert standing(build_facts(at_the_pole, None, RULES), "vehicle_left") == []


@settings(max_examples=50, deadline=None)
@given(*(st.floats(-5000, 5000) for _ in range(4)))
def test_distances_at_a_pole_are_those_of_the_plane(x1: float, y1: float, x2: float, y2: float) -> None:
    lat, lon = near_the_pole(np.array([x1, x2]), np.array([y1, y2]))
    a, b = np.rint(lat * 1e7).astype(np.int64), np.rint(lon * 1e7).astype(np.int64)
    there = float(np.hypot(x2 - x1, y2 - y1))
    for side in (1, -1):
        found = distance(side * a[0], b[0], side * a[1], b[1])
        assert found == pytest.approx(there, rel=1e-3, abs=0.05)
        assert found == apart(side * a[0], b[0], side * a[1], b[1], scale_at(side * a[0]))


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(-10_000_000, 10_000_000))
def test_moving_in_time_moves_the_facts(seed: int, seconds: int) -> None:
    fixes, motion = world(seed, late=0.1)
    there = build_facts(fixes, motion, RULES)

    def later(table: pa.Table, columns: list[str]) -> pa.Table:
        for name in columns:
            values = pc.add(table[name].cast(pa.int64()), seconds * 1_000_000).cast(TIME)
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
        return table

    both = ["event_time", "received_at"]
    moved = build_facts(later(fixes, both), later(motion, both), RULES)
    times = ["started_at", "ended_at", "available_at", "leg_started_at"]
    key = [
        ("device_id", "ascending"),
        ("available_at", "ascending"),
        ("kind", "ascending"),
        ("started_at", "ascending"),
    ]
    shifted = later(there, times).drop_columns(["fact_id"]).sort_by([*key, ("revision", "ascending")])
    assert moved.drop_columns(["fact_id"]).sort_by([*key, ("revision", "ascending")]).equals(shifted)
