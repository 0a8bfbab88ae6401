"""How far a feature may lie from its training set before that means anything: limits calibrated on the data themselves.

A limit is ``mean + k * sd`` of the distances that windows *without* drift show. Two sources, the first preferred:

* **past windows**: the model's own earlier, non-overlapping windows of the same day type, each scored against the
  training set. They hold everything a quiet week does (who asks, how often, weekends); needs some dozens of them.
* **training blocks**, until there are enough: pseudo-windows cut out of the training set, each scored against the
  rest of it. A pseudo-window is drawn as the real one is made up: as many phones, as many days of each, as many rows,
  the same day type, and the same share of phones the training set does not know (a new phone's whole history leaves
  the reference, a known phone's other days stay in it). The unit drawn is a phone's day, never a row: rows of one
  phone are alike, and limits that take them for independent alarm on quiet windows (delete-group subsampling;
  Politis, Romano & Wolf, "Subsampling", 1999, ch. 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitoring.statistics import Coded, Codes, Floats

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Limit:
    """What distances look like where nothing has drifted."""

    mean: float
    sd: float
    windows: int
    """Windows, past or pseudo, it rests on."""
    source: str
    """past_windows or training_blocks"""

    def at(self, sds: float, floor: float) -> float:
        """``mean + sds * sd``, at least ``floor`` (a shift too small to matter is no drift, however sure)."""
        return max(floor, self.mean + sds * self.sd)


@dataclass(frozen=True)
class Blocks:
    """Which phone and day each row belongs to."""

    device: Codes
    """Phone of each row, shape (n,). Reference and current share one numbering."""
    day: Codes
    """Day of each row (days since 1970-01-01 UTC), shape (n,)."""

    @property
    def weekend(self) -> Flags:
        """Saturday or Sunday, UTC. 1970-01-01 was a Thursday."""
        return np.asarray((self.day + 3) % 7 >= 5)


def limit_of_past(distances: Sequence[float]) -> Limit:
    """Limit from the distances of past quiet windows (two at least; raises ValueError below)."""
    if len(distances) < 2:
        raise ValueError("a limit needs two past windows at least")
    return Limit(float(np.mean(distances)), float(np.std(distances, ddof=1)), len(distances), "past_windows")


def limits_of_training(
    features: Sequence[Coded],
    reference: Blocks,
    current: Blocks,
    rng: np.random.Generator,
    *,
    weights: Floats,
    replicates: int,
) -> dict[str, Limit]:
    """Limits by feature name from ``replicates`` pseudo-windows cut out of the training set.

    The features' ``reference`` rows are those of ``reference`` and ``weights`` (positive where a row counts), in the
    same order. A pseudo-window's rows are drawn by weight, so that it is made up as the reference is.
    """
    scores: dict[str, list[float]] = {feature.name: [] for feature in features}
    steps = [feature.coarse() for feature in features]
    wholes = [feature.counts(feature.reference, weights) for feature in steps]
    for chosen, gone in _pseudo_windows(reference, current, weights, rng, replicates):
        for feature, whole in zip(steps, wholes, strict=True):
            window = feature.counts(feature.reference[chosen])
            # fewer rows leave the reference than stay, so what stays is counted by what leaves
            rest = np.maximum(whole - feature.counts(feature.reference[gone], weights[gone]), 0.0)
            scores[feature.name].append(feature.distance(rest, window))
    return {name: _limit(values) for name, values in scores.items()}


def _limit(values: list[float]) -> Limit:
    return Limit(
        mean=float(np.mean(values)) if values else 1.0,
        sd=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        windows=len(values),
        source="training_blocks",
    )


def _pseudo_windows(
    reference: Blocks, current: Blocks, weights: Floats, rng: np.random.Generator, replicates: int
) -> list[tuple[Codes, Codes]]:
    """Row indices of each pseudo-window, and those that leave the reference it is scored against."""
    devices, device = np.unique(reference.device, return_inverse=True)
    asked = np.unique(current.device)
    known = np.isin(asked, devices).mean()
    # A stranger's rows leave the reference, so strangers may take half of it at most.
    strangers = min(round(len(asked) * (1 - known)), len(devices) // 2)
    familiar = min(round(len(asked) * known), len(devices) - strangers)
    days_each = max(1, round(len(np.unique(np.stack([current.device, current.day]), axis=1).T) / len(asked)))

    eligible = reference.weekend == (current.weekend.mean() >= 0.5)
    if len(np.unique(device[eligible])) < len(devices) / 2:
        eligible = np.ones(len(device), dtype=np.bool_)  # too few phones have a day of this type: take any
    day_keys, block = np.unique(np.stack([device, reference.day]), axis=1, return_inverse=True)
    block = block.ravel()
    block_device = day_keys[0]
    block_eligible = np.zeros(len(block_device), dtype=np.bool_)
    block_eligible[block[eligible]] = True

    windows: list[tuple[Codes, Codes]] = []
    total = weights.sum()
    for _ in range(replicates):
        role = np.zeros(len(devices), dtype=np.int8)  # 0 not asked, 1 familiar, 2 stranger
        drawn = rng.permutation(len(devices))[: familiar + strangers]
        role[drawn[:familiar]], role[drawn[familiar:]] = 1, 2
        chosen_block = _first_days(block_device, block_eligible & (role[block_device] > 0), days_each, rng)
        gone = np.flatnonzero((chosen_block | (role[block_device] == 2))[block])
        chosen = gone[chosen_block[block[gone]] & (weights[gone] > 0)]
        if len(chosen) and weights[gone].sum() < total * (1 - 1e-9):
            windows.append((_some(chosen, len(current.device), weights, rng), gone))
    return windows


def _some(rows: Codes, most: int, weights: Floats, rng: np.random.Generator) -> Codes:
    """At most ``most`` of ``rows``, by weight (exponential keys; Efraimidis & Spirakis 2006)."""
    keys = rng.exponential(size=len(rows)) / weights[rows]
    return rows[np.argsort(keys)[:most]]


def _first_days(block_device: Codes, allowed: Flags, days_each: int, rng: np.random.Generator) -> Flags:
    """``days_each`` random allowed blocks of every device, as a mask over the blocks (which are sorted by device)."""
    key = rng.random(len(block_device))
    key[~allowed] = 2.0
    order = np.lexsort((key, block_device))
    sorted_device = block_device[order]
    first = np.searchsorted(sorted_device, sorted_device, side="left")
    chosen = np.zeros(len(block_device), dtype=np.bool_)
    chosen[order] = np.arange(len(order)) - first < days_each
    return chosen & allowed


def merge(preferred: Mapping[str, Limit], fallback: Mapping[str, Limit]) -> dict[str, Limit]:
    """Limits of past windows where there are enough, of the training set elsewhere."""
    return {**fallback, **preferred}
