import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parked.model_card import ModelCard
from tests.training.world import AS_OF
from training.calibrate import bayes_threshold, best_threshold, platt, probabilities
from training.config import Costs
from training.metrics import costs

COST = Costs(phantom_pin=3, missed_pin=1)


def test_platt_finds_the_slope_and_intercept_the_labels_were_drawn_with():
    rng = np.random.default_rng(0)
    margin = rng.normal(0, 2, 20_000)
    label = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * margin - 1)))).astype(np.int64)
    slope, intercept = platt(margin, label, np.ones(20_000))
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-1, abs=0.05)


def test_platt_keeps_the_margin_where_a_class_is_too_rare_or_the_model_points_backwards():
    few = np.array([1] * 4 + [0] * 50)
    assert platt(np.arange(54.0), few, np.ones(54)) == (1.0, 0.0)
    backwards = np.array([1] * 27 + [0] * 27)
    assert platt(np.arange(54.0), backwards, np.ones(54)) == (1.0, 0.0)


def test_separable_rows_stay_finite():
    slope, intercept = platt(np.linspace(-1, 1, 40), (np.arange(40) >= 20).astype(np.int64), np.ones(40))
    assert np.isfinite([slope, intercept]).all()


@given(st.floats(-700, 700), st.floats(0.1, 3), st.floats(-2, 2))
def test_arrays_and_the_card_give_the_same_probability(margin, slope, intercept):
    card = ModelCard(
        name="m", feature_service="s", features=[], categorical=[], calibration_slope=slope,
        calibration_intercept=intercept, threshold=0.5, rules_version="r", trained_at=AS_OF, manifest_sha256="",
        metrics={},
    )  # fmt: skip
    assert probabilities(np.array([margin]), slope, intercept)[0] == pytest.approx(card.probability(margin), rel=1e-12)


scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.75, 0.9, 1.0]), st.booleans(), st.floats(0.1, 2)), max_size=40
)


@settings(max_examples=200)
@given(scored)
def test_no_threshold_costs_less_than_the_one_chosen(rows):
    p, y, w = (np.array([r[i] for r in rows], dtype=float) for i in range(3))
    label = y.astype(np.int64)

    def price(threshold: float) -> float:
        return float((w * costs(p >= threshold, label, COST)).sum())

    chosen = best_threshold(p, label, w, COST)
    assert 0 <= chosen <= 1
    others = (0.0, 0.05, 0.2, 0.4, 0.6, 0.75, 0.8, 0.95, 1.0)
    assert all(price(chosen) <= price(threshold) + 1e-6 for threshold in others)


def test_well_calibrated_scores_get_the_bayes_threshold_and_no_rows_do_too():
    assert bayes_threshold(COST) == 0.75
    assert best_threshold(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0), COST) == 0.75
    p = np.array([0.1, 0.9])
    assert best_threshold(p, np.array([0, 1]), np.ones(2), COST) == 0.75
