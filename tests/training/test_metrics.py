import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.config import Costs
from training.metrics import _aucs, device_draws, ece, log_losses, measure, percentile_interval

COST = Costs(phantom_pin=3, missed_pin=1)


def sample(n=4000, devices=40, seed=0, per_device_noise=0.0):
    rng = np.random.default_rng(seed)
    device = rng.integers(0, devices, n)
    p = rng.random(n)
    shift = rng.normal(0, per_device_noise, devices)[device]
    label = (rng.random(n) < np.clip(p + shift, 0, 1)).astype(np.int64)
    return p, label, np.ones(n), device.astype(np.int64)


def measured(p, label, weight, device, **options):
    options = {"threshold": 0.75, "cost": COST, "resamples": 300, "confidence": 0.95, "seed": 1, **options}
    return measure(p, label, weight, device, np.arange(len(p)), **options)


def test_scores_the_labels_were_drawn_from_are_calibrated_and_overconfident_ones_are_not():
    p, label, weight, _ = sample(20_000)
    assert ece(p, label, weight) < 0.02
    assert ece((p > 0.5).astype(float), label, weight) > 0.2


def test_a_sure_mistake_costs_much_but_not_everything():
    assert log_losses(np.array([0.0]), np.array([1]))[0] == pytest.approx(13.8, abs=0.1)


def test_measures_by_hand():
    found = measured(np.array([0.9, 0.8, 0.6, 0.1]), np.array([1, 0, 1, 0]), np.array([1.0, 2, 1, 2]), np.arange(4))
    assert (found.precision, found.recall) == (pytest.approx(1 / 3), 0.5)
    assert found.cost == pytest.approx((2 * 3 + 1) / 6)
    assert found.positives == 2


def test_one_class_has_no_auc_and_no_call_no_precision():
    found = measured(np.array([0.1, 0.2]), np.array([0, 0]), np.ones(2), np.arange(2))
    assert found.auc is None
    assert found.precision is None
    assert found.recall is None


def test_rows_that_depend_on_their_phone_make_wider_intervals():
    def width(noise):
        interval = measured(*sample(per_device_noise=noise)).log_loss_interval
        assert interval is not None
        return interval.high - interval.low

    assert width(0.4) > 1.5 * width(0.0)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth = measured(*sample(400_000, devices=4000, seed=99), resamples=0).log_loss
    hits = 0
    for seed in range(60):
        interval = measured(*sample(1000, seed=seed), resamples=200).log_loss_interval
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert hits >= 50


def test_one_device_gives_no_interval():
    p, label, weight, device = sample(50)
    assert measured(p, label, weight, np.zeros_like(device)).log_loss_interval is None


def test_the_resampled_auc_is_scikit_learns_with_ties_and_weights():
    p, label, weight, device = sample(600)
    p, weight = np.round(p, 1), weight + p
    draws = device_draws(40, 3, seed=4)
    wanted = [roc_auc_score(label, p, sample_weight=weight * draw[device]) for draw in draws]
    assert _aucs(p, label, weight, device, draws) == pytest.approx(wanted)


def test_an_interval_needs_half_of_the_resamples_to_say_something():
    assert percentile_interval(np.array([np.nan, np.nan, 1.0]), 0.9) is None
    assert percentile_interval(np.array([np.nan, 1.0, 1.0]), 0.9) is not None
