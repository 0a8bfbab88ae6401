from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from catboost import CatBoost, Pool
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.model.proof import difference, made_rows, with_trees
from bentos.model.scorer import Scorer
from bentos.model.trees import NotOursError, category_hash, compile_trees
from parked.errors import InternalError
from tests.bentos.fakes import CATEGORICAL, FEATURES, card, settings_in, trained_model

KINDS = ("foot", "vehicle", "rest", "silence", "", "unknown")


def one_hot_model(**parameters: object) -> CatBoost:
    """As ``parking_v1.yaml`` trains: plain one-hot; some numbers missing, more often low than not."""
    random = np.random.default_rng(3)
    rows = [
        [math.nan if random.random() < 0.2 else float(random.normal() * 60 + 60), KINDS[random.integers(0, 6)],
         math.nan if random.random() < 0.1 else float(random.exponential(3000))]
        for _ in range(1500)
    ]  # fmt: skip
    target = [1.0 if (row[0] > 50) != (row[1] == "vehicle") or row[2] != row[2] else 0.0 for row in rows]
    model = CatBoost(
        {"loss_function": "Logloss", "iterations": 40, "depth": 4, "random_seed": 7, "thread_count": 1, "verbose": 0,
         "one_hot_max_size": 32, "boosting_type": "Plain", "allow_writing_files": False} | parameters
    )  # fmt: skip
    return model.fit(Pool(rows, target, cat_features=[1], feature_names=FEATURES))


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer("parking:one-hot", card(), lambda: one_hot_model(), (1,))


ROW = st.tuples(
    st.none() | st.floats(width=64) | st.integers(-(2**60), 2**60) | st.booleans(),
    st.none() | st.sampled_from([*KINDS, "never seen", "ß", "0123456789abcdef"]) | st.text(max_size=4),
    st.none() | st.floats(),
)


@given(st.lists(ROW, min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_every_row_gives_catboosts_own_double(scorer: Scorer, rows: list[tuple[object, ...]]) -> None:
    trees = compile_trees(scorer.model, FEATURES, (1,))
    assert trees.margins(rows).tobytes() == scorer.catboost_margins(rows).tobytes()


@pytest.mark.parametrize("mode", ["Min", "Max"])
@pytest.mark.parametrize("depth", [1, 6, 8])
def test_missing_numbers_go_where_the_model_learnt_they_go(mode: str, depth: int) -> None:
    model = one_hot_model(nan_mode=mode, depth=depth)
    scorer = Scorer("parking:nan", card(), lambda: model, (1,))
    trees = compile_trees(model, FEATURES, (1,))
    assert difference(scorer, trees, made_rows(scorer, trees, [])) is None


def test_a_proved_model_scores_by_arrays_and_as_before(scorer: Scorer, tmp_path: Path) -> None:
    proved = with_trees(scorer, settings_in(tmp_path))
    assert proved.trees is not None
    rows: list[dict[str, object]] = [{"walked_m": 80.0, "followed_by": "foot"}, {"age_s": 3}, {}]
    assert proved.score(rows) == scorer.score(rows)


def test_what_arrays_cannot_hold_is_catboosts_to_score(scorer: Scorer, tmp_path: Path) -> None:
    proved = with_trees(scorer, settings_in(tmp_path))
    row: dict[str, object] = {"walked_m": 80.0, "followed_by": "a category of more than sixteen bytes"}
    assert proved.score([row]) == scorer.score([row])
    with pytest.raises(InternalError, match="walked_m"):
        proved.score([{"walked_m": "far"}])


def test_a_model_with_counters_over_categories_is_left_to_catboost(tmp_path: Path) -> None:
    scorer = Scorer("parking:ctr", card(), lambda: trained_model(), (1,))
    with pytest.raises(NotOursError, match="OnlineCtr"):
        compile_trees(scorer.model, FEATURES, (1,))
    assert with_trees(scorer, settings_in(tmp_path)).trees is None


@pytest.mark.parametrize("parameters", [{"grow_policy": "Lossguide"}, {"depth": 9}])
def test_trees_of_another_shape_are_left_to_catboost(parameters: dict[str, object]) -> None:
    with pytest.raises(NotOursError):
        compile_trees(one_hot_model(**parameters), FEATURES, (1,))


def test_one_wrong_leaf_is_found(scorer: Scorer) -> None:
    trees = compile_trees(scorer.model, FEATURES, (1,))
    rows = made_rows(scorer, trees, [])
    assert difference(scorer, trees, rows) is None
    trees.arrays[5][:16] += 0.01  # the leaves of the first tree
    found = difference(scorer, trees, rows)
    assert found is not None
    assert "another margin" in found


def test_a_category_nobody_tried_is_no_proof(scorer: Scorer) -> None:
    trees = compile_trees(scorer.model, FEATURES, (1,))
    rows = [row for row in made_rows(scorer, trees, []) if row[1] != "vehicle"]
    found = difference(scorer, trees, rows)
    assert found is not None
    assert CATEGORICAL[0] in found


def test_a_long_category_is_not_hashed_wrongly_but_refused() -> None:
    with pytest.raises(NotOursError):
        category_hash("é" * 9)
