from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from parked.clock import from_us, to_us
from parked.errors import InputError, InternalError, SettingError
from tests.training.world import AS_OF, START, coverage_table, labels_table, make_world
from training import split
from training.config import TrainingConfig
from training.dataset import ORDER, Dataset, build_dataset
from training.outliers import OutlierRule, OutlierRules

FILE = Path("outliers.yaml")
RULES = OutlierRules(
    version="1", rules=(OutlierRule(name="coarse", column="uncertainty_m", op=">", value=50, why="too coarse"),)
)


@pytest.fixture(scope="module")
def world():
    return make_world(devices=30, per_device=12)


@pytest.fixture(scope="module")
def home(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    world.write(folder)
    return folder / "features"


@pytest.fixture(scope="module")
def data(world, home, config) -> Dataset:
    return build_dataset(home, world.sources(), config, RULES, FILE, AS_OF)


def test_rows_are_in_canonical_order_whatever_order_the_store_answers_in(data):
    pd.testing.assert_frame_equal(data.rows, data.rows.sort_values(ORDER, ignore_index=True))
    assert list(data.features) == sorted(data.features)


def test_the_weights_of_a_candidate_sum_to_its_label_weight(data):
    sums = data.rows.groupby("candidate_id").agg({"weight": "sum", "label_weight": "first"})
    assert np.allclose(sums["weight"], sums["label_weight"])


def test_outliers_leave_the_fit_and_stay_in_the_evaluation(data):
    fitted = data.rows["split"].isin(split.FITTED)
    assert data.rows[fitted]["uncertainty_m"].max() <= 50
    assert data.rows[~fitted]["uncertainty_m"].max() > 50
    assert data.counts["outliers"]["coarse"] == data.counts["outlier_rows"] > 0


def test_features_are_floats_or_text_and_missing_text_is_empty(data):
    types = {name: str(data.rows[name].dtype) for name in data.features}
    assert {types[name] for name in data.features if name not in data.categorical} == {"float64"}
    assert not data.rows[list(data.categorical)].isna().any().any()
    assert "" in set(data.rows["motion_after"])


def test_the_rules_version_is_read_from_the_snapshots(data):
    assert data.rules_version == "rules-1"


def test_what_was_not_known_at_the_cut_off_changes_nothing(world, home, config, tmp_path):
    early = from_us(to_us(START) + 10 * 86_400_000_000)
    seen = build_dataset(home, world.sources(), config, RULES, FILE, early)
    past = replace(
        world,
        snapshots=world.snapshots[world.snapshots["available_at"] <= to_us(early)].reset_index(drop=True),
        labels=world.labels.filter(pa.compute.less_equal(world.labels["known_at"], pa.scalar(early))),
    )
    past.write(tmp_path)
    lived = build_dataset(tmp_path / "features", past.sources(), config, RULES, FILE, early)
    pd.testing.assert_frame_equal(seen.rows, lived.rows)
    pd.testing.assert_frame_equal(seen.questions, lived.questions)


def test_a_source_that_forgets_the_cut_off_is_not_believed(world, home, config):
    early = from_us(to_us(START) + 10 * 86_400_000_000)
    leaky = replace(world.sources(), labels=lambda _: world.labels)
    honest = build_dataset(home, world.sources(), config, RULES, FILE, early)
    pd.testing.assert_frame_equal(build_dataset(home, leaky, config, RULES, FILE, early).rows, honest.rows)


def test_questions_are_held_out_and_weigh_the_newest_candidates_first(data):
    asked = data.questions
    assert set(asked["split"]) <= set(split.HELD_OUT)
    fitted = set(data.rows[data.rows["split"].isin(split.FITTED)]["device_id"])
    assert not fitted & set(asked[asked["split"] == split.TEST_DEVICES]["device_id"])
    assert (asked[asked["split"] == split.TEST_LATER]["decided_at_us"] >= data.cut_us).all()
    for _, weighed in asked.groupby("question_id"):
        assert weighed["rank"].tolist() == list(range(len(weighed)))
        assert weighed["left_at_us"].is_monotonic_decreasing
        assert (weighed["left_at_us"] <= weighed["decided_at_us"]).all()


def test_beyond_the_limit_a_share_of_the_negatives_stands_for_all_of_them(world, home, config, data):
    few = build_dataset(home, world.sources(), config.model_copy(update={"most_rows": 1500}), RULES, FILE, AS_OF)
    assert 1200 < len(few.rows) < 1800 < len(data.rows)
    assert few.counts["negatives_kept"] < 1

    def weight(found: Dataset, label: int) -> float:
        return float(found.rows.loc[found.rows["label"] == label, "weight"].sum())

    assert weight(few, 1) == pytest.approx(weight(data, 1), rel=0.05)  # outlier rows may empty a candidate
    assert weight(few, 0) == pytest.approx(weight(data, 0), rel=0.15)


def test_no_label_at_all_is_said(world, home, config):
    nobody = replace(world.sources(), labels=lambda _: labels_table([]), coverage=lambda: coverage_table([]))
    never = config.model_copy(update={"labels": config.labels.model_copy(update={"motion_rule": "never"})})
    with pytest.raises(InputError, match="no label attaches"):
        build_dataset(home, nobody, never, RULES, FILE, AS_OF)


def test_labels_of_one_kind_only_are_said(world, home, config):
    only_parked = replace(world.sources(), coverage=lambda: coverage_table([]))
    with pytest.raises(InputError, match="only label 1"):
        build_dataset(home, only_parked, config, RULES, FILE, AS_OF)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"categorical": ("status", "motion_after", "moon")}, "categorical names 'moon'"),
        ({"categorical": ("status",)}, "feature motion_after of parking_v1 holds text"),
        ({"exclude": ("moon",)}, "exclude names 'moon'"),
    ],
)
def test_a_training_file_that_does_not_fit_the_features_is_named(world, home, config: TrainingConfig, changes, says):
    with pytest.raises(SettingError, match=says):
        build_dataset(home, world.sources(), config.model_copy(update=changes), RULES, FILE, AS_OF)


def test_an_excluded_feature_is_not_eaten(world, home, config):
    without = build_dataset(
        home, world.sources(), config.model_copy(update={"exclude": ("age_s",)}), RULES, FILE, AS_OF
    )
    assert "age_s" not in without.features


def test_a_store_that_loses_rows_is_caught(world, home, config):
    lossy = replace(world.sources(), retrieve=lambda asked, service: world.retrieve(asked, service).iloc[1:])
    with pytest.raises(InternalError, match="asked for"):
        build_dataset(home, lossy, config, RULES, FILE, AS_OF)
