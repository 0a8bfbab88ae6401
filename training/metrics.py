"""Weighted measures of probabilities, and how sure they are: a bootstrap that draws whole devices.

Rows of one phone resemble each other, so drawing rows would promise far too narrow intervals.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.config import Costs
from training.ports import Bools, Floats, Ints

CLIP: Final = 1e-6
"""Probabilities are clipped to [CLIP, 1 - CLIP] in the log loss: one sure mistake costs 13.8 nats, not infinity."""

ECE_BINS: Final = 10


class Interval(BaseModel):
    """A two-sided percentile interval."""

    model_config = ConfigDict(frozen=True)

    low: float
    high: float


class Measures(BaseModel):
    """Measures of one set of held-out rows. None where the set cannot say (one class only, nothing called)."""

    model_config = ConfigDict(frozen=True)

    rows: int
    candidates: int
    devices: int
    positives: int
    """candidates labelled a parking"""
    log_loss: float
    brier: float
    ece: float
    """expected calibration error over ECE_BINS equally filled bins"""
    auc: float | None
    average_precision: float | None
    precision: float | None
    recall: float | None
    cost: float
    """mean cost per unit of weight at the threshold, in missed pins"""
    log_loss_interval: Interval | None = None
    auc_interval: Interval | None = None
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None


def log_losses(probability: Floats, label: Ints) -> Floats:
    """Log loss of every row (nats), shape (n,)."""
    p = np.clip(probability, CLIP, 1 - CLIP)
    return np.asarray(-np.where(label == 1, np.log(p), np.log1p(-p)))


def costs(called: Bools, label: Ints, cost: Costs) -> Floats:
    """Cost of every row's decision, in missed pins, shape (n,)."""
    phantom = called & (label == 0)
    missed = ~called & (label == 1)
    return np.asarray(phantom * cost.phantom_pin + missed * cost.missed_pin, dtype=np.float64)


def ece(probability: Floats, label: Ints, weight: Floats) -> float:
    """Expected calibration error: the weighted mean distance of predicted and observed share over equally filled bins.

    Naeini, Cooper, Hauskrecht (2015), with equal-mass instead of equal-width bins (Nixon et al. 2019): phones' scores
    crowd at 0 and 1, where equal widths put nearly all rows into two bins.
    """
    order = np.argsort(probability, kind="stable")
    p, y, w = probability[order], label[order], weight[order]
    total = float(w.sum())
    if total == 0:
        return 0.0
    middle = (np.cumsum(w) - w / 2) / total
    bins = np.minimum((middle * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gap = np.bincount(bins, w * (p - y), ECE_BINS)
    return float(np.abs(gap).sum() / total)


def device_draws(devices: int, resamples: int, seed: int) -> Floats:
    """How often each device is drawn in each resample, shape (resamples, devices)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(devices, np.full(devices, 1 / devices), size=resamples).astype(np.float64)


def per_device(values: Floats, device: Ints, devices: int) -> Floats:
    """Sums by device code, shape (devices,)."""
    return np.asarray(np.bincount(device, values, devices), dtype=np.float64)


def ratio_interval(top: Floats, bottom: Floats, draws: Floats, confidence: float) -> Interval | None:
    """Interval of sum(top) / sum(bottom), both given per device; None where too few resamples have a bottom."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (draws @ top) / (draws @ bottom)
    return percentile_interval(ratios, confidence)


def percentile_interval(values: Floats, confidence: float) -> Interval | None:
    """Two-sided percentile interval of the finite ``values``; None where fewer than half are finite."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0 or len(finite) < len(values) / 2:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))


def measure(
    probability: Floats,
    label: Ints,
    weight: Floats,
    device: Ints,
    candidate: Ints,
    *,
    threshold: float,
    cost: Costs,
    resamples: int,
    confidence: float,
    seed: int,
    auc_resamples: int = 0,
) -> Measures:
    """All measures of a set of rows (shape (n,), n > 0; ``device`` and ``candidate`` are any integer codes).

    ``resamples`` = 0 leaves the intervals out; ``auc_resamples`` of the draws serve the AUC's, which is dearer.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    called = probability >= threshold
    losses = log_losses(probability, label)
    both = 0 < int(label.sum()) < len(label)
    total = weight.sum()
    hit = weight * (called & (label == 1))
    found = {
        "log_loss": float((weight * losses).sum() / total),
        "brier": float((weight * (probability - label) ** 2).sum() / total),
        "ece": ece(probability, label, weight),
        "auc": float(roc_auc_score(label, probability, sample_weight=weight)) if both else None,
        "average_precision": float(average_precision_score(label, probability, sample_weight=weight)) if both else None,
        "precision": float(hit.sum() / (weight * called).sum()) if called.any() else None,
        "recall": float(hit.sum() / (weight * label).sum()) if label.any() else None,
        "cost": float((weight * costs(called, label, cost)).sum() / total),
    }
    codes, owner = np.unique(device, return_inverse=True)
    intervals: dict[str, Interval | None] = {}
    if resamples and len(codes) > 1:
        draws = device_draws(len(codes), resamples, seed)

        def interval(top: Floats, bottom: Floats) -> Interval | None:
            n = len(codes)
            return ratio_interval(per_device(top, owner, n), per_device(bottom, owner, n), draws, confidence)

        intervals["log_loss_interval"] = interval(weight * losses, weight)
        intervals["precision_interval"] = interval(hit, weight * called)
        intervals["recall_interval"] = interval(hit, weight * label)
        if both and auc_resamples:
            aucs = _aucs(probability, label, weight, owner, draws[:auc_resamples])
            intervals["auc_interval"] = percentile_interval(aucs, confidence)
    _, first = np.unique(candidate, return_index=True)
    return Measures(
        rows=len(label),
        candidates=len(first),
        devices=len(codes),
        positives=int(label[first].sum()),
        **found,
        **intervals,
    )


def _aucs(probability: Floats, label: Ints, weight: Floats, owner: Ints, draws: Floats) -> Floats:
    """Weighted AUC (ties count half) of every resample, shape (resamples,); NaN where one class is missing.

    Rows are sorted once for all resamples; scikit-learn would sort for each.
    """
    order = np.argsort(probability, kind="stable")
    p, y, w, who = probability[order], label[order], weight[order], owner[order]
    starts = np.flatnonzero(np.concatenate([[True], p[1:] != p[:-1]]))
    values = np.empty(len(draws))
    for k, draw in enumerate(draws):
        drawn = w * draw[who]
        positive = np.add.reduceat(drawn * y, starts)
        negative = np.add.reduceat(drawn * (1 - y), starts)
        below = np.cumsum(negative) - negative / 2
        area, pairs = float((positive * below).sum()), float(positive.sum() * negative.sum())
        values[k] = area / pairs if pairs > 0 else np.nan
    return values
