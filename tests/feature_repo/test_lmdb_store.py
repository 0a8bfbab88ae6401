"""The embedded online store on its own: keys, nulls, newer rows, new fields, processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import feast.types
import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import StringList, Value
from feast.value_type import ValueType
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.lmdb_store import LmdbOnlineStore, view_key
from feature_repo.packed import EVENT_US, PackedRows, key_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TYPES = {
    "double": (feast.types.Float64, Value(double_val=0.1)),
    "float": (feast.types.Float32, Value(float_val=0.5)),
    "long": (feast.types.Int64, Value(int64_val=-(2**60))),
    "int": (feast.types.Int32, Value(int32_val=7)),
    "text": (feast.types.String, Value(string_val="ß")),
    "flag": (feast.types.Bool, Value(bool_val=False)),
    "bytes": (feast.types.Bytes, Value(bytes_val=b"\x00\xff")),
    "moment": (feast.types.UnixTimestamp, Value(unix_timestamp_val=1_700_000_000)),
    "list": (feast.types.Array(feast.types.String), Value(string_list_val=StringList(val=["a", "b"]))),
}
VALUES = {name: value for name, (_, value) in TYPES.items()}


def config(folder: Path) -> Any:
    return SimpleNamespace(project="p", repo_path=None, online_store=SimpleNamespace(path=str(folder / "online")))


def view(name: str = "v", fields: dict[str, Any] | None = None) -> FeatureView:
    kinds = fields or {name: kind for name, (kind, _) in TYPES.items()}
    return FeatureView(
        name=name,
        entities=[Entity(name="e", join_keys=["k"], value_type=ValueType.STRING)],
        schema=[Field(name="k", dtype=feast.types.String), *(Field(name=n, dtype=d) for n, d in kinds.items())],
        source=FileSource(path="none", timestamp_field="at"),
    )


def entity(*values: str) -> EntityKey:
    names = [f"k{n}" for n in range(len(values))]
    return EntityKey(join_keys=names, entity_values=[Value(string_val=value) for value in values])


def test_every_type_comes_back_and_a_null_is_not_a_missing_row(tmp_path: Path) -> None:
    store, table = LmdbOnlineStore(), view()
    written = [(entity("a"), VALUES, NOON, None), (entity("b"), dict.fromkeys(VALUES, Value()), NOON, None)]
    store.online_write_batch(config(tmp_path), table, written, None)
    full, empty, none = store.online_read(config(tmp_path), table, [entity("a"), entity("b"), entity("c")])
    assert full == (NOON, VALUES)
    assert empty == (NOON, dict.fromkeys(VALUES, Value()))
    assert none == (None, None)
    assert store.online_read(config(tmp_path), table, [entity("a")], ["long"]) == [(NOON, {"long": VALUES["long"]})]


def test_an_older_row_never_replaces_a_newer_one(tmp_path: Path) -> None:
    store, table = LmdbOnlineStore(), view(fields={"x": feast.types.Int64})
    for minutes, x in ((0, 1), (5, 2), (3, 3), (5, 4)):
        row = [(entity("a"), {"x": Value(int64_val=x)}, NOON + timedelta(minutes=minutes), None)]
        store.online_write_batch(config(tmp_path), table, row, None)
    assert store.online_read(config(tmp_path), table, [entity("a")])[0][1] == {"x": Value(int64_val=4)}


def test_a_new_field_leaves_what_is_stored_readable(tmp_path: Path) -> None:
    store, before = LmdbOnlineStore(), view(fields={"x": feast.types.Int64})
    after = view(fields={"new": feast.types.String, "x": feast.types.Int64})
    store.online_write_batch(config(tmp_path), before, [(entity("a"), {"x": Value(int64_val=1)}, NOON, None)], None)
    store.update(config(tmp_path), [], [after], [], [], False)
    values = {"new": Value(string_val="n"), "x": Value(int64_val=2)}
    store.online_write_batch(config(tmp_path), after, [(entity("b"), values, NOON, None)], None)
    old, new = store.online_read(config(tmp_path), after, [entity("a"), entity("b")])
    assert old[1] == {"new": Value(), "x": Value(int64_val=1)}
    assert new[1] == values
    assert PackedRows(tmp_path / "online").fields(view_key(config(tmp_path), after)) == [EVENT_US, "x", "new"]


def test_a_view_that_is_gone_takes_its_rows_and_no_others(tmp_path: Path) -> None:
    store, gone, stays = LmdbOnlineStore(), view("v"), view("v2")
    for table in (gone, stays):
        store.online_write_batch(config(tmp_path), table, [(entity("a"), VALUES, NOON, None)], None)
    store.update(config(tmp_path), [gone], [stays], [], [], False)
    assert store.online_read(config(tmp_path), gone, [entity("a")]) == [(None, None)]
    assert store.online_read(config(tmp_path), stays, [entity("a")]) == [(NOON, VALUES)]
    store.teardown(config(tmp_path), [stays], [])
    assert not (tmp_path / "online").exists()


@given(st.lists(st.lists(st.text(), min_size=1, max_size=3), max_size=20))
def test_two_keys_are_one_only_where_their_values_are(keys: list[list[str]]) -> None:
    of = {tuple(values): key_of(b"v\x00", values) for values in keys if all(v.isprintable() for v in values)}
    same_length = {(len(values), key) for values, key in of.items()}
    assert len(same_length) == len(of)
    assert all(len(key) <= 511 for key in of.values())


def test_a_key_longer_than_lmdb_allows_is_still_a_key(tmp_path: Path) -> None:
    store, table = LmdbOnlineStore(), view()
    long, other = entity("x" * 2000), entity("x" * 2001)
    store.online_write_batch(config(tmp_path), table, [(long, VALUES, NOON, None)], None)
    assert store.online_read(config(tmp_path), table, [long, other]) == [(NOON, VALUES), (None, None)]


WRITER = """
import sys
from pathlib import Path
from tests.feature_repo.test_lmdb_store import NOON, config, entity, view
from feast.protos.feast.types.Value_pb2 import Value
from feature_repo.lmdb_store import LmdbOnlineStore
import feast.types
store, table = LmdbOnlineStore(), view(fields={"x": feast.types.Int64})
for batch in range(1_000_000):
    rows = [(entity(str(n)), {"x": Value(int64_val=batch)}, NOON, None) for n in range(50)]
    store.online_write_batch(config(Path(sys.argv[1])), table, rows, None)
    print(batch, flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_batches_and_loses_none_it_reported(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    reported = -1
    while reported < 20:
        reported = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    reported = max([reported, *(int(line) for line in writer.stdout.read().split("\n")[:-1])])
    writer.wait()
    table = view(fields={"x": feast.types.Int64})
    rows = LmdbOnlineStore().online_read(config(tmp_path), table, [entity(str(n)) for n in range(50)])
    found = {values["x"].int64_val for _, values in rows if values}
    assert len(found) == 1
    assert found.pop() in (reported, reported + 1)


def test_a_reader_sees_what_another_process_wrote(tmp_path: Path) -> None:
    store, table = LmdbOnlineStore(), view(fields={"x": feast.types.Int64})
    assert store.online_read(config(tmp_path), table, [entity("3")]) == [(None, None)]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "0\n"
        assert store.online_read(config(tmp_path), table, [entity("3")])[0][0] == NOON
    finally:
        writer.kill()
        writer.wait()


@pytest.mark.parametrize("values", [("a", "bc"), ("ab", "c")])
def test_composite_keys_do_not_run_into_each_other(tmp_path: Path, values: tuple[str, str]) -> None:
    store, table = LmdbOnlineStore(), view()
    store.online_write_batch(config(tmp_path), table, [(entity(*values), VALUES, NOON, None)], None)
    others = [pair for pair in (("a", "bc"), ("ab", "c")) if pair != values]
    assert store.online_read(config(tmp_path), table, [entity(*pair) for pair in others]) == [(None, None)]
