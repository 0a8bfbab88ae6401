from __future__ import annotations

import random
from datetime import UTC, datetime

import pandas as pd
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.declare import Dtype
from feature_repo.retrieve import (
    ENTITY_COLUMNS,
    canonical,
    feast_historical_features,
    historical_features,
    online_features,
)
from feature_repo.services import PARKING_V1, service_features
from feature_repo.store import open_store
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from ingestion.features.moments import candidate_moments
from ingestion.features.snapshots import read_snapshots
from parked.errors import InputError, NotFoundError
from parked.settings import Settings
from tests.feature_repo.facts_builder import commuter, table


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    made = Settings(home=tmp_path_factory.mktemp("home"))
    build_features(made, table(commuter("d1", 2).rows + commuter("d2", 2, seed=4).rows))
    return made


@pytest.fixture(scope="module")
def entities(settings):
    moments = candidate_moments(read_snapshots(settings.features_dir))
    return moments.select(list(ENTITY_COLUMNS)).to_pandas()


@pytest.fixture(scope="module")
def expected(settings, entities):
    return historical_features(open_store(settings), entities, PARKING_V1)


def test_rows_keep_their_order_index_and_columns(settings, entities, expected):
    order = random.Random(1).sample(range(len(entities)), len(entities))
    shuffled = entities.iloc[order].assign(weight=range(len(entities)))
    answer = historical_features(open_store(settings), shuffled, PARKING_V1)
    pd.testing.assert_frame_equal(answer[shuffled.columns], shuffled)
    assert list(answer.columns[len(shuffled.columns) :]) == service_features(PARKING_V1)
    pd.testing.assert_frame_equal(answer.drop(columns="weight").sort_index(), expected)


def test_no_row_is_lost_or_doubled_where_rows_repeat_or_are_unknown(settings, entities, expected):
    twice = pd.concat([entities, entities.head(3).assign(candidate_id="nobody"), entities], ignore_index=True)
    answer = historical_features(open_store(settings), twice, PARKING_V1)
    size = len(entities)
    pd.testing.assert_frame_equal(answer.head(size), expected)
    pd.testing.assert_frame_equal(answer.tail(size).reset_index(drop=True), expected)
    assert answer["followed_by"].iloc[size : size + 3].isna().all()


def test_parts_of_a_query_give_what_the_whole_gives(settings, entities, expected, monkeypatch):
    monkeypatch.setattr("feature_repo.retrieve.ROWS_PER_QUERY", 17)
    pd.testing.assert_frame_equal(feast_historical_features(open_store(settings), entities, PARKING_V1), expected)


def test_types_are_the_declared_ones_even_where_all_is_missing(settings, entities, expected):
    nobody = entities.head(2).assign(candidate_id="nobody", device_id="nobody")
    empty = entities.head(0)
    for frame in (nobody, empty):
        answer = historical_features(open_store(settings), frame, PARKING_V1)
        pd.testing.assert_series_equal(answer.dtypes, expected.dtypes)
    assert str(expected["leg_halts"].dtype) == "Int64"
    assert str(expected["sends_motion"].dtype) == "boolean"


def test_what_became_known_a_microsecond_later_is_not_seen(settings, entities, expected):
    just_before = entities.assign(event_timestamp=entities["event_timestamp"] - pd.Timedelta(1, "us"))
    answer = historical_features(open_store(settings), just_before, PARKING_V1)
    first = ~entities.duplicated("candidate_id")
    assert answer.loc[first, "followed_by"].isna().all()
    assert expected["followed_by"].notna().all()


def test_entities_that_cannot_be_joined_are_refused(settings, entities):
    store = open_store(settings)
    with pytest.raises(InputError, match="lack the columns cell; give device_id"):
        historical_features(store, entities.drop(columns="cell"), PARKING_V1)
    with pytest.raises(InputError, match="already hold walked_m"):
        historical_features(store, entities.assign(walked_m=1.0), PARKING_V1)
    naive = entities.assign(event_timestamp=entities["event_timestamp"].dt.tz_localize(None))
    with pytest.raises(InputError, match="no time zone; make it aware UTC"):
        historical_features(store, naive, PARKING_V1)


def test_an_empty_home_says_what_to_do(tmp_path, entities):
    settings = Settings(home=tmp_path)
    apply_repo(settings)
    (tmp_path / "features" / "device_state" / "snapshots.parquet").unlink()
    with pytest.raises(InputError, match="no feature snapshots; run `parked features build`"):
        historical_features(open_store(settings), entities, PARKING_V1)


def test_online_features_come_in_the_services_order(settings):
    keys = {"device_id": "d1", "candidate_id": "vd1-0001", "cell": "x", "asked_at_us": 0}
    first, second = online_features(open_store(settings), [keys, {**keys, "device_id": "d2"}], PARKING_V1)
    assert list(first) == list(second) == service_features(PARKING_V1)
    with pytest.raises(NotFoundError, match="parking_v0"):
        online_features(open_store(settings), [keys], "parking_v0")


def test_canonical_types_survive_what_feast_makes_of_missing_values():
    frame = pd.DataFrame(
        {"i": [1.0, float("nan")], "b": [True, None], "s": ["a", float("nan")], "f": [None, None], "other": [1, 2]}
    )
    types = {"i": Dtype.INT64, "b": Dtype.BOOL, "s": Dtype.STRING, "f": Dtype.FLOAT64}
    made = canonical(frame, types)
    assert [str(kind) for kind in made.dtypes] == ["Int64", "boolean", "object", "float64", "int64"]
    assert made["s"].tolist() == ["a", None]
    assert made["i"].isna().tolist() == [False, True]


def test_what_is_stored_of_another_type_than_declared_now_is_not_known(tmp_path):
    settings = Settings(home=tmp_path, online_store="sqlite")
    build_features(settings, table(commuter("d1", 1).rows))
    store = open_store(settings)
    odd = {
        "walked_m": Value(string_val="far"),
        "leg_halts": Value(double_val=0.5),
        "followed_by": Value(int64_val=1),
        "ended": Value(string_val="yes"),
        "leg_duration_s": Value(int64_val=60),
        "leg_fixes": Value(int64_val=9),
    }
    key = EntityKey(join_keys=["candidate_id"], entity_values=[Value(string_val="odd")])
    view = store.get_feature_view("candidate_state")
    store._get_provider().online_write_batch(
        store.config, view, [(key, odd, datetime(2026, 3, 1, tzinfo=UTC), None)], None
    )
    asked = {"device_id": "d1", "candidate_id": "odd", "cell": "", "asked_at_us": 0}
    (row,) = online_features(store, [asked], PARKING_V1)
    told = {"walked_m": None, "leg_halts": None, "followed_by": None, "ended": None}
    assert {name: row[name] for name in odd} == told | {"leg_duration_s": 60, "leg_fixes": 9}
