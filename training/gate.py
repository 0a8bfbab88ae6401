"""May a challenger be published? A pure function of scores on held-out rows that neither model was fitted on."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.config import Costs, GateRules
from training.metrics import Interval, costs, device_draws, ece, log_losses, per_device, percentile_interval
from training.ports import Bools, Floats, Ints


class Comparison(BaseModel):
    """Challenger − champion on one set of rows; below 0 the challenger is better."""

    model_config = ConfigDict(frozen=True)

    rows: int
    devices: int
    log_loss: float
    log_loss_interval: Interval
    cost: float
    cost_interval: Interval


class GateDecision(BaseModel):
    """What the gate says, and why, in words a person can check."""

    model_config = ConfigDict(frozen=True)

    publish: bool
    reasons: tuple[str, ...]
    all_rows: Comparison | None = None
    recent_rows: Comparison | None = None
    minima: dict[str, float]
    """the challenger's own figures that the minima look at"""


def gate(
    challenger_scores: Floats,
    champion_scores: Floats | None,
    labels: Ints,
    weights: Floats,
    devices: Ints,
    policy: GateRules,
    rng_seed: int,
    *,
    thresholds: tuple[float, float],
    cost: Costs,
    evidence: Floats | None = None,
    recent: Bools | None = None,
) -> GateDecision:
    """Judge a challenger on held-out rows, all arrays of shape (n,); ``devices`` are any integer codes.

    ``evidence``: how much of a judged candidate each row is (``training.heldout.evidence``), for the minima of
    positives and negatives; None: one each.

    ``champion_scores`` None: nothing is published yet. ``thresholds``: challenger's and champion's. ``recent``: rows of
    the newest days, where a changed world shows first. The challenger is published where

    1. it meets the minima (devices, positives, negatives, AUC, calibration error, and a log loss better than saying the
       base rate); and, where there is a champion,
    2. it is not worse on all rows: the upper end of the log loss interval stays within its margin; the cost, a far
       noisier figure (decisions at a threshold), is not surely higher, and its best estimate stays within its margin;
    3. it is better on all rows or on the recent ones: the upper end of the log loss interval is below 0. Two looks
       share one risk of error (Bonferroni), so each is taken at (1 + confidence) / 2.

    An equal challenger is not published: change needs a reason. Intervals are one paired bootstrap over devices.
    """
    evidence = np.ones(len(labels)) if evidence is None else evidence
    reasons, minima = _minima(challenger_scores, labels, weights, evidence, devices, policy)
    if reasons:
        return GateDecision(publish=False, reasons=tuple(reasons), minima=minima)
    if champion_scores is None:
        return GateDecision(publish=True, reasons=("no champion yet, and the minima are met",), minima=minima)
    looks = 2 if recent is not None else 1
    confidence = 1 - (1 - policy.confidence) / looks
    called = (challenger_scores >= thresholds[0], champion_scores >= thresholds[1])
    loss = log_losses(challenger_scores, labels) - log_losses(champion_scores, labels)
    price = costs(called[0], labels, cost) - costs(called[1], labels, cost)
    every = _compare(loss, price, weights, devices, policy.resamples, confidence, rng_seed)
    late = None
    if recent is not None and len(np.unique(devices[recent])) >= policy.min_devices:
        parts = (loss[recent], price[recent], weights[recent], devices[recent])
        late = _compare(*parts, policy.resamples, confidence, rng_seed)
    if every.log_loss_interval.high > policy.worse_margin:
        allowed = f"allowed up to {policy.worse_margin:+.4f}"
        reasons.append(f"log loss may be worse: {_text(every.log_loss, every.log_loss_interval)}, {allowed}")
    if every.cost > policy.cost_worse_margin or every.cost_interval.low > 0:
        allowed = f"allowed up to {policy.cost_worse_margin:+.4f}"
        reasons.append(f"cost is worse: {_text(every.cost, every.cost_interval)}, {allowed}")
    better = [
        f"log loss is better on {name}: {_text(found.log_loss, found.log_loss_interval)}"
        for name, found in (("all held-out rows", every), ("the recent held-out rows", late))
        if found is not None and found.log_loss_interval.high < 0
    ]
    if not better:
        reasons.append(
            f"not surely better than the champion: log loss {_text(every.log_loss, every.log_loss_interval)}"
        )
    publish = not reasons
    return GateDecision(
        publish=publish,
        reasons=tuple(better if publish else reasons),
        all_rows=every,
        recent_rows=late,
        minima=minima,
    )


def _text(value: float, interval: Interval) -> str:
    return f"{value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def _minima(
    scores: Floats, labels: Ints, weights: Floats, evidence: Floats, devices: Ints, policy: GateRules
) -> tuple[list[str], dict[str, float]]:
    """What the challenger lacks, and the figures looked at."""
    from sklearn.metrics import roc_auc_score

    positives, negatives = float(evidence[labels == 1].sum()), float(evidence[labels == 0].sum())
    found: dict[str, float] = {"devices": len(np.unique(devices)), "positives": positives, "negatives": negatives}
    reasons = [
        f"too few held-out {name}: {found[name]:.0f}, at least {least} are needed"
        for name, least in (
            ("devices", policy.min_devices),
            ("positives", policy.min_positives),
            ("negatives", policy.min_negatives),
        )
        if found[name] < least
    ]
    if reasons or not positives or not negatives:
        return reasons, found
    share = float((weights * labels).sum() / weights.sum())
    base = float((weights * log_losses(np.full(len(labels), share), labels)).sum() / weights.sum())
    found["auc"] = float(roc_auc_score(labels, scores, sample_weight=weights))
    found["ece"] = ece(scores, labels, weights)
    found["log_loss"] = float((weights * log_losses(scores, labels)).sum() / weights.sum())
    found["base_rate_log_loss"] = base
    if found["auc"] < policy.min_auc:
        reasons.append(f"AUC {found['auc']:.3f} is below {policy.min_auc:.3f}")
    if found["ece"] > policy.max_ece:
        reasons.append(f"calibration error {found['ece']:.3f} is above {policy.max_ece:.3f}")
    if found["log_loss"] >= base:
        reasons.append(f"log loss {found['log_loss']:.4f} is no better than saying the base rate ({base:.4f})")
    return reasons, found


def _compare(
    loss: Floats, price: Floats, weights: Floats, devices: Ints, resamples: int, confidence: float, seed: int
) -> Comparison:
    codes, owner = np.unique(devices, return_inverse=True)
    draws = device_draws(len(codes), resamples, seed)
    weight = draws @ per_device(weights, owner, len(codes))
    intervals = []
    for difference in (loss, price):
        # a resample of devices that all weigh nothing says nothing; percentile_interval leaves it out
        with np.errstate(invalid="ignore"):
            drawn = (draws @ per_device(weights * difference, owner, len(codes))) / weight
        # both ends at the one-sided confidence: the interval that the one-sided questions look at
        interval = percentile_interval(drawn, 2 * confidence - 1)
        intervals.append(interval or Interval(low=-np.inf, high=np.inf))
    total = weights.sum()
    return Comparison(
        rows=len(loss),
        devices=len(codes),
        log_loss=float((weights * loss).sum() / total),
        log_loss_interval=intervals[0],
        cost=float((weights * price).sum() / total),
        cost_interval=intervals[1],
    )
