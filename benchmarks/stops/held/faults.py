"""What goes amiss between a day and its fixes; each a function of a phone's fixes, its day and a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.stops.held.days import Day
from benchmarks.stops.held.sampling import Fixes

Fault = Callable[[Fixes, Day, np.random.Generator], Fixes]

DUPLICATE_SHARE: Final = 0.10
JUMP_SHARE: Final = 0.01
JUMP_M: Final = (1000.0, 5000.0)
DRIFT_M: Final = (30.0, 80.0)
GAP_S: Final = (60.0, 600.0)
GAP_EVERY_S: Final = 1800.0
AWAKE_MS: Final = 120_000


def duplicates(fixes: Fixes, _: Day, rng: np.random.Generator) -> Fixes:
    """A tenth of the fixes is sent twice, the second time a little later."""
    n = len(fixes.at_ms)
    twice = np.flatnonzero(rng.random(n) < DUPLICATE_SHARE)
    place = np.concatenate([np.arange(n, dtype=np.float64), twice + rng.uniform(0.5, 20.0, len(twice))])
    return fixes.take(np.concatenate([np.arange(n), twice])[np.argsort(place, kind="stable")])


def shuffled(fixes: Fixes, _: Day, rng: np.random.Generator) -> Fixes:
    """Rows in any order."""
    return fixes.take(rng.permutation(len(fixes.at_ms)))


def jumps(fixes: Fixes, _: Day, rng: np.random.Generator) -> Fixes:
    """1 % of the fixes lie 1-5 km off, some in runs of 2-3 that agree or not; half of them claim good accuracy."""
    n = len(fixes.at_ms)
    starts = np.flatnonzero(rng.random(n) < JUMP_SHARE / 1.5)
    runs = rng.choice([1, 2, 3], len(starts), p=[0.65, 0.2, 0.15])
    xy, accuracy, speed = fixes.xy.copy(), fixes.accuracy.copy(), fixes.speed.copy()
    for start, run in zip(starts.tolist(), runs.tolist(), strict=True):
        rows = np.arange(start, min(start + run, n))
        one_place = rng.random() < 0.5
        angle = rng.uniform(0.0, 2.0 * np.pi, 1 if one_place else len(rows))
        metres = rng.uniform(*JUMP_M, 1 if one_place else len(rows))
        xy[rows] = fixes.xy[rows] + np.stack([metres * np.cos(angle), metres * np.sin(angle)], axis=1)
        if rng.random() < 0.5:
            accuracy[rows] = np.round(rng.lognormal(6.5, 0.7, len(rows)), 1)
        if rng.random() < 0.5:
            speed[rows] = np.nan
    return replace(fixes, xy=xy, accuracy=accuracy, speed=speed)


def drift(fixes: Fixes, day: Day, rng: np.random.Generator) -> Fixes:
    """Indoors the position wanders off by 30-80 m for minutes and comes back; not every phone owns up to it."""
    n = len(day.xy)
    holds = rng.uniform(120.0, 480.0, n // 120 + 2).astype(np.int64)
    angle, metres = rng.uniform(0.0, 2.0 * np.pi, len(holds)), rng.uniform(*DRIFT_M, len(holds))
    metres[rng.random(len(holds)) < 0.7] = 0.0
    target = np.repeat(np.stack([metres * np.cos(angle), metres * np.sin(angle)], axis=1), holds, axis=0)[:n]
    inside = day.state == 0
    target *= inside[:, None]
    ramp = 120
    total = np.cumsum(np.concatenate([np.zeros((ramp, 2)), target]), axis=0)
    offset = (total[ramp:] - total[:-ramp]) / ramp * inside[:, None]
    here = offset[fixes.at_ms // 1000]
    owned = float(rng.choice([0.0, 0.3, 0.8]))
    accuracy = np.round(fixes.accuracy + owned * np.hypot(*here.T), 1)
    return replace(fixes, xy=fixes.xy + here, accuracy=accuracy)


def gaps(fixes: Fixes, _: Day, rng: np.random.Generator) -> Fixes:
    """Nothing for 60 s - 10 min, every half an hour or so, moving or not."""
    at = fixes.at_ms / 1000.0
    begins = np.cumsum(rng.exponential(GAP_EVERY_S, 200))
    ends = begins + rng.uniform(*GAP_S, 200)
    silent = (np.searchsorted(begins, at, side="right") > 0) & (
        at < np.maximum.accumulate(ends)[np.maximum(np.searchsorted(begins, at, side="right") - 1, 0)]
    )
    return fixes.take(~silent)


def sleep(fixes: Fixes, day: Day, _: np.random.Generator) -> Fixes:
    """From 2 min after arrival until the departure nothing is sent; at the end of the day the phone wakes."""
    awake = np.ones(len(fixes.at_ms), bool)
    last_ms = len(day.xy) * 1000 - 150_000  # one fix at least, of the most sparing phone
    for stay in day.stays:
        until = min(stay.left * 1000, last_ms)
        awake &= (fixes.at_ms < stay.arrived * 1000 + AWAKE_MS) | (fixes.at_ms >= until)
    return fixes.take(awake)


def everything(fixes: Fixes, day: Day, rng: np.random.Generator) -> Fixes:
    """All of it on one phone; every second phone sleeps (one that always does could not drift)."""
    steps: list[Fault] = [drift, jumps, gaps, duplicates, shuffled]
    if rng.random() < 0.5:
        steps.insert(2, sleep)
    for step in steps:
        fixes = step(fixes, day, rng)
    return fixes


VARIANTS: Final[dict[str, Fault | None]] = {
    "clean": None,
    "duplicates": duplicates,
    "shuffled": shuffled,
    "jumps": jumps,
    "drift": drift,
    "gaps": gaps,
    "sleep": sleep,
    "all": everything,
}
"""Every variant of the same days; ``clean`` is what all others start from."""
