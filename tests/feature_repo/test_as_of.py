"""Our point-in-time join is Feast's, whatever the facts and the questions; its loop is what a brute search finds."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.as_of import InFile, InMemory
from feature_repo.as_of_kernel import newest_at
from feature_repo.declare import CANDIDATE, PLACE
from feature_repo.retrieve import ENTITY_COLUMNS, feast_historical_features, historical_features
from feature_repo.services import PARKING_V1, WHERE_PARKED_V1
from feature_repo.store import open_store
from ingestion.features.build import build_features
from ingestion.features.snapshots import read_snapshots
from parked.errors import InputError
from parked.settings import Settings
from tests.feature_repo.facts_builder import commuter, table

KEYS = st.integers(-1, 5) | st.sampled_from([2**40, 2**62])
PAIRS = st.lists(st.tuples(KEYS, st.integers(-5, 5)), max_size=40)


def columns(pairs: list[tuple[int, int]]) -> list[np.ndarray]:
    return [np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1)]


@given(PAIRS, PAIRS)
def test_the_loop_finds_what_a_brute_search_finds(rows: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    found = newest_at(*columns(rows), *columns(asked))
    for (key, time), index in zip(asked, found.tolist(), strict=True):
        known = [(at, place) for place, (own, at) in enumerate(rows) if own == key >= 0 and at <= time]
        assert index == (max(known)[1] if known else -1)


@given(st.lists(st.none() | st.integers(0, 9), max_size=30), st.integers(1, 11))
@settings(deadline=None)
def test_rows_of_a_file_are_those_of_the_table_in_any_row_groups(index: list[int | None], group: int) -> None:
    whole = pa.table({"x": range(10), "t": [None, *"abcdefghi"], "other": [0.5] * 10})
    wanted, in_memory = pa.array(index, pa.int64()), InMemory(whole)
    with TemporaryDirectory() as folder:
        pq.write_table(whole, Path(folder) / "it's.parquet", row_group_size=group)
        in_file = InFile(Path(folder) / "it's.parquet")
        assert in_file.rows(["t", "x"], wanted).to_pylist() == in_memory.rows(["t", "x"], wanted).to_pylist()
        assert in_file.columns(["x"]).equals(in_memory.columns(["x"]))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = Settings(home=tmp_path_factory.mktemp("as-of"))
    build_features(made, table(commuter("d1", 2).rows + commuter("d2", 3, seed=4).rows))
    return made


def drawn(built: Settings, seed: int, count: int) -> pd.DataFrame:
    """Questions about what is and what never was, at moments before, at, a microsecond beside and after the facts."""
    dice, snapshots = random.Random(seed), read_snapshots(built.features_dir)
    times = [at for rows in snapshots.values() for at in rows["facts_as_of_us"].to_pylist()]
    candidates = [*snapshots[CANDIDATE]["candidate_id"].to_pylist(), "nobody"]
    cells = [*snapshots[PLACE]["cell"].to_pylist(), "nowhere", ""]
    rows = [
        (
            dice.choice(["d1", "d2", "d3"]),
            dice.choice(candidates),
            dice.choice(cells),
            dice.choice(times) + dice.choice([-1, 0, 0, 1, -(10**12), 10**12]),
            dice.choice(times),
        )
        for _ in range(count)
    ]
    frame = pd.DataFrame(rows, columns=list(ENTITY_COLUMNS))
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], unit="us", utc=True)
    return frame.set_index(pd.Index([f"row-{n}" for n in dice.sample(range(count), count)]))


@pytest.mark.parametrize("service", [PARKING_V1, WHERE_PARKED_V1])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_feasts_own_join_in_every_value_type_and_row(built: Settings, service: str, seed: int) -> None:
    entities, store = drawn(built, seed, 150), open_store(built)
    ours = historical_features(store, entities, service)
    theirs = feast_historical_features(store, entities, service)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    assert ours[ours.columns[5:]].notna().any(axis=1).sum() > 0


def test_no_questions_give_no_rows_of_the_same_types(built: Settings) -> None:
    entities, store = drawn(built, 0, 3).head(0), open_store(built)
    ours = historical_features(store, entities, PARKING_V1)
    pd.testing.assert_series_equal(ours.dtypes, historical_features(store, drawn(built, 0, 3), PARKING_V1).dtypes)
    assert len(ours) == 0


def test_questions_that_mean_nothing_are_refused_in_a_line(built: Settings, tmp_path: Path) -> None:
    store, entities = open_store(built), drawn(built, 0, 3)
    with pytest.raises(InputError, match="give ids as strings"):
        historical_features(store, entities.assign(device_id=[1, 2, 3]), PARKING_V1)
    gap = entities["event_timestamp"].where([True, False, True])
    with pytest.raises(InputError, match="event_timestamp has missing values; drop these rows"):
        historical_features(store, entities.assign(event_timestamp=gap), PARKING_V1)


def test_a_damaged_file_or_one_older_than_a_feature_says_what_to_run(built: Settings, tmp_path: Path) -> None:
    file = built.features_dir / "device_state" / "snapshots.parquet"
    old = tmp_path / "old.parquet"
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["days_known"]), old)
    with pytest.raises(InputError, match=r"old\.parquet: no column days_known; run `parked features build` again"):
        InFile(old).columns(["days_known"])
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"damaged\.parquet: unreadable .*; run `parked features build` again"):
        InFile(damaged)
