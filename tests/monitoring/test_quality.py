from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.policy import load_policy
from monitoring.quality import FeatureQuality, look, readings


def frame(**columns: object) -> pd.DataFrame:
    rows = max(len(c) for c in columns.values())  # type: ignore[arg-type]
    return pd.DataFrame({"device_id": [f"d{i % 20}" for i in range(rows)], **{f"f_{k}": v for k, v in columns.items()}})


def one(reference: pd.DataFrame, current: pd.DataFrame, name: str, *, categorical: bool = False) -> FeatureQuality:
    return look(reference, current, [name], [name] if categorical else [])[0]


def reached(found: FeatureQuality) -> list[str]:
    return [r.name for r in readings([found], load_policy().triggers.quality) if r.value >= r.limit]


def test_an_all_null_column_is_told_as_having_no_value() -> None:
    found = one(frame(x=np.arange(100.0)), frame(x=[np.nan] * 100), "x")
    assert found.empty
    assert found.remarks() == ["no value at all"]
    assert reached(found) == ["x missing"]


def test_a_missing_column_is_an_all_null_one() -> None:
    found = one(frame(x=np.arange(100.0)), frame(y=np.arange(100.0)), "x")
    assert found.null_share == 1
    assert reached(found) == ["x missing"]


def test_what_was_missing_in_training_may_be_missing_now() -> None:
    gaps = np.where(np.arange(200) % 2, np.nan, 1.0)
    found = one(frame(x=gaps), frame(x=gaps), "x")
    assert found.null_share == found.null_share_training == 0.5
    assert reached(found) == []


def test_infinite_is_missing() -> None:
    assert one(frame(x=[1.0, 2.0]), frame(x=[np.inf, 1.0]), "x").null_share == 0.5


def test_unseen_categories_are_caught_by_their_share() -> None:
    found = one(frame(c=["a", "b"] * 50), frame(c=["a"] * 90 + ["new"] * 10), "c", categorical=True)
    assert found.unseen_share == pytest.approx(0.1)
    assert reached(found) == ["c unseen"]
    assert "unseen categories 10.0%" in found.remarks()


def test_a_missing_category_is_missing_not_unseen() -> None:
    found = one(frame(c=["a"] * 100), frame(c=["a", "", None, np.nan] * 25), "c", categorical=True)
    assert found.unseen_share == 0
    assert found.null_share == 0.75


def test_few_phones_without_a_sensor_are_no_alarm() -> None:
    """3 of 12 phones send nothing: 25 % missing, yet well within what twelve phones can differ by."""
    phones = np.repeat(np.arange(12), 20)
    current = pd.DataFrame({"device_id": phones.astype(str), "f_x": np.where(phones < 3, np.nan, 1.0)})
    trained = np.repeat(np.arange(100), 20)
    reference = pd.DataFrame({"device_id": trained.astype(str), "f_x": np.where(trained < 5, np.nan, 1.0)})
    found = one(reference, current, "x")
    assert found.null_rise == pytest.approx(0.2)
    assert reached(found) == []


def test_out_of_range_and_constant_are_remarked_on() -> None:
    found = one(frame(x=np.arange(100.0)), frame(x=[500.0] * 100), "x")
    assert found.became_constant
    assert found.remarks() == ["one single value", "out of the training range 100.0%"]
