"""Comparing like with like: the training set weighted to the served mix of what the asker chose.

How long ago a vehicle was left when somebody asks (``age_s``) says nothing of the world, yet moves every feature that
ripens with time: an hour after parking the walk is known, a minute after it is not. Training takes its own moments,
people ask at theirs. So the reference's rows are weighted until their ages are spread as the served ones are
(post-stratification), and the other features are compared given the age (the idea of Cobb & Van Looveren,
"Context-aware drift detection", ICML 2022). A candidate that training saw at many moments of one age class counts once
in it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from monitoring.statistics import Codes, Floats, encode_numbers
from monitoring.windows import PREFIX

CLASSES: Final = 20
"""Classes of the context: twentieths of the training rows, open at both ends, so that each holds training rows."""


def context_weights(reference: pd.DataFrame, current: pd.DataFrame, context: str | None) -> Floats:
    """Weight of every reference row, shape (n,), mean 1; all of a candidate's rows of one class share one weight.

    Frames hold ``candidate_id`` and, where ``context`` is given, its column (``f_<context>``); a context that is not a
    column weighs nothing. Zero: no served row is of that class.
    """
    column = PREFIX + context if context is not None else ""
    if column in reference and column in current and len(current):
        before, now = encode_numbers(reference[column].to_numpy()), encode_numbers(current[column].to_numpy())
        edges = _edges(before)
        of_reference, of_current = _classes(before, edges), _classes(now, edges)
    else:
        of_reference, of_current = np.zeros(len(reference), np.int64), np.zeros(max(1, len(current)), np.int64)
    once = 1.0 / _repeats(reference["candidate_id"], of_reference)
    size = int(max(of_reference.max(initial=0), of_current.max(initial=0))) + 1
    have = np.bincount(of_reference, weights=once, minlength=size)
    want = np.bincount(of_current, minlength=size).astype(np.float64)
    weights = once * np.divide(want, have, out=np.zeros(size), where=have > 0)[of_reference]
    total = weights.sum()
    return np.asarray(weights * (len(weights) / total) if total > 0 else once, dtype=np.float64)


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


def _repeats(candidates: pd.Series, classes: Codes) -> Floats:
    """How many rows share each row's candidate and class, shape (n,)."""
    pairs = pd.DataFrame({"candidate": candidates.to_numpy(), "class": classes})
    return pairs.groupby(["candidate", "class"])["class"].transform("size").to_numpy(dtype=np.float64)
