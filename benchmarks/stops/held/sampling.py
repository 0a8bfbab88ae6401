"""What a phone reports of its day: the fixes it takes and how wrong they are, before anything goes amiss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.stops.held.days import REST, VEHICLE, Day

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fixes:
    """A phone's fixes in the order received. ``at_ms`` (n,) int64 since midnight; ``xy`` (n, 2) local metres;
    ``accuracy`` m and ``speed`` m/s (n,), NaN where not sent; ``rest`` (n,) true state, for the faults to go by."""

    at_ms: npt.NDArray[np.int64]
    xy: Floats
    accuracy: Floats
    speed: Floats
    rest: npt.NDArray[np.bool_]

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Fixes:
        """These rows, in this order."""
        return replace(self, **{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


def coloured(n: int, seconds: float, rng: np.random.Generator) -> Floats:
    """Noise (n, 2) of unit deviation, one a second, that forgets itself within about ``seconds``."""
    step = max(1, int(seconds / 3.0))
    knots = rng.normal(size=(n // step + 3, 2))
    at = np.arange(n) / step
    base = at.astype(np.int64)
    part = (at - base)[:, None]
    # Between independent knots the variance would sag: the weights are brought back to unit power.
    power = np.sqrt((1.0 - part) ** 2 + part**2)
    return np.asarray((knots[base] * (1.0 - part) + knots[base + 1] * part) / power)


USUAL_S: Final = (5.0, 10.0)
"""A phone's time between fixes is drawn from these (s)."""


def sample(day: Day, rng: np.random.Generator, every_s: tuple[float, float] = USUAL_S) -> Fixes:
    """Fixes every ``every_s`` s; four phones of five save power once at rest for 5 min (one fix every 30-120 s)."""
    every = float(rng.uniform(*every_s))
    n = len(day.xy)
    at = np.cumsum(rng.uniform(0.85, 1.15, int(n / every / 0.85) + 2) * every)
    at = at[at < n - 1]
    second = at.astype(np.int64)
    rest_second = day.state == REST
    began = np.maximum.accumulate(np.where(rest_second, 0, np.arange(n) + 1))
    if rng.random() < 0.8:
        slow = float(rng.uniform(30.0, 120.0))
        resting = at - began[second]
        turn = np.floor(resting / slow)
        keep = ~rest_second[second] | (resting < 300.0)
        keep[1:] |= turn[1:] != turn[:-1]
        at, second = at[keep], second[keep]
    at_ms = np.floor(at * 1000.0).astype(np.int64)
    part = (at_ms / 1000.0 - second)[:, None]
    true = day.xy[second] * (1.0 - part) + day.xy[second + 1] * part
    pace = np.hypot(*(day.xy[second + 1] - day.xy[second]).T)
    resting_now = rest_second[second]
    sigma = rng.uniform(4.0, 6.0)
    noise = sigma * (0.9 * coloured(n, 30.0, rng)[second] + 0.43 * rng.normal(size=true.shape))
    accuracy = sigma * rng.lognormal(0.4, 0.3, len(at)) * np.where(resting_now, 1.6, 1.0)
    speed = np.abs(pace + rng.normal(0.0, np.where(day.state[second] == VEHICLE, 0.4, 0.25)))
    accuracy[rng.random(len(at)) < rng.choice([0.0, 0.02, 0.1])] = np.nan
    speed[rng.random(len(at)) < rng.choice([0.0, 0.05, 0.3, 1.0], p=[0.3, 0.4, 0.2, 0.1])] = np.nan
    return Fixes(at_ms, true + noise, np.round(accuracy, 1), np.round(speed, 2), resting_now)
