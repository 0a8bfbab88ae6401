from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from monitoring.performance import Performance, auc, measure, readings
from monitoring.policy import load_policy
from monitoring.triggers import Reading


def answers(rng: np.random.Generator, *, phones: int = 100, each: int = 15, sharpness: float = 2.0) -> pd.DataFrame:
    """Calibrated answers: labels are drawn with the promised probability."""
    promised = 1 / (1 + np.exp(-rng.normal(0, sharpness, phones * each)))
    return pd.DataFrame(
        {
            "device_id": np.repeat(np.arange(phones), each).astype(str),
            "probability": promised,
            "label": (rng.random(len(promised)) < promised).astype(np.int64),
        }
    )


def measured(labelled: pd.DataFrame, held: pd.DataFrame) -> Performance:
    return measure(labelled, held, np.ones(len(held)), np.random.default_rng(0))


def reached(found: Performance) -> list[str]:
    said: list[Reading] = list(readings(found, load_policy().triggers.decay))
    return [r.name for r in said if r.value >= r.limit]


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.4, 0.4, 0.8])), min_size=2, max_size=40))
def test_auc_is_sklearns(rows: list[tuple[int, float]]) -> None:
    label, score = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if len(set(label.tolist())) == 1:
        assert auc(label, score) is None
    else:
        assert auc(label, score) == pytest.approx(roc_auc_score(label, score))


def test_figures_are_those_of_sklearn() -> None:
    rows = answers(np.random.default_rng(1))
    found = measured(rows, rows)
    assert found.log_loss == pytest.approx(log_loss(rows["label"], rows["probability"]))
    assert found.auc == found.auc_held_out
    assert (found.rows, found.devices) == (1500, 100)


def test_answers_as_good_as_the_held_out_ones_never_alarm() -> None:
    alarms = [
        reached(measured(answers(np.random.default_rng(seed)), answers(np.random.default_rng(1000 + seed))))
        for seed in range(12)
    ]
    assert alarms == [[]] * 12


def test_a_model_that_ranks_worse_is_caught_by_its_auc() -> None:
    rng = np.random.default_rng(2)
    rows = answers(rng)
    lost = rng.random(len(rows)) < 0.3
    rows["probability"] = np.where(lost, rng.permutation(rows["probability"]), rows["probability"])
    assert "auc_drop" in reached(measured(rows, answers(np.random.default_rng(3))))


def test_a_model_that_promises_too_much_is_caught_by_its_calibration() -> None:
    rng = np.random.default_rng(4)
    rows = answers(rng)
    rows["probability"] = 1 / (1 + np.exp(-(np.log(rows["probability"] / (1 - rows["probability"])) + 0.7)))
    found = measured(rows, answers(np.random.default_rng(5)))
    assert reached(found) == ["calibration_z"]
    assert found.calibration_z > 3
    assert found.calibration_gap < -0.05


def test_phones_that_err_together_are_no_alarm_where_independent_rows_would_be_one() -> None:
    """Every phone is all right or all wrong: 100 observations, not 1,500."""
    rows = answers(np.random.default_rng(6))
    rows["probability"] = 0.5
    rows["label"] = np.repeat((np.arange(100) < 57).astype(np.int64), 15)
    naive = (rows["label"].sum() - 750) / np.sqrt(1500 * 0.25)
    held = answers(np.random.default_rng(7)).assign(probability=0.5)
    assert abs(naive) > 3
    assert abs(measured(rows, held).calibration_z) < 3


def test_a_gap_nobody_minds_is_no_alarm_however_many_labels_make_it_sure() -> None:
    found = Performance(10**6, 10**4, 0.51, 0.5, 0.9, 0.001, 0.9, 0.3, 0.01, 0.0, 20.0)
    assert reached(found) == []


def test_one_class_has_no_auc_and_still_a_calibration() -> None:
    rows = answers(np.random.default_rng(8)).assign(label=1)
    found = measured(rows, answers(np.random.default_rng(9)))
    assert found.auc is None
    assert reached(found) == ["calibration_z"]


def test_no_matured_answers_are_refused() -> None:
    rows = answers(np.random.default_rng(1))
    with pytest.raises(ValueError, match="no matured answers"):
        measured(rows.iloc[:0], rows)
