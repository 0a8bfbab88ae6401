from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
from catboost import Pool
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.model.scorer import load_published, load_scorer, model_dir_of
from parked.errors import InternalError, NotFoundError
from tests.bentos.fakes import card, publish, settings_in, trained_model, write_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = settings_in(tmp_path_factory.mktemp("home"))
    return model_dir_of(home, write_model(home, "v1", calibration_slope=0.7, calibration_intercept=-0.2))


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "walked_m": st.none() | st.floats(-1e6, 1e6) | st.integers(-100, 100) | st.just(math.nan),
                "followed_by": st.none() | st.sampled_from(["foot", "vehicle", "never seen", ""]),
                "age_s": st.none() | st.floats(-1e9, 1e9),
            },
        ),
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_a_batch_scores_as_its_rows_alone_and_as_the_card_says(model_dir: Path, rows: list[dict[str, object]]) -> None:
    scorer = load_scorer(model_dir)
    together = scorer.score(rows)
    assert together == [scorer.score([row])[0] for row in rows]
    encoded = [scorer.encode(row) for row in rows]
    if rows:
        margins = trained_model().predict(Pool(encoded, cat_features=[1]), prediction_type="RawFormulaVal")
        assert together == [scorer.card.probability(float(margin)) for margin in margins]
        assert all(0 <= p <= 1 for p in together)


def test_a_table_scores_as_its_rows(model_dir: Path) -> None:
    scorer = load_scorer(model_dir)
    rows: list[dict[str, object]] = [
        {"walked_m": 120.0, "followed_by": "foot", "age_s": 60},
        {"walked_m": None, "followed_by": None, "age_s": None},
        {"walked_m": 3.5, "followed_by": "never seen", "age_s": 9},
    ]
    table = pa.Table.from_pylist(rows)
    assert scorer.score_table(table) == scorer.score(rows)
    assert scorer.score_table(table.slice(1, 1)) == scorer.score(rows[1:2])
    assert scorer.score_table(table.slice(0, 0)) == []
    with pytest.raises(InternalError, match="age_s"):
        scorer.score_table(table.drop_columns(["age_s"]))


def test_a_missing_category_is_the_empty_string_and_a_missing_number_is_nan(model_dir: Path) -> None:
    scorer = load_scorer(model_dir)
    walked, followed, age = scorer.encode({"age_s": 3, "followed_by": math.nan})
    assert math.isnan(walked)  # type: ignore[arg-type]
    assert (followed, age) == ("", 3.0)


def test_text_where_the_model_wants_a_number_is_our_mistake(model_dir: Path) -> None:
    with pytest.raises(InternalError, match="walked_m"):
        load_scorer(model_dir).score([{"walked_m": "far"}])


def test_the_scorer_is_named_by_its_folder(model_dir: Path) -> None:
    assert load_scorer(model_dir).tag == "parking:v1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": ["walked_m", "age_s", "followed_by"]}, "followed_by"),
        ({"features": ["walked_m", "followed_by"]}, "another number"),
        ({"categorical": []}, "categorical"),
        ({"categorical": ["followed_by", "no such"]}, "categorical"),
    ],
)
def test_a_card_that_disagrees_with_its_model_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    trained_model().save_model(str(tmp_path / "model.cbm"))
    (tmp_path / "card.json").write_text(card(**change).model_dump_json())
    with pytest.raises(InternalError, match=said):
        load_scorer(tmp_path)


@pytest.mark.parametrize("name", ["model.cbm", "card.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    trained_model().save_model(str(tmp_path / "model.cbm"))
    (tmp_path / "card.json").write_text(card().model_dump_json())
    (tmp_path / name).write_text(json.dumps({"half": "a file"}))
    with pytest.raises(InternalError, match=name):
        load_scorer(tmp_path)


@pytest.mark.parametrize("tag", ["parking", "parking:latest", "../parking:v1", "parking:gone", ""])
def test_a_model_that_is_not_there_is_not_found(tmp_path: Path, tag: str) -> None:
    with pytest.raises(NotFoundError):
        model_dir_of(settings_in(tmp_path), tag)


def test_nothing_published_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="parked publish"):
        load_published(settings_in(tmp_path))


def test_the_published_model_is_the_pointers(tmp_path: Path) -> None:
    home = settings_in(tmp_path)
    write_model(home, "v1")
    publish(home, write_model(home, "v2"), 1)
    assert load_published(home).tag == "parking:v2"
