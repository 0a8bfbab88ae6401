"""The gate on made-up scores: who is let through, who is not, and why."""

import numpy as np
import pytest

from training.config import GateRules, load_config
from training.gate import GateDecision, gate

POLICY: GateRules = load_config().gate
COST = load_config().cost
N, DEVICES = 3000, 40


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def rows(seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2.5, N)
    label = (rng.random(N) < sigmoid(z)).astype(np.int64)
    return z, label, np.ones(N), rng.integers(0, DEVICES, N).astype(np.int64)


def judge(challenger, champion, labels, weights, devices, policy=POLICY, **options) -> GateDecision:
    options = {"thresholds": (0.75, 0.75), "cost": COST, **options}
    return gate(challenger, champion, labels, weights, devices, policy, 7, **options)


def noisy(z, amount, seed=5):
    """Scores that lost a part of the signal and are calibrated again."""
    rng = np.random.default_rng(seed)
    return sigmoid((z + rng.normal(0, amount, len(z))) * (2.5**2 / (2.5**2 + amount**2)))


def test_the_first_model_is_published_once_the_minima_are_met():
    z, label, weight, device = rows()
    decision = judge(sigmoid(z), None, label, weight, device)
    assert decision.publish
    assert "no champion yet" in decision.reasons[0]


def test_a_better_challenger_is_published_with_its_interval_as_the_reason():
    z, label, weight, device = rows()
    decision = judge(sigmoid(z), noisy(z, 2.0), label, weight, device)
    assert decision.publish
    assert decision.all_rows is not None
    assert decision.all_rows.log_loss_interval.high < 0
    assert "log loss is better on all held-out rows" in decision.reasons[0]


def test_a_worse_challenger_is_refused():
    z, label, weight, device = rows()
    decision = judge(noisy(z, 2.0), sigmoid(z), label, weight, device)
    assert not decision.publish
    assert any("log loss may be worse" in reason for reason in decision.reasons)


def test_an_equal_challenger_is_refused_because_change_needs_a_reason():
    z, label, weight, device = rows()
    decision = judge(sigmoid(z), sigmoid(z), label, weight, device)
    assert not decision.publish
    assert decision.reasons == ("not surely better than the champion: log loss +0.0000 [+0.0000, +0.0000]",)


def test_equals_by_chance_are_seldom_let_through():
    let_through = 0
    for seed in range(30):
        z, label, weight, device = rows(seed)
        let_through += judge(noisy(z, 1.0, seed + 100), noisy(z, 1.0, seed + 200), label, weight, device).publish
    assert let_through <= 3  # one-sided 5 %: 1.5 expected, more than 3 in 7 % of draws


def test_better_on_average_but_dearer_in_decisions_is_refused():
    z, label, weight, device = rows()
    decision = judge(sigmoid(z), noisy(z, 1.0), label, weight, device, thresholds=(0.05, 0.75))
    assert not decision.publish
    assert any("cost is worse" in reason for reason in decision.reasons)


def test_one_lucky_phone_does_not_carry_a_challenger():
    z, label, weight, device = rows()
    champion = noisy(z, 1.0)
    lucky = device == 0
    challenger = np.where(lucky, np.clip(label.astype(float), 0.001, 0.999), champion)
    assert not judge(challenger, champion, label, weight, device).publish


def test_a_world_that_changed_lately_lets_a_challenger_through_that_is_equal_on_the_old_days():
    z, label, weight, device = rows()
    late = np.arange(N) >= N - 400
    champion = np.where(late, noisy(z, 3.0), sigmoid(z))
    decision = judge(sigmoid(z), champion, label, weight, device, recent=late)
    assert decision.publish
    assert any("recent" in reason for reason in decision.reasons)


def test_better_lately_at_the_price_of_the_old_days_is_refused():
    z, label, weight, device = rows()
    late = np.arange(N) >= N - 400
    challenger = np.where(late, sigmoid(z), noisy(z, 2.0))
    champion = np.where(late, noisy(z, 2.0), sigmoid(z))
    assert not judge(challenger, champion, label, weight, device, recent=late).publish


def test_two_looks_are_stricter_than_one():
    z, label, weight, device = rows()
    one = judge(sigmoid(z), noisy(z, 0.5), label, weight, device).all_rows
    two = judge(sigmoid(z), noisy(z, 0.5), label, weight, device, recent=np.ones(N, dtype=bool)).all_rows
    assert one is not None
    assert two is not None
    assert two.log_loss_interval.high > one.log_loss_interval.high


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        (lambda _label, device: device < 3, "too few held-out devices"),
        (lambda label, _device: (label == 0) | (np.cumsum(label) < 20), "too few held-out positives"),
        (lambda label, _device: (label == 1) | (np.cumsum(1 - label) < 20), "too few held-out negatives"),
    ],
)
def test_too_little_evidence_publishes_nobody_not_even_the_first(keep, says):
    z, label, weight, device = rows()
    kept = keep(label, device)
    decision = judge(sigmoid(z)[kept], None, label[kept], weight[kept], device[kept])
    assert not decision.publish
    assert any(says in reason for reason in decision.reasons)


def test_the_minima_count_evidence_not_weight():
    z, label, weight, device = rows()
    enough = judge(sigmoid(z), None, label, weight * 0.001, device, evidence=np.ones(N))
    assert enough.publish
    assert enough.minima["positives"] == label.sum()
    little = judge(sigmoid(z), None, label, weight * 1000, device, evidence=np.full(N, 0.01))
    assert not little.publish
    assert "too few held-out positives" in little.reasons[0]


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (lambda z: sigmoid(-z), "AUC"),
        (lambda z: sigmoid(z) ** 4, "calibration error"),
        (lambda _: np.full(N, 0.5), "no better than saying the base rate"),
    ],
)
def test_a_model_below_the_minima_is_refused(scores, says):
    z, label, weight, device = rows()
    decision = judge(scores(z), None, label, weight, device)
    assert not decision.publish
    assert any(says in reason for reason in decision.reasons)


def test_the_same_rows_and_seed_decide_alike():
    z, label, weight, device = rows()
    assert judge(sigmoid(z), noisy(z, 1.0), label, weight, device) == judge(
        sigmoid(z), noisy(z, 1.0), label, weight, device
    )


def test_no_rows_at_all_are_refused_not_crashed_on():
    empty, none = np.empty(0), np.empty(0, dtype=np.int64)
    assert not judge(empty, empty, none, empty, none, recent=np.empty(0, dtype=bool)).publish
