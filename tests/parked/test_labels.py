"""Labels: idempotent, all or nothing, readable as of a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from parked.errors import InputError
from parked.opsdb.engine import open_database
from parked.opsdb.labels import add_coverage, add_labels, read_coverage, read_labels
from parked.schemas import COVERAGE, LABELS

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def judgment(**changes: Any) -> dict[str, Any]:
    row = {
        "device_id": "jane",
        "at": NOON,
        "lat": 52.5,
        "lon": 13.4,
        "verdict": "parked",
        "source": "person",
        "weight": 1.0,
        "known_at": NOON + timedelta(minutes=5),
    }
    return row | changes


def labels(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=LABELS)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def test_labels_come_back_as_they_were_given(engine):
    table = labels(judgment(), judgment(at=NOON + timedelta(hours=1), lat=None, lon=None, verdict="not_parked"))
    assert add_labels(engine, table) == (2, 0)
    assert read_labels(engine).equals(table)


def test_telling_the_same_judgment_twice_adds_nothing_and_keeps_when_it_was_first_known(engine):
    add_labels(engine, labels(judgment()))
    again = labels(judgment(known_at=NOON + timedelta(days=9), weight=0.5), judgment(lat=52.6))
    assert add_labels(engine, again) == (1, 1)
    assert min(read_labels(engine)["known_at"].to_pylist()) == NOON + timedelta(minutes=5)


def test_a_zero_has_no_sign(engine):
    assert add_labels(engine, labels(judgment(lat=0.0, lon=13.4))) == (1, 0)
    assert add_labels(engine, labels(judgment(lat=-0.0, lon=13.4))) == (0, 1)


def test_a_clients_own_key_decides_what_is_a_repeat(engine):
    assert add_labels(engine, labels(judgment()), keys=["a"]) == (1, 0)
    assert add_labels(engine, labels(judgment(verdict="not_parked")), keys=["a"]) == (0, 1)
    assert add_labels(engine, labels(judgment()), keys=["b"]) == (1, 0)
    with pytest.raises(InputError, match="2 keys for 1 labels"):
        add_labels(engine, labels(judgment()), keys=["c", "d"])


def test_what_is_new_is_counted_also_where_the_driver_counts_no_rows(engine, monkeypatch):
    from sqlalchemy.engine import CursorResult

    monkeypatch.setattr(CursorResult, "rowcount", -1)  # psycopg's, of many
    other = judgment(at=NOON + timedelta(hours=1))
    assert add_labels(engine, labels(judgment()), keys=["a"]) == (1, 0)
    assert add_labels(engine, labels(other), keys=["a"]) == (0, 1)
    assert add_labels(engine, labels(judgment(), other), keys=["a", "b"]) == (1, 1)


def test_reading_as_of_a_moment_shows_what_was_known_then(engine):
    early, late = judgment(), judgment(at=NOON + timedelta(hours=1), known_at=NOON + timedelta(days=1))
    add_labels(engine, labels(late, early))
    assert read_labels(engine, known_by=NOON + timedelta(minutes=5)).num_rows == 1
    assert read_labels(engine, known_by=NOON).num_rows == 0
    assert read_labels(engine).num_rows == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_id": ""}, "row 1 has an empty device_id"),
        ({"verdict": "maybe"}, "row 1 has a verdict"),
        ({"source": "hearsay"}, "row 1 has a source"),
        ({"weight": float("nan")}, "row 1 has a weight"),
        ({"weight": -1.0}, "row 1 has a weight"),
        ({"lon": None}, "row 1 has only one of lat and lon"),
        ({"lat": float("nan")}, "row 1 has a lat"),
        ({"lon": 181.0}, "row 1 has a lon"),
    ],
)
def test_one_wrong_row_refuses_them_all_by_name(engine, changes, message):
    with pytest.raises(InputError, match=message):
        add_labels(engine, labels(judgment(), judgment(**changes)))
    assert read_labels(engine).num_rows == 0


def test_wrong_columns_are_named(engine):
    table = labels(judgment())
    with pytest.raises(InputError, match="no column verdict"):
        add_labels(engine, table.drop_columns(["verdict"]))
    naive = table.set_column(1, "at", table["at"].cast(pa.timestamp("us")))
    with pytest.raises(InputError, match="column at is timestamp"):
        add_labels(engine, naive)
    words = table.set_column(6, "weight", pa.array(["heavy"]))
    with pytest.raises(InputError, match="column weight is string"):
        add_labels(engine, words)


def test_no_labels_is_no_work(engine):
    assert add_labels(engine, labels()) == (0, 0)
    assert read_labels(engine).schema.equals(LABELS)


def test_coverage_is_kept_once_and_comes_back(engine):
    span = {"device_id": "jane", "from": NOON, "to": NOON + timedelta(days=1), "source": "truth"}
    table = pa.Table.from_pylist([span], schema=COVERAGE)
    assert add_coverage(engine, table) == (1, 0)
    assert add_coverage(engine, table) == (0, 1)
    assert read_coverage(engine).equals(table)
    backwards = pa.Table.from_pylist([span | {"to": NOON - timedelta(days=1)}], schema=COVERAGE)
    with pytest.raises(InputError, match="ends before it begins"):
        add_coverage(engine, backwards)


moments = st.integers(0, 3_000_000_000).map(lambda s: datetime(2005, 1, 1, tzinfo=UTC) + timedelta(seconds=s))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.builds(
            judgment,
            device_id=st.text(min_size=1, max_size=5).filter(lambda s: "\x00" not in s),
            at=moments,
            lat=st.floats(-90, 90),
            lon=st.floats(-180, 180),
            verdict=st.sampled_from(["parked", "not_parked"]),
        ),
        max_size=8,
    ),
    cut=st.integers(0, 8),
)
def test_however_labels_arrive_each_is_held_once(rows, cut):
    engine = open_database("sqlite://")
    first = add_labels(engine, labels(*rows[:cut]))
    everything = add_labels(engine, labels(*rows))
    again = add_labels(engine, labels(*reversed(rows)))
    assert first.added + everything.added == read_labels(engine).num_rows
    assert again == (0, len(rows))
    assert everything.added + everything.duplicates == len(rows)
