"""Distances between two samples of one feature: pure functions on arrays.

Both distances are computed from counts over a shared coding of the values, so that calibration
(``monitoring.limits``) can rescore thousands of resamples by counting alone.

* Numbers: Kolmogorov-Smirnov D = sup |F(x) - G(x)| (Smirnov 1948). A missing value is an atom *below* every number, as
  CatBoost sees it (``nan_mode=Min``): a feature that goes missing moves D by the change of its share, where a test that
  drops NaN first would see nothing.
* Categories: Jensen-Shannon distance, base 2, in [0, 1] (Endres & Schindelin 2003), over the categories themselves; the
  empty string (missing) is one of them. No binning, so no outlier can hide a shift.

A p-value is never used: phone rows are clustered by person, and the p-value of rows taken for independent alarms on
quiet windows. Distances are judged against calibrated limits instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]


def ks_distance(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """Kolmogorov-Smirnov D of two float samples, any lengths >= 1, NaN counted as a value below all others.

    Raises ValueError for an empty sample.

    >>> ks_distance([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0])
    0.5
    >>> ks_distance([1.0, 2.0, 3.0, 4.0], [float("nan"), 2.0, 3.0, 4.0])
    0.25
    """
    return _code("", encode_numbers(reference), encode_numbers(current), categorical=False).observed()


def js_distance(reference: Sequence[object], current: Sequence[object]) -> float:
    """Jensen-Shannon distance (base 2, 0 = same shares, 1 = nothing in common) of two samples of categories.

    Raises ValueError for an empty sample.

    >>> js_distance(["a", "b"], ["a", "b", "a", "b"]), js_distance(["a"], ["b"])
    (0.0, 1.0)
    """
    return _code("", encode_categories(reference), encode_categories(current), categorical=True).observed()


def clustered_share(flags: npt.ArrayLike, device: Codes, weights: Floats | None = None) -> tuple[float, float]:
    """Weighted share of rows that are flagged, and its standard error with whole phones as the units.

    ``flags``: bool, shape (n,); ``device``: code of each row's phone. The error is the ratio estimator's linearisation
    (Cochran, "Sampling Techniques", 1977, ch. 9A): rows of one phone count as one observation. (0, 0) for no rows.

    >>> clustered_share([True, False, False, False], np.array([0, 0, 1, 1]))[0]
    0.25
    """
    values = np.asarray(flags, dtype=np.float64)
    weight = np.ones(len(values)) if weights is None else weights
    total = float(weight.sum())
    if not total > 0:
        return 0.0, 0.0
    share = float((weight * values).sum()) / total
    residuals = np.bincount(device, weights=weight * (values - share))
    phones = len(np.unique(device))
    spread = float((residuals**2).sum()) * (phones / max(1, phones - 1))
    return share, float(np.sqrt(spread)) / total


def encode_numbers(values: npt.ArrayLike) -> Floats:
    """float64 with one kind of missing: NaN and infinities alike (an infinite sensor value carries no number)."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, -np.inf)


def encode_categories(values: Sequence[object] | npt.NDArray[Any]) -> Strings:
    """Strings, a missing one being the empty string (as ``ModelCard.categorical`` says the model is fed)."""
    objects = np.asarray(values, dtype=object)
    return np.where(pd.isna(objects), "", objects.astype(str)).astype(object)


def ks_from_counts(reference: Floats, current: Floats) -> float:
    """D from counts (or weights) over the same codes in ascending order of value, shape (k,)."""
    return float(np.abs(np.cumsum(_shares(reference)) - np.cumsum(_shares(current))).max())


def js_from_counts(reference: Floats, current: Floats) -> float:
    """Jensen-Shannon distance, base 2, from counts (or weights) over the same codes in any order, shape (k,)."""
    p, q = _shares(reference), _shares(current)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(min(1.0, max(0.0, divergence))))


@dataclass(frozen=True)
class Coded:
    """One feature of two samples on a shared coding: what a resample needs to be scored by counting."""

    name: str
    categorical: bool
    reference: Codes
    """Code of every reference row, shape (n,), 0 <= code < size; ascending with the value for numbers."""
    current: Codes
    """Code of every current row, shape (m,)."""
    size: int

    def distance(self, reference_counts: Floats, current_counts: Floats) -> float:
        """The feature's own distance: D for numbers, Jensen-Shannon for categories."""
        score = js_from_counts if self.categorical else ks_from_counts
        return score(reference_counts, current_counts)

    def observed(self, weights: Floats | None = None) -> float:
        """Distance of the two samples, the reference's rows weighted where ``weights`` (shape (n,)) are given."""
        return self.distance(self.counts(self.reference, weights), self.counts(self.current))

    def coarse(self, steps: int = 512) -> Coded:
        """The same on at most ``steps`` steps of equal numbers of rows; categories stay as they are.

        D is then too small by less than (n + m) / (steps * min(n, m)): inner cuts lie less than (n + m) / steps
        rows behind the beginning of their step, which may all be the smaller sample's.
        """
        if self.categorical or self.size <= steps:
            return self
        rows = np.bincount(np.concatenate([self.reference, self.current]), minlength=self.size)
        step = (np.cumsum(rows) - rows) * steps // rows.sum()
        _, step = np.unique(step, return_inverse=True)
        return replace(self, reference=step[self.reference], current=step[self.current], size=int(step[-1]) + 1)

    def counts(self, codes: Codes, weights: Floats | None = None) -> Floats:
        """Rows (or weight) per code, shape (size,)."""
        return np.bincount(codes, weights=weights, minlength=self.size).astype(np.float64)


def code_feature(name: str, reference: npt.NDArray[Any], current: npt.NDArray[Any], *, categorical: bool) -> Coded:
    """Put a feature's reference and current values on one coding. Raises ValueError where either is empty."""
    if categorical:
        return _code(name, encode_categories(reference), encode_categories(current), categorical=True)
    return _code(name, encode_numbers(reference), encode_numbers(current), categorical=False)


def _code(name: str, reference: npt.NDArray[Any], current: npt.NDArray[Any], *, categorical: bool) -> Coded:
    if not len(reference) or not len(current):
        raise ValueError(f"{name or 'sample'}: a distance needs rows on both sides")
    values, codes = np.unique(np.concatenate([reference, current]), return_inverse=True)
    codes = codes.astype(np.int64)
    return Coded(name, categorical, codes[: len(reference)], codes[len(reference) :], len(values))


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _relative_entropy(p: Floats, q: Floats) -> float:
    present = p > 0
    return float((p[present] * np.log2(p[present] / q[present])).sum())
