from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.context import context_weights, effective_rows


def frame(ages: np.ndarray, candidates: np.ndarray | None = None) -> pd.DataFrame:
    ids = np.arange(len(ages)) if candidates is None else candidates
    return pd.DataFrame({"candidate_id": ids.astype(str), "f_age_s": ages})


def test_weights_give_the_training_set_the_served_ages() -> None:
    rng = np.random.default_rng(0)
    reference, current = frame(rng.exponential(600, 5000)), frame(rng.exponential(3600, 3000))
    weights = context_weights(reference, current, "age_s")
    old = np.average(reference["f_age_s"] > 900, weights=weights)
    assert old == pytest.approx((current["f_age_s"] > 900).mean(), abs=0.04)
    assert (reference["f_age_s"] > 900).mean() < 0.3


def test_a_feature_that_ripens_with_age_does_not_look_drifted_because_people_ask_later() -> None:
    rng = np.random.default_rng(0)
    reference, current = frame(rng.exponential(600, 5000)), frame(rng.exponential(3600, 3000))
    known_before, known_now = reference["f_age_s"] > 300, current["f_age_s"] > 300
    weights = context_weights(reference, current, "age_s")
    assert abs(known_before.mean() - known_now.mean()) > 0.3
    assert abs(np.average(known_before, weights=weights) - known_now.mean()) < 0.03


def test_a_candidate_seen_at_many_moments_of_one_age_counts_once() -> None:
    reference = frame(np.full(5, 60.0), np.array([1, 1, 1, 1, 2]))
    weights = context_weights(reference, frame(np.full(3, 60.0)), "age_s")
    assert weights[:4].sum() == pytest.approx(weights[4])


def test_without_a_context_only_repeats_weigh() -> None:
    reference = frame(np.array([1.0, 1e6, 5.0]), np.array([1, 1, 2]))
    weights = context_weights(reference, frame(np.array([1.0])), None)
    assert weights.tolist() == pytest.approx([0.75, 0.75, 1.5])


@given(
    st.lists(st.floats(0, 1e6) | st.just(float("nan")), min_size=1, max_size=50),
    st.lists(st.floats(0, 1e6) | st.just(float("nan")), min_size=1, max_size=50),
)
def test_weights_are_never_negative_and_average_one(before: list[float], now: list[float]) -> None:
    weights = context_weights(frame(np.array(before)), frame(np.array(now)), "age_s")
    assert (weights >= 0).all()
    assert weights.mean() == pytest.approx(1.0)
    assert 1 <= effective_rows(weights) <= len(before) + 1e-9
