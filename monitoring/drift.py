"""How far each served feature lies from the training set, and how far it might without meaning anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from monitoring.context import context_weights
from monitoring.limits import Blocks, Limit, limit_of_past, limits_of_training
from monitoring.policy import DriftTrigger, WindowPolicy
from monitoring.statistics import Coded, Floats, code_feature
from monitoring.triggers import Reading
from monitoring.windows import DAY_US, Served, Window


@dataclass(frozen=True)
class Column:
    """A column to be judged."""

    name: str
    """What people call it."""
    key: str
    """Its column in the frames."""
    categorical: bool


@dataclass(frozen=True)
class Drift:
    """One column's distance and what it is held against."""

    name: str
    categorical: bool
    distance: float
    limit: Limit
    reached_at: float
    """Distance from which on it counts as over the limit."""
    at_once: float
    """Distance from which on one window is enough."""

    @property
    def over(self) -> bool:
        """At or beyond its limit."""
        return self.distance >= self.reached_at

    def reading(self) -> Reading:
        """As the triggers read it."""
        return Reading(self.name, self.distance, self.reached_at, self.at_once)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "distance": self.distance,
            "statistic": "jensen_shannon" if self.categorical else "kolmogorov_smirnov",
            "limit": self.reached_at,
            "at_once": self.at_once,
            "quiet_mean": self.limit.mean,
            "quiet_sd": self.limit.sd,
            "quiet_windows": self.limit.windows,
            "limit_from": self.limit.source,
            "over": self.over,
        }


def measure(
    reference: pd.DataFrame,
    served: Served,
    past: Sequence[Served],
    columns: Sequence[Column],
    policy: DriftTrigger,
    looking: WindowPolicy,
    rng: np.random.Generator,
    *,
    weights: Floats,
) -> list[Drift]:
    """The drift of every column that has rows on both sides, in order.

    ``reference``: ``device_id``, ``candidate_id``, ``asked_at_us`` and the columns, weighted by ``weights`` to
    the served context. ``past``: quiet earlier windows; where ``looking.past_windows`` of them hold enough rows the
    limits rest on them, else on pseudo-windows of the training set (``monitoring.limits``).
    """
    usable = [c for c in columns if len(reference) and served.rows]
    coded = [_code(column, reference, served.frame) for column in usable]
    if not coded:
        return []
    enough = [w for w in past if w.rows >= policy.min_rows and w.devices >= policy.min_devices]
    if len(enough) >= looking.past_windows:
        limits = _limits_of_past(reference, enough, usable, looking.context)
    else:
        before, now = blocks_of(reference, served.frame)
        limits = limits_of_training(coded, before, now, rng, weights=weights, replicates=looking.pseudo_windows)
    return [_judge(feature, feature.observed(weights), limits[feature.name], policy) for feature in coded]


def _judge(feature: Coded, distance: float, limit: Limit, policy: DriftTrigger) -> Drift:
    return Drift(
        feature.name,
        feature.categorical,
        distance,
        limit,
        reached_at=limit.at(policy.limit_sd, policy.min_distance),
        at_once=limit.at(policy.at_once_sd, policy.min_distance),
    )


def _limits_of_past(
    reference: pd.DataFrame, past: Sequence[Served], columns: Sequence[Column], context: Sequence[str]
) -> dict[str, Limit]:
    distances: dict[str, list[float]] = {column.name: [] for column in columns}
    for served in past:
        rest = reference[~_inside(reference, served.window)]
        rest = rest if len(rest) else reference
        weights = context_weights(rest, served.frame, context)
        for column in columns:
            distances[column.name].append(_code(column, rest, served.frame).observed(weights))
    return {name: limit_of_past(values) for name, values in distances.items()}


def _inside(reference: pd.DataFrame, window: Window) -> pd.Series:
    """Training rows of the window itself: a window must be scored against a reference that excludes it."""
    start, end = window.bounds_us
    return (reference["asked_at_us"] >= start) & (reference["asked_at_us"] < end)


def _code(column: Column, reference: pd.DataFrame, current: pd.DataFrame) -> Coded:
    return code_feature(
        column.name,
        reference[column.key].to_numpy(),
        current[column.key].to_numpy(),
        categorical=column.categorical,
    )


def blocks_of(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[Blocks, Blocks]:
    """The phone and day of each row of two frames, phones on one numbering."""
    both = pd.concat([frame[["device_id", "asked_at_us"]] for frame in (reference, current)], ignore_index=True)
    device = pd.factorize(both["device_id"])[0].astype(np.int64)
    day = both["asked_at_us"].to_numpy(dtype=np.int64) // DAY_US
    n = len(reference)
    return Blocks(device[:n], day[:n]), Blocks(device[n:], day[n:])
