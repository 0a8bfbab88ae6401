from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.context import context_weights, effective_rows


def frame(ages: np.ndarray, hours: np.ndarray | None = None) -> pd.DataFrame:
    return pd.DataFrame({"f_age_s": ages, "f_hour": np.zeros(len(ages)) if hours is None else hours})


def test_weights_give_the_reference_the_served_ages() -> None:
    rng = np.random.default_rng(0)
    reference, current = frame(rng.exponential(600, 5000)), frame(rng.exponential(3600, 3000))
    weights = context_weights(reference, current, ["age_s"])
    old = np.average(reference["f_age_s"] > 900, weights=weights)
    assert old == pytest.approx((current["f_age_s"] > 900).mean(), abs=0.07)
    assert (reference["f_age_s"] > 900).mean() < 0.3


def test_a_feature_that_ripens_with_age_does_not_look_drifted_because_people_ask_later() -> None:
    rng = np.random.default_rng(0)
    reference, current = frame(rng.exponential(600, 5000)), frame(rng.exponential(3600, 3000))
    known_before, known_now = reference["f_age_s"] > 300, current["f_age_s"] > 300
    weights = context_weights(reference, current, ["age_s"])
    assert abs(known_before.mean() - known_now.mean()) > 0.3
    assert abs(np.average(known_before, weights=weights) - known_now.mean()) < 0.03


def test_several_contexts_are_matched_together() -> None:
    rng = np.random.default_rng(0)
    ages, hours = rng.exponential(600, 8000), rng.uniform(0, 24, 8000)
    current = frame(rng.exponential(1200, 3000), rng.normal(12, 3, 3000))
    weights = context_weights(frame(ages, hours), current, ["age_s", "hour"])
    edges = np.quantile(hours, [0.3, 0.7])
    for value in edges:
        assert np.average(hours < value, weights=weights) == pytest.approx((current["f_hour"] < value).mean(), abs=0.02)
    assert np.average(ages > np.median(ages), weights=weights) == pytest.approx(
        (current["f_age_s"] > np.median(ages)).mean(), abs=0.02
    )


@pytest.mark.parametrize("context", [[], ["not_a_feature"]])
def test_without_a_context_every_row_weighs_the_same(context: list[str]) -> None:
    assert context_weights(frame(np.array([1.0, 1e6])), frame(np.array([1.0])), context).tolist() == [1.0, 1.0]


ages = st.lists(st.floats(0, 1e6) | st.just(float("nan")), min_size=1, max_size=50)


@given(ages, ages)
def test_weights_are_never_negative_and_average_one(before: list[float], now: list[float]) -> None:
    weights = context_weights(frame(np.array(before)), frame(np.array(now)), ["age_s", "hour"])
    assert (weights >= 0).all()
    assert weights.mean() == pytest.approx(1.0)
    assert 1 <= effective_rows(weights) <= len(before) + 1e-9
