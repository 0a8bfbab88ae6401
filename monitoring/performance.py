"""Answers against labels that came later: does the champion still rank, and still keep its promises?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from monitoring.policy import DecayTrigger
from monitoring.statistics import Codes, Floats
from monitoring.triggers import Reading

if TYPE_CHECKING:
    from training.config import LabelRules

RESAMPLES: Final = 200
"""Draws of whole phones for the AUC's standard error (5 % of it is noise)."""


@dataclass(frozen=True)
class Performance:
    """Figures on matured answers. None where only one class was labelled."""

    rows: int
    devices: int
    parked_share: float
    mean_probability: float
    auc: float | None
    auc_se: float | None
    """Bootstrap over phones."""
    auc_held_out: float | None
    """The champion's own, on the rows it was not fitted to, weighted to the same mix of ages."""
    log_loss: float
    """nats"""
    calibration_gap: float
    """Labelled minus promised share of parkings."""
    calibration_gap_held_out: float
    """The champion's own, on the rows it was not fitted to, weighted likewise: what it was published with."""
    calibration_z: float
    """How much larger the gap is than the held-out one, either way, in standard errors; below 0: it is smaller (the
    phones that ask are mostly those the model learnt from, which flatters it)."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def candidate_labels(candidates: pd.DataFrame, labels: pa.Table, coverage: pa.Table, rules: LabelRules) -> pd.DataFrame:
    """``candidate_id`` and ``label`` (0/1) of every candidate that somebody judged, by training's rules of attachment.

    ``candidates``: ``training.snapshots.final_candidates``; ``labels``, ``coverage``: as known by then.
    """
    from training.labelling import attach

    labelled, _ = attach(candidates, labels, coverage, rules)
    found: pd.DataFrame = labelled[["candidate_id", "label"]]
    return found


def measure(labelled: pd.DataFrame, held_out: pd.DataFrame, weights: Floats, rng: np.random.Generator) -> Performance:
    """Figures of ``labelled`` (``device_id``, ``probability``, ``label``; one row at least).

    ``held_out``: the champion's held-out rows with ``probability`` and ``label``, weighted by ``weights``.
    Raises ValueError for no rows.
    """
    if labelled.empty:
        raise ValueError("no matured answers")
    label = labelled["label"].to_numpy(dtype=np.int64)
    promised = labelled["probability"].to_numpy(dtype=np.float64)
    phone = pd.factorize(labelled["device_id"])[0].astype(np.int64)
    clipped = np.clip(promised, 1e-15, 1 - 1e-15)
    held_label = held_out["label"].to_numpy(dtype=np.int64)
    held_promised = held_out["probability"].to_numpy(dtype=np.float64)
    held_phone = pd.factorize(held_out["device_id"])[0].astype(np.int64)
    gap, gap_se = calibration_gap(label, promised, phone)
    held_gap, held_se = calibration_gap(held_label, held_promised, held_phone, weights)
    error = float(np.hypot(gap_se, held_se))
    return Performance(
        rows=len(labelled),
        devices=len(np.unique(phone)),
        parked_share=float(label.mean()),
        mean_probability=float(promised.mean()),
        auc=auc(label, promised),
        auc_se=_auc_se(label, promised, phone, rng),
        auc_held_out=auc(held_label, held_promised, weights),
        log_loss=float(-np.mean(np.where(label == 1, np.log(clipped), np.log1p(-clipped)))),
        calibration_gap=gap,
        calibration_gap_held_out=held_gap,
        calibration_z=(abs(gap) - abs(held_gap)) / error if error > 0 else 0.0,
    )


def readings(found: Performance, policy: DecayTrigger) -> Sequence[Reading]:
    """The figures as the triggers read them; they see different faults, so either is enough."""
    z, excess = found.calibration_z, abs(found.calibration_gap) - abs(found.calibration_gap_held_out)
    # in standard errors, the excess below which nobody minds, however many labels make it sure
    tolerated = policy.min_calibration_gap * z / excess if excess > 0 else 0.0
    said = [Reading("calibration_z", z, max(policy.calibration_z, tolerated))]
    if found.auc is not None and found.auc_held_out is not None:
        limit = max(policy.auc_drop, policy.auc_sd * (found.auc_se or 0.0))
        said.append(Reading("auc_drop", found.auc_held_out - found.auc, limit))
    return said


def auc(label: npt.NDArray[np.int64], score: Floats, weights: Floats | None = None) -> float | None:
    """Weighted area under the ROC curve, ties half; None where a class is absent.

    >>> auc(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9]))
    0.75
    """
    weight = np.ones(len(label)) if weights is None else np.asarray(weights, dtype=np.float64)
    values, code = np.unique(score, return_inverse=True)
    up = np.bincount(code, weights=weight * (label == 1), minlength=len(values))
    down = np.bincount(code, weights=weight * (label == 0), minlength=len(values))
    pairs = up.sum() * down.sum()
    if not pairs > 0:
        return None
    below = np.cumsum(down) - down
    return float((up * (below + down / 2)).sum() / pairs)


def calibration_gap(
    label: npt.NDArray[np.int64], promised: Floats, phone: Codes, weights: Floats | None = None
) -> tuple[float, float]:
    """Calibration in the large: weighted mean of (label - promise), and its standard error. (0, 0) for no rows.

    The variance is the larger of the model's own, sum w^2 p(1 - p) (Cox 1958; Spiegelhalter 1986), and the one between
    phones (Cochran 1977, ch. 9A): answers of one phone err together, and rows taken for independent would alarm every
    week.
    """
    weight = np.ones(len(label)) if weights is None else weights
    total = float(weight.sum())
    if not total > 0:
        return 0.0, 0.0
    gap = float((weight * (label - promised)).sum()) / total
    residuals = np.bincount(phone, weights=weight * (label - promised - gap))
    between = float((residuals**2).sum()) * len(residuals) / max(1, len(residuals) - 1)
    own = float((weight**2 * promised * (1 - promised)).sum())
    return gap, float(np.sqrt(max(between, own))) / total


def _auc_se(label: npt.NDArray[np.int64], score: Floats, phone: Codes, rng: np.random.Generator) -> float | None:
    phones = int(phone.max()) + 1
    draws = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(0, phones, phones), minlength=phones).astype(np.float64)
        value = auc(label, score, times[phone])
        if value is not None:
            draws.append(value)
    return float(np.std(draws, ddof=1)) if len(draws) > 1 else None
