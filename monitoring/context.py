"""Comparing like with like: the reference weighted to the served mix of what the asker chose.

How long ago a vehicle was left when somebody asks, and at what time of day, says nothing of the world, yet moves every
feature that ripens with time: an hour after parking the walk is known, a minute after it is not; at night cars rest. So
the reference's rows are weighted until those are spread as the served ones are (raking; Deming & Stephan 1940), and the
other features are compared given them (the idea of Cobb & Van Looveren, "Context-aware drift detection", ICML 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from monitoring.statistics import Codes, Floats, encode_numbers
from monitoring.windows import PREFIX

CLASSES: Final = 10
"""Classes of each context: tenths of the reference's rows, open at both ends, so that each holds some of them."""

ROUNDS: Final = 10
"""Of raking; a few margins that hang together loosely settle in fewer."""


def context_weights(reference: pd.DataFrame, current: pd.DataFrame, context: Sequence[str]) -> Floats:
    """Weight of every reference row, float64, shape (n,), mean 1.

    Frames hold the contexts' columns (``f_<context>``); what is no column in both weighs nothing. Zero: no served row
    is of that class.
    """
    weights = np.ones(len(reference))
    keys = [PREFIX + name for name in context if PREFIX + name in reference and PREFIX + name in current]
    if not len(reference) or not len(current) or not keys:
        return weights
    margins = [_margin(reference[key], current[key]) for key in keys]
    for _ in range(ROUNDS if len(margins) > 1 else 1):
        for classes, want in margins:
            have = np.bincount(classes, weights=weights, minlength=len(want))
            weights = weights * np.divide(want, have, out=np.zeros(len(want)), where=have > 0)[classes]
    total = weights.sum()
    return np.asarray(weights * (len(weights) / total) if total > 0 else np.ones(len(weights)), dtype=np.float64)


def _margin(before: pd.Series, now: pd.Series) -> tuple[Codes, Floats]:
    """Class of every reference row, and the served share of each class."""
    edges = _edges(encode_numbers(before.to_numpy()))
    want = np.bincount(_classes(encode_numbers(now.to_numpy()), edges), minlength=len(edges) + 1)
    return _classes(encode_numbers(before.to_numpy()), edges), want / want.sum()


def effective_rows(weights: Floats) -> float:
    """How many equally weighted rows hold as much (Kish 1965): (sum w)^2 / sum w^2."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _edges(values: Floats) -> Floats:
    held = values[np.isfinite(values)]
    if not len(held):
        return np.empty(0)
    return np.unique(np.quantile(held, np.arange(1, CLASSES) / CLASSES))


def _classes(values: Floats, edges: Floats) -> Codes:
    return np.searchsorted(edges, values, side="right").astype(np.int64)
