from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from feature_repo.retrieve import ENTITY_COLUMNS, canonical, feast_historical_features
from feature_repo.services import PARKING_V1, WHERE_PARKED_V1, service_dtypes
from feature_repo.store import open_store
from ingestion.features.moments import MOMENTS, assemble, candidate_moments
from ingestion.features.snapshots import read_snapshots
from parked.errors import NotFoundError
from parked.schemas import TIME


@pytest.fixture(scope="module")
def snapshots(home):
    return read_snapshots(home.settings.features_dir)


def test_a_moment_is_a_change_of_what_is_known_of_a_candidate_that_stands(snapshots):
    moments = candidate_moments(snapshots)
    assert moments.schema == MOMENTS
    standing = [r for r in snapshots["candidate_state"].to_pylist() if r["status"] != "RETRACTED"]
    assert len(standing) < snapshots["candidate_state"].num_rows
    assert moments["candidate_id"].to_pylist() == [r["candidate_id"] for r in standing]
    assert moments["event_timestamp"].to_pylist() == [r["available_at"] for r in standing]
    assert moments["asked_at_us"].to_pylist() == [r["facts_as_of_us"] for r in standing]


@pytest.mark.parametrize("service", [PARKING_V1, WHERE_PARKED_V1])
def test_the_join_in_memory_is_feasts_join_in_every_column_and_type(home, snapshots, service):
    moments = candidate_moments(snapshots)
    late = pa.array([(n % 7) * 1_000_000_000 for n in range(moments.num_rows)], pa.int64())
    asked = pa.array([a + b for a, b in zip(moments["asked_at_us"].to_pylist(), late.to_pylist(), strict=True)])
    moments = moments.set_column(4, MOMENTS.field("asked_at_us"), asked)
    entities = moments.select(list(ENTITY_COLUMNS)).to_pandas()
    dtypes = service_dtypes(service)
    ours = canonical(assemble(moments, snapshots, service).select(list(dtypes)).to_pandas(), dtypes)
    theirs = feast_historical_features(open_store(home.settings), entities, service)[list(dtypes)]
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert ours.notna().any().sum() > 20


def test_keys_never_heard_of_and_moments_before_anything_was_known_have_nothing(snapshots):
    moments = candidate_moments(snapshots).slice(0, 2)
    strange = moments.set_column(1, "candidate_id", pa.array(["nobody", moments["candidate_id"][1].as_py()]))
    strange = strange.set_column(3, "event_timestamp", pa.array([strange["event_timestamp"][0].as_py(), 0], TIME))
    rows = assemble(strange, snapshots).to_pylist()
    assert rows[0]["followed_by"] is None
    assert rows[0]["candidates_7d"] == 1
    features = list(service_dtypes(PARKING_V1))
    assert {rows[1][name] for name in features if not name.startswith("asked_hour")} == {None}


def test_no_moments_give_no_rows_of_the_right_types(snapshots):
    table = assemble(MOMENTS.empty_table(), snapshots)
    assert table.num_rows == 0
    assert table.schema.field("candidates_7d").type == pa.int64()


def test_an_undeclared_service_is_refused(snapshots):
    with pytest.raises(NotFoundError, match="parking_v9"):
        assemble(candidate_moments(snapshots), snapshots, "parking_v9")
