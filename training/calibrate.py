"""From a model's margin to a probability one can believe, and from that to a decision at a stated cost."""

from __future__ import annotations

import numpy as np

from training.config import Costs
from training.metrics import costs
from training.ports import Floats, Ints

_LEAST_OF_A_CLASS = 5
"""With fewer rows of a class a two-parameter fit says more about luck than about the model."""


def platt(margin: Floats, label: Ints, weight: Floats) -> tuple[float, float]:
    """(slope, intercept) of p = 1 / (1 + exp(-(slope * margin + intercept))): Platt (1999), weighted.

    Rows of devices the model was not fitted on, shape (n,). A whisper of L2 (C = 1000) keeps separable rows finite.
    Identity (1, 0) where a class has fewer than five rows, or where the slope comes out ≤ 0: a model that is worse
    than none must not be turned round on a few rows; the gate refuses it.
    """
    from sklearn.linear_model import LogisticRegression

    if min(int(label.sum()), int((1 - label).sum())) < _LEAST_OF_A_CLASS:
        return 1.0, 0.0
    fit = LogisticRegression(C=1000.0, tol=1e-8, max_iter=1000).fit(margin[:, None], label, sample_weight=weight)
    slope, intercept = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    return (slope, intercept) if slope > 0 else (1.0, 0.0)


def probabilities(margin: Floats, slope: float, intercept: float) -> Floats:
    """Calibrated probabilities; ``parked.model_card.ModelCard.probability`` over an array, shape (n,)."""
    z = slope * margin + intercept
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1.0 + e))


def bayes_threshold(cost: Costs) -> float:
    """Where calling and not calling a parking cost the same, if probabilities are right (Elkan 2001).

    >>> bayes_threshold(Costs(phantom_pin=3, missed_pin=1))
    0.75
    """
    return cost.phantom_pin / (cost.phantom_pin + cost.missed_pin)


def best_threshold(probability: Floats, label: Ints, weight: Floats, cost: Costs) -> float:
    """The threshold of least weighted cost on the rows given; among equals the one nearest ``bayes_threshold``.

    Looked for among the midpoints between neighbouring probabilities and the Bayes threshold itself, which also
    stands where there are no rows.
    """
    bayes = bayes_threshold(cost)
    if len(probability) == 0:
        return bayes
    values, group = np.unique(probability, return_inverse=True)
    # calling group g costs its phantoms and saves its misses; thresholds at group k call the groups k..end
    gain = weight * (costs(np.ones(len(label), bool), label, cost) - costs(np.zeros(len(label), bool), label, cost))
    per_group = np.bincount(group, gain, len(values))
    total = np.concatenate([np.cumsum(per_group[::-1])[::-1], [0.0]])
    between = (values[1:] + values[:-1]) / 2
    between = np.where(between > values[:-1], between, values[1:])  # neighbours in floating point have no middle
    thresholds = np.concatenate([[values[0]], between, [min(1.0, np.nextafter(values[-1], 2.0))]])
    if values[-1] >= 1.0:
        total[-1] = np.inf  # no threshold up to 1 leaves such a row out
    at_bayes = total[np.searchsorted(values, bayes, side="left")]
    least = total.min() + 1e-9 * weight.sum()
    if at_bayes <= least:
        return bayes
    best = thresholds[total <= least]
    return float(best[np.argmin(np.abs(best - bayes))])
