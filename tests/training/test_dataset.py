from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parked.clock import from_us, to_us
from parked.errors import InputError, InternalError, SettingError
from tests.training.world import AS_OF, START, coverage_table, labels_table, make_world
from training import split
from training.config import TrainingConfig
from training.dataset import ORDER, Dataset, asking_weight, build_dataset, thin
from training.outliers import OutlierRule, OutlierRules
from training.snapshots import decision_moments, read_snapshots

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


def test_a_row_weighs_by_the_root_of_the_minutes_it_stood_within_bounds():
    found = asking_weight(np.array([0.0, 1.0, 60.0, 240.0, 3600.0, 14_400.0, 1e6]), 14_400)
    assert found == pytest.approx([60**-0.5, 60**-0.5, 1.0, 2.0, 60**0.5, 240**0.5, 240**0.5])


@given(st.lists(st.floats(0, 1e7), min_size=2), st.floats(60, 1e6))
def test_what_stood_longer_never_weighs_less_and_never_nothing(stood, most):
    found = asking_weight(np.sort(np.array(stood)), most)
    assert (np.diff(found) >= 0).all()
    assert found[0] > 0


def test_a_rows_weight_is_its_labels_times_how_long_its_knowledge_stood(data, home, config):
    moments = decision_moments(
        read_snapshots(home, AS_OF), config.decision_ages_s, config.most_snapshots, AS_OF
    ).set_index(["candidate_id", "decided_at_us"])
    stood = moments["stood_s"].loc[list(zip(data.rows["candidate_id"], data.rows["decided_at_us"], strict=True))]
    expected = data.rows["label_weight"] * np.sqrt(stood.to_numpy().clip(1, config.stood_most_s) / 60)
    assert data.rows["weight"].to_numpy() == pytest.approx(expected.to_numpy())
    assert data.rows["weight"].max() == pytest.approx(240**0.5)  # at most four hours, though cars stand for days


def test_candidates_that_labels_may_still_speak_of_are_not_learnt_from(world, home, config):
    early = from_us(to_us(START) + 10 * 86_400_000_000)
    young = to_us(early) - int(config.labels.matured_h * 3.6e9)

    def seen(labels: dict[str, float]) -> Dataset:
        rules = config.model_copy(update={"labels": config.labels.model_copy(update=labels)})
        return build_dataset(home, world.sources(), rules, RULES, FILE, early)

    patient, hasty = seen({}), seen({"matured_h": 0.0})
    late = patient.rows[patient.rows["left_at_us"] >= young]
    assert late.empty
    assert set(hasty.rows.loc[hasty.rows["left_at_us"] >= young, "label"]) == {0, 1}
    judged = [sum(seen.counts["labels"]["by_source"]["truth"].values()) for seen in (hasty, patient)]
    assert patient.counts["labels"]["too_young"] >= judged[0] - judged[1] > 0
    assert hasty.counts["labels"]["too_young"] == 0


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
    assert data.rules_version == "v1"


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

    assert weight(few, 1) == weight(data, 1)
    assert weight(few, 0) == pytest.approx(weight(data, 0), rel=0.15)


def moments_of(stood_s: Sequence[float], label: int, name: str) -> pd.DataFrame:
    """One decision moment each of as many candidates."""
    ids = [f"{name}-{k}" for k in range(len(stood_s))]
    return pd.DataFrame({"candidate_id": ids, "label": label, "label_weight": 1.0, "stood_s": stood_s})


@pytest.mark.parametrize(("most_rows", "seed"), [(400, 1), (400, 2), (600, 3), (1500, 4)])
def test_thinning_keeps_parkings_and_long_standing_negatives_and_about_the_totals(most_rows, seed, config):
    rng = np.random.default_rng(seed)
    lights = rng.lognormal(np.log(40), 0.7, 3000)
    parts = [
        moments_of([7200.0] * 50, 1, f"parking-{seed}"),
        moments_of(lights.tolist(), 0, f"light-{seed}"),
        moments_of([14_400.0] * 20, 0, f"lift-{seed}"),
    ]
    whole = pd.concat(parts, ignore_index=True)
    thinned, share = thin(whole, config.model_copy(update={"most_rows": most_rows}))
    kept = whole["candidate_id"].isin(thinned["candidate_id"])
    assert kept[whole["candidate_id"].str.contains("parking|lift")].all()
    assert (thinned.loc[~thinned["candidate_id"].str.contains("light"), "label_weight"] == 1).all()
    assert thinned["label_weight"].between(1, 20).all()
    assert share == pytest.approx((len(thinned) - 50) / 3020)
    assert len(thinned) == pytest.approx(most_rows, abs=3 * np.sqrt(most_rows))

    def total(frame: pd.DataFrame) -> float:
        of = frame[frame["label"] == 0]
        return float((of["label_weight"] * asking_weight(of["stood_s"].to_numpy(), config.stood_most_s)).sum())

    assert total(thinned) == pytest.approx(total(whole), rel=3 / np.sqrt(most_rows - 70))


def test_below_the_limit_nothing_is_thinned(config):
    whole = pd.concat([moments_of([600.0] * 5, 1, "a"), moments_of([30.0] * 95, 0, "b")], ignore_index=True)
    thinned, share = thin(whole, config.model_copy(update={"most_rows": 100}))
    pd.testing.assert_frame_equal(thinned, whole)
    assert share == 1


def test_where_parkings_alone_fill_the_limit_one_negative_of_twenty_stays(config):
    whole = pd.concat([moments_of([600.0] * 300, 1, "a"), moments_of([30.0] * 4000, 0, "b")], ignore_index=True)
    thinned, share = thin(whole, config.model_copy(update={"most_rows": 100}))
    assert (thinned["label"] == 1).sum() == 300
    assert share == pytest.approx(0.05, abs=0.015)
    assert set(thinned.loc[thinned["label"] == 0, "label_weight"]) == {20.0}


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
