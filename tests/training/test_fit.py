"""A fit and its calibration: what it is judged on, it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from training import split
from training.calibrate import bayes_threshold, platt
from training.config import TrainingConfig
from training.fit import FOLDS, fit, out_of_fold, prediction_hash

FEATURES = ("noise", "tell")


def rows_of(phones: int = 24, per_phone: int = 30, seed: int = 3) -> pd.DataFrame:
    """Training rows of as many phones; ``tell`` tells, ``noise`` does not."""
    rng = np.random.default_rng(seed)
    n = phones * per_phone
    label = (rng.random(n) < 0.4).astype(np.int64)
    return pd.DataFrame(
        {
            "device_id": np.repeat([f"phone-{k:02d}" for k in range(phones)], per_phone),
            "split": split.TRAIN,
            "label": label,
            "weight": rng.uniform(0.2, 4.0, n),
            "noise": rng.normal(0, 1, n),
            "tell": label + rng.normal(0, 0.7, n),
        }
    )


def fold_of(device: str) -> int:
    return int(split.device_share(device, "fold") * FOLDS)


@dataclass
class Learner:
    """Fits nothing; its models answer with the number of the fit."""

    seen: list[set[str]] = field(default_factory=list)

    def __call__(self, part: pd.DataFrame) -> Model:
        assert part["label"].nunique() == 2
        self.seen.append(set(part["device_id"]))
        return Model(len(self.seen) - 1)


@dataclass
class Model:
    number: int

    def predict(self, pool, **_options):
        return np.full(pool.num_row(), self.number)


def test_no_row_is_judged_by_a_model_that_saw_its_phone_and_every_row_is_judged_once():
    train, learner = rows_of(), Learner()
    held, number = out_of_fold(train, learner, FEATURES, ())
    assert len(learner.seen) == FOLDS
    assert sorted(held.index) == list(train.index)
    assert all(device not in learner.seen[int(k)] for device, k in zip(held["device_id"], number, strict=True))


def test_the_margins_stand_beside_their_own_rows():
    class Echo:
        def predict(self, pool, **_options):
            return pool.get_features()[:, 1]

    held, margins = out_of_fold(rows_of(), lambda _: Echo(), FEATURES, ())
    assert margins == pytest.approx(held["tell"].to_numpy(), rel=1e-6)  # CatBoost keeps features as float32


def test_a_fold_that_leaves_one_class_to_learn_from_is_left_out_and_one_of_one_class_is_judged():
    train = rows_of()
    fold = train["device_id"].map(fold_of)
    train["label"] = (fold == 1).astype(np.int64)  # all parkings are in fold 1
    learner = Learner()
    held, _ = out_of_fold(train, learner, FEATURES, ())
    assert set(held["device_id"].map(fold_of)) == {0, 2, 3}
    assert len(held) == (fold != 1).sum()


def test_one_phone_alone_cannot_be_judged_and_keeps_the_bayes_threshold(config: TrainingConfig):
    fitted = fit(rows_of(phones=1), FEATURES, (), config)
    assert (fitted.slope, fitted.intercept) == (1.0, 0.0)
    assert fitted.threshold == bayes_threshold(config.cost)


def test_the_same_rows_give_the_same_model_calibration_and_threshold(config: TrainingConfig):
    rows = rows_of()
    one, two = fit(rows, FEATURES, (), config), fit(rows.copy(), FEATURES, (), config)
    assert (one.slope, one.intercept, one.threshold) == (two.slope, two.intercept, two.threshold)
    assert prediction_hash(one.margins(rows)) == prediction_hash(two.margins(rows))


def test_cross_fitting_takes_back_the_confidence_of_a_model_that_learnt_by_heart(config: TrainingConfig):
    rows = rows_of(phones=16, per_phone=20)
    rows["tell"] = rows["label"] + np.random.default_rng(0).normal(0, 1.0, len(rows))  # tells a little
    by_heart = {**config.catboost, "iterations": 150, "depth": 6, "learning_rate": 0.3, "l2_leaf_reg": 0.1}
    fitted = fit(rows, FEATURES, (), config.model_copy(update={"catboost": by_heart}))
    believed, _ = platt(fitted.margins(rows), rows["label"].to_numpy(), rows["weight"].to_numpy())
    assert believed > 1
    assert fitted.slope < 0.2


def test_calibration_phones_are_used_where_some_were_put_aside(config: TrainingConfig):
    rows = rows_of()
    aside = rows["device_id"].map(fold_of) == 0
    rows.loc[aside, "split"] = split.CALIBRATION
    fitted = fit(rows, FEATURES, (), config)
    held = rows[aside]
    found = platt(fitted.margins(held), held["label"].to_numpy(), held["weight"].to_numpy())
    assert (fitted.slope, fitted.intercept) == found
    alone = fit(rows[~aside], FEATURES, (), config)
    assert prediction_hash(alone.margins(rows)) == prediction_hash(fitted.margins(rows))
