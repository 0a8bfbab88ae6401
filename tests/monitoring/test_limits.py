from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.limits import Blocks, Limit, limit_of_past, limits_of_training
from monitoring.statistics import code_feature


def population(
    rng: np.random.Generator, phones: range, days: range, *, between: float = 0.7, per_day: int = 3
) -> tuple[Blocks, np.ndarray]:
    """Every phone has its own level: ``between`` of the variance lies between phones."""
    levels = np.random.default_rng(7).normal(0, 1, 1000) * np.sqrt(between)
    device = np.repeat(np.array(phones), len(days) * per_day)
    day = np.tile(np.repeat(np.array(days), per_day), len(phones))
    values = levels[device] + rng.normal(0, np.sqrt(1 - between), len(device))
    return Blocks(device, day), values


def calibrated(seed: int, current_phones: range) -> tuple[float, Limit]:
    rng = np.random.default_rng(seed)
    reference, before = population(rng, range(80), range(20))
    current, now = population(rng, current_phones, range(20, 21))
    feature = code_feature("x", before, now, categorical=False)
    limit = limits_of_training([feature], reference, current, rng, weights=np.ones(len(before)), replicates=60)["x"]
    return feature.observed(), limit


@pytest.mark.parametrize("current_phones", [range(80), range(800, 880)], ids=["known phones", "strangers"])
def test_quiet_windows_stay_below_the_limit(current_phones: range) -> None:
    over = [distance > limit.at(4, 0.0) for distance, limit in (calibrated(seed, current_phones) for seed in range(20))]
    assert sum(over) == 0


def test_strangers_may_differ_more_than_phones_the_training_set_knows() -> None:
    known, strangers = calibrated(1, range(80))[1], calibrated(1, range(800, 880))[1]
    assert strangers.mean > 1.5 * known.mean


def test_a_smaller_window_gets_a_wider_limit() -> None:
    assert calibrated(1, range(20))[1].mean > 1.5 * calibrated(1, range(80))[1].mean


def test_limits_depend_on_the_seed_alone() -> None:
    assert calibrated(3, range(40)) == calibrated(3, range(40))


@given(
    reference=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=40),
    current=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40),
    seed=st.integers(0, 100),
)
@settings(max_examples=30, deadline=None)
def test_any_make_up_of_phones_and_days_gives_a_limit(
    reference: list[tuple[int, int]], current: list[tuple[int, int]], seed: int
) -> None:
    def blocks(rows: list[tuple[int, int]]) -> Blocks:
        return Blocks(np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))

    rng = np.random.default_rng(seed)
    feature = code_feature("x", rng.normal(size=len(reference)), rng.normal(size=len(current)), categorical=False)
    weights = rng.uniform(0, 1, len(reference))
    limit = limits_of_training([feature], blocks(reference), blocks(current), rng, weights=weights, replicates=5)["x"]
    assert 0 <= limit.mean <= 1 + 1e-9
    assert np.isfinite(limit.at(4, 0.05))


def test_a_limit_of_past_windows_is_their_mean_and_spread() -> None:
    limit = limit_of_past([0.1, 0.2, 0.3])
    assert (limit.mean, limit.sd) == (pytest.approx(0.2), pytest.approx(0.1))
    assert limit.at(4, 0.05) == pytest.approx(0.6)
    assert limit.at(0, 0.5) == 0.5


def test_one_past_window_is_no_limit() -> None:
    with pytest.raises(ValueError, match="two past windows"):
        limit_of_past([0.1])


def test_saturdays_and_sundays_are_weekend() -> None:
    week = np.arange(4, 11)  # 1970-01-05, a Monday, and on
    assert Blocks(week, week).weekend.tolist() == [False] * 5 + [True] * 2
