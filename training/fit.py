"""One fit: CatBoost on the training rows, Platt and threshold on rows it did not see. Same input, same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from parked.files import atomic_path
from training import split
from training.calibrate import best_threshold, platt, probabilities
from training.config import TrainingConfig
from training.ports import Floats, Progress, silent

FOLDS: Final = 4
"""Cross-fitting takes as many fits more; each learns from three quarters of the phones."""


@dataclass(frozen=True)
class Fit:
    """A fitted, calibrated model."""

    model: Any
    """``catboost.CatBoostClassifier``"""
    features: tuple[str, ...]
    categorical: tuple[str, ...]
    slope: float
    intercept: float
    threshold: float

    def margins(self, rows: pd.DataFrame) -> Floats:
        """Raw margins of rows holding ``features``, shape (n,)."""
        return margins_of(self.model, rows, self.features, self.categorical)

    def score(self, rows: pd.DataFrame) -> Floats:
        """Calibrated probabilities of rows holding ``features``, shape (n,)."""
        return probabilities(self.margins(rows), self.slope, self.intercept)

    def save(self, path: Path) -> None:
        """Write ``model.cbm``."""
        with atomic_path(path) as temporary:
            self.model.save_model(str(temporary), format="cbm")


def pool_of(
    rows: pd.DataFrame,
    features: Sequence[str],
    categorical: Sequence[str],
    *,
    label: bool = False,
    weight: bool = False,
) -> Any:
    """A CatBoost pool of ``rows`` in the model's own order of features."""
    from catboost import Pool

    return Pool(
        rows[list(features)],
        label=rows["label"].to_numpy() if label else None,
        weight=rows["weight"].to_numpy() if weight else None,
        cat_features=list(categorical),
        feature_names=list(features),
        thread_count=1,
    )


def margins_of(model: Any, rows: pd.DataFrame, features: Sequence[str], categorical: Sequence[str]) -> Floats:
    """A model's raw margins (RawFormulaVal), float64, shape (n,)."""
    if rows.empty:
        return np.empty(0)
    margins = model.predict(pool_of(rows, features, categorical), prediction_type="RawFormulaVal", thread_count=1)
    return np.asarray(margins, dtype=np.float64)


def prediction_hash(margins: Floats) -> str:
    """Hex SHA-256 of margins' bytes (little-endian float64), in the rows' order."""
    return hashlib.sha256(np.ascontiguousarray(margins, dtype="<f8").tobytes()).hexdigest()


def fit(
    rows: pd.DataFrame,
    features: tuple[str, ...],
    categorical: tuple[str, ...],
    config: TrainingConfig,
    progress: Progress = silent,
) -> Fit:
    """Fit on rows in canonical order (columns ``device_id``, ``split``, ``label``, ``weight`` and ``features``).

    Calibration and threshold rest on the rows of split ``calibration``; where there are none, on ``out_of_fold``.
    The order of rows and the number of threads change CatBoost, so both are fixed; its file also carries the time and
    a random id, which are blanked, so that the same manifest gives the same bytes.
    """
    from catboost import CatBoostClassifier

    def learn(part: pd.DataFrame) -> Any:
        learner = CatBoostClassifier(
            **config.catboost, loss_function="Logloss", random_seed=config.seed, allow_writing_files=False, verbose=0
        )
        return learner.fit(pool_of(part, features, categorical, label=True, weight=True))

    train = rows[rows["split"] == split.TRAIN]
    model = learn(train)
    for name in ("train_finish_time", "model_guid"):
        model.get_metadata()[name] = ""
    progress()
    held = rows[rows["split"] == split.CALIBRATION]
    if held.empty:
        held, margins = out_of_fold(train, learn, features, categorical)
    else:
        margins = margins_of(model, held, features, categorical)
    label, weight = held["label"].to_numpy(dtype=np.int64), held["weight"].to_numpy(dtype=np.float64)
    slope, intercept = platt(margins, label, weight) if config.calibration == "platt" else (1.0, 0.0)
    threshold = best_threshold(probabilities(margins, slope, intercept), label, weight, config.cost)
    return Fit(model, features, categorical, slope, intercept, threshold)


def out_of_fold(
    train: pd.DataFrame, learn: Callable[[pd.DataFrame], Any], features: Sequence[str], categorical: Sequence[str]
) -> tuple[pd.DataFrame, Floats]:
    """Rows of ``train`` and their margins, each by a model that saw no row of the same phone (cross-fitting).

    A dozen phones put aside for calibration are a dozen people's habits; this way every phone is judged once, and none
    is lost to the fit. ``learn`` fits a model on rows. FOLDS folds of whole phones by hash; those that leave a single
    class to learn from are left out, so there may be no rows at all.
    """
    shares = {d: split.device_share(str(d), "fold") for d in train["device_id"].unique()}
    fold = (train["device_id"].map(shares) * FOLDS).astype(int).to_numpy()
    parts, margins = [train.iloc[:0]], [np.empty(0)]
    for k in range(FOLDS):
        rest, part = train[fold != k], train[fold == k]
        if part.empty or rest["label"].nunique() < 2:
            continue
        parts.append(part)
        margins.append(margins_of(learn(rest), part, features, categorical))
    return pd.concat(parts), np.concatenate(margins)
