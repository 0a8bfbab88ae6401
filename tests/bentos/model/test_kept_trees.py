"""Proved once, kept, and taken only for what was proved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bentos.model import kept_trees
from bentos.model.kept_trees import load_proved
from bentos.model.scorer import load_scorer
from parked.errors import InternalError, NotFoundError
from parked.settings import Settings
from tests.bentos.fakes import CATEGORICAL, FEATURES, card, settings_in
from tests.bentos.model.test_trees import one_hot_model

TAG = "parking:kept"
ROWS: list[dict[str, object]] = [{"walked_m": 80.0, "followed_by": "foot"}, {"age_s": 3, "followed_by": "new"}, {}]


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    folder = model_folder(settings)
    folder.mkdir(parents=True)
    one_hot_model().save_model(str(folder / "model.cbm"))
    told = card(features=FEATURES, categorical=CATEGORICAL)
    (folder / "card.json").write_text(told.model_dump_json(), encoding="utf-8")
    return settings


def model_folder(settings: Settings) -> Path:
    return settings.bentoml_home / "models" / "parking" / "kept"


def kept(settings: Settings) -> list[Path]:
    return sorted((settings.home / "serving" / "trees").glob("*.npz"))


def test_what_is_kept_scores_the_same_bits(home: Settings) -> None:
    by_catboost = load_scorer(model_folder(home)).score(ROWS)
    proved, again = load_proved(home, TAG), load_proved(home, TAG)
    assert len(kept(home)) == 1
    for scorer in (proved, again):
        assert scorer.trees is not None
        assert scorer.score(ROWS) == by_catboost
        assert scorer.catboost_margins([scorer.values(ROWS[0])]) is not None


def test_what_is_kept_needs_no_catboost(home: Settings) -> None:
    load_proved(home, TAG)
    asks = (
        "import sys; from parked.settings import load_settings; from bentos.model.kept_trees import load_proved;"
        f"scorer = load_proved(load_settings(), {TAG!r});"
        "print(scorer.score([{'walked_m': 80.0}]), sorted({'catboost', 'pandas'} & set(sys.modules)))"
    )
    environment = os.environ | {"PARKED_HOME": str(home.home)}
    said = subprocess.run([sys.executable, "-c", asks], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(load_scorer(model_folder(home)).score([{"walked_m": 80.0}])), "[]"]


def test_another_model_under_the_same_tag_is_proved_afresh(home: Settings) -> None:
    before = load_proved(home, TAG).score(ROWS)
    one_hot_model(depth=2).save_model(str(model_folder(home) / "model.cbm"))
    after = load_proved(home, TAG)
    assert after.score(ROWS) == load_scorer(model_folder(home)).score(ROWS) != before
    assert len(kept(home)) == 2


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not the rest", os.urandom(4000)])
def test_a_damaged_file_is_proved_afresh_and_replaced(home: Settings, damage: bytes) -> None:
    load_proved(home, TAG)
    (file,) = kept(home)
    whole = file.stat().st_size
    file.write_bytes(damage)
    assert load_proved(home, TAG).trees is not None
    assert file.stat().st_size == whole


def test_where_nothing_can_be_kept_it_is_proved_every_time(home: Settings) -> None:
    (home.home / "serving").write_text("a file where the folder should be", encoding="utf-8")
    assert load_proved(home, TAG).trees is not None
    assert load_proved(home, TAG).trees is not None


def test_old_ones_go(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_trees, "MOST", 2)
    for depth in (1, 2, 3, 4):
        one_hot_model(depth=depth).save_model(str(model_folder(home) / "model.cbm"))
        load_proved(home, TAG)
    assert len(kept(home)) == 2


def test_what_is_missing_or_damaged_is_said_as_ever(home: Settings) -> None:
    (model_folder(home) / "model.cbm").write_bytes(b"no model")
    with pytest.raises(InternalError, match=r"damaged model\.cbm"):
        load_proved(home, TAG)
    shutil.rmtree(model_folder(home))
    with pytest.raises(NotFoundError):
        load_proved(home, TAG)
