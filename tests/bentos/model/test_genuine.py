"""What is not the model that was trained under its name does not serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bentos.model.kept_trees import load_proved
from bentos.model.scorer import load_scorer, model_dir_of
from parked.errors import InternalError
from parked.files import sha256_of
from parked.settings import Settings
from tests.bentos.fakes import CATEGORICAL, FEATURES, card, settings_in
from tests.bentos.model.test_trees import one_hot_model

TAG = "parking:named"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    folder = settings.bentoml_home / "models" / "parking" / "named"
    folder.mkdir(parents=True)
    one_hot_model().save_model(str(folder / "model.cbm"))
    told = card(features=FEATURES, categorical=CATEGORICAL)
    (folder / "card.json").write_text(told.model_dump_json(), encoding="utf-8")
    outcome = {
        "model_sha256": sha256_of(folder / "model.cbm"),
        "calibration_slope": told.calibration_slope,
        "calibration_intercept": told.calibration_intercept,
        "threshold": told.threshold,
    }
    (folder / "manifest.json").write_text(json.dumps({"tag": TAG, "outcome": outcome}), encoding="utf-8")
    return settings


def _another_model(folder: Path) -> None:
    one_hot_model(depth=2).save_model(str(folder / "model.cbm"))


def _a_leaf(folder: Path) -> None:
    """One bit of a leaf's value, which CatBoost takes."""
    model = one_hot_model()
    leaf = model.get_leaf_values()[0].tobytes()
    whole = (folder / "model.cbm").read_bytes()
    at = whole.index(leaf)
    (folder / "model.cbm").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])


def _json(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        told = json.loads((folder / name).read_bytes())
        change(told)
        (folder / name).write_text(json.dumps(told), encoding="utf-8")

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_another_model, "model.cbm is not"),
        (_a_leaf, "model.cbm is not"),
        (_json("card.json", lambda told: told.update(threshold=0.1)), "card.json is not"),
        (_json("card.json", lambda told: told.update(calibration_slope=2.0)), "card.json is not"),
        (_json("manifest.json", lambda told: told.update(tag="parking:other")), "manifest.json is not"),
        (_json("manifest.json", lambda told: told.pop("outcome")), "damaged manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "damaged manifest.json"),
    ],
)
def test_a_model_that_is_not_what_its_manifest_names_is_refused(
    home: Settings, damage: Callable[[Path], None], said: str
) -> None:
    folder = model_dir_of(home, TAG)
    before = load_proved(home, TAG)
    assert before.score([{}]) == load_scorer(folder, TAG).score([{}])
    damage(folder)
    for load in (lambda: load_scorer(folder, TAG), lambda: load_proved(home, TAG).model):
        with pytest.raises(InternalError, match=said):
            load()
