"""Rows on which a challenger and a champion can be compared: held out of both fits."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training import split
from training.manifest import Manifest
from training.ports import Bools, Floats


def held_out_of_both(rows: pd.DataFrame, champion: Manifest | None) -> Bools:
    """Which of a challenger's dataset rows neither model was fitted or calibrated on, shape (n,).

    The challenger's side is its own split. The champion's follows from its manifest alone: it was fitted on no device
    whose share (a hash of salt and id, the same at any time) lies below its ``test_devices``, and on no candidate left
    at or after its cut. So rows of its test devices stay, and of the others those left at or after its cut.
    Champion and challenger of the same salt share their test devices; another salt costs rows, never honesty.
    """
    held = rows["split"].isin(split.HELD_OUT).to_numpy()
    if champion is None:
        return np.asarray(held, dtype=np.bool_)
    rules = champion.recipe.config.split
    shares = {str(d): split.device_share(str(d), rules.salt) for d in rows["device_id"].unique()}
    tested = rows["device_id"].map(shares).to_numpy(dtype=np.float64) < rules.test_devices
    after = rows["left_at_us"].to_numpy() >= champion.recipe.cut_us
    return np.asarray(held & (tested | after), dtype=np.bool_)


def evidence(rows: pd.DataFrame) -> Floats:
    """How much of a judged candidate each row is, shape (n,): a candidate's rows sum to the trust in its label, one at
    most. For counting candidates; ``weight`` says how often people would ask, and stands for rows left out."""
    shared = rows.groupby("candidate_id")["label_weight"].transform("size").to_numpy(dtype=np.float64)
    return np.asarray(np.minimum(rows["label_weight"].to_numpy(dtype=np.float64), 1.0) / shared)


def recent(rows: pd.DataFrame, days: float) -> Bools:
    """Rows of candidates left within ``days`` of the newest one, shape (n,)."""
    left = rows["left_at_us"].to_numpy()
    return np.asarray(left >= left.max() - int(days * 86_400e6) if len(left) else np.zeros(0), dtype=np.bool_)
