"""What is the LMDB store's alone: keys, fields, rows written without protobuf. The rest: test_online_stores.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import feast.types
import pyarrow as pa
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st

from bentos.store.lmdb_source import LmdbSource
from feature_repo.lmdb_load import Rows, keys_of, load_columns
from feature_repo.lmdb_values import path_of, view_key
from feature_repo.packed import EVENT_US, PackedRows, file_of, key_of
from parked.clock import to_us
from parked.errors import NotFoundError
from tests.feature_repo.online_stores import HOUR, NOON, VALUES, Shop, entity, number, open_shop, view


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return open_shop("lmdb", tmp_path, "")


X = {"x": feast.types.Int64}


@given(st.lists(st.lists(st.text(), min_size=1, max_size=3), max_size=20))
def test_two_keys_are_one_only_where_their_values_are(keys: list[list[str]]) -> None:
    of = {tuple(values): key_of(values) for values in keys if all(v.isprintable() for v in values)}
    same_length = {(len(values), key) for values, key in of.items()}
    assert len(same_length) == len(of)
    assert all(len(key) <= 511 for key in of.values())


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300)), max_size=10))
def test_the_keys_of_columns_are_those_of_each_row(pairs: list[tuple[str, str]]) -> None:
    pairs = [pair for pair in pairs if all(value.isprintable() for value in pair)]
    columns = [pa.array(column, pa.string()) for column in ([left for left, _ in pairs], [right for _, right in pairs])]
    assert keys_of(columns) == [key_of(pair) for pair in pairs]
    assert keys_of(columns[:1]) == [key_of([left]) for left, _ in pairs]


def test_a_key_longer_than_lmdb_allows_is_still_a_key(shop: Shop) -> None:
    table = view("v")
    long, other = entity(k="x" * 2000), entity(k="x" * 2001)
    shop.write(table, (long, VALUES, NOON, None))
    assert shop.read(table, long, other) == [(NOON, VALUES), (None, None)]


def test_new_fields_come_last_so_that_rows_already_there_stay_readable(shop: Shop) -> None:
    before, after = view("v", X), view("v", {"new": feast.types.String, **X})
    shop.write(before, number("a", 1))
    shop.online.update(shop.config, [], [after], [], [], False)
    assert PackedRows(path_of(shop.config)).fields(view_key(shop.config, after)) == [EVENT_US, "x", "new"]
    assert shop.numbers(after, "a") == [1]


def test_columns_are_read_as_rows_and_as_feast_gives_them(shop: Shop) -> None:
    table, at = view("v", {"text": feast.types.String, **X}), to_us(NOON)
    of, path = view_key(shop.config, table), path_of(shop.config)
    columns = {EVENT_US: pa.array([at, at]), "x": pa.array([1, None]), "text": pa.array(["one", None])}
    assert load_columns(path, of, [Rows(keys_of([pa.array(["a", "b"])]), columns)]) == 2
    assert PackedRows(path).rows({of: [b"b", b"a", b"c"]}) == {of: [(at, None, None), (at, 1, "one"), None]}
    assert shop.read(table, entity(k="a")) == [(NOON, {"text": Value(string_val="one"), "x": Value(int64_val=1)})]


def test_a_loaded_row_gives_way_to_a_later_one_only_where_it_is_said_to(shop: Shop) -> None:
    table = view("v", X)
    of, path = view_key(shop.config, table), path_of(shop.config)
    keys = keys_of([pa.array(["a", "b", "c"])])
    shop.write(table, number("a", 1, NOON + HOUR), number("b", 2, NOON + HOUR), number("c", 3))
    asked: list[tuple[int, int]] = []

    def stays(stored: dict[str, Any], index: int) -> bool:
        asked.append((stored["x"], index))
        return bool(stored["x"] == 1)

    columns = {EVENT_US: pa.array([to_us(NOON)] * 3), "x": pa.array([11, 12, 13])}
    assert load_columns(path, of, [Rows(keys, columns, stays=stays)]) == 2
    assert asked == [(1, 0), (2, 1)]
    assert shop.numbers(table, "a", "b", "c") == [1, 12, 13]
    assert load_columns(path, of, [Rows(keys, columns)]) == 3
    assert shop.numbers(table, "a", "b", "c") == [11, 12, 13]


def test_a_planned_view_makes_and_removes_what_it_names(shop: Shop) -> None:
    gone, stays = view("gone", X), view("stays", X)
    shop.apply(gone, stays)
    for table in (gone, stays):
        shop.write(table, number("a", 1))
    planned = {one.name: one for one in shop.online.plan(shop.config, shop.store.registry.proto())}
    planned["where_you_parked/gone"].teardown()
    assert (shop.numbers(gone, "a"), shop.numbers(stays, "a")) == ([None], [1])
    planned["where_you_parked/gone"].update()
    assert PackedRows(path_of(shop.config)).fields(view_key(shop.config, gone)) == [EVENT_US, "x"]


def test_a_column_of_another_type_than_before_begins_anew(tmp_path: Path) -> None:
    of, rows = b"p/v", PackedRows(tmp_path)
    when = pa.array([1, 1])
    load_columns(tmp_path, of, [Rows([b"a", b"b"], {EVENT_US: when, "x": pa.array(["t", "u"]), "y": when})])
    load_columns(tmp_path, of, [Rows([b"b"], {EVENT_US: when[:1], "x": pa.array([0.5]), "y": when[:1]})])

    def told() -> list[dict[str, object]]:
        known = rows.fields(of)
        found = [row for row in rows.rows({of: [b"a", b"b"]})[of] if row]
        return [{"x": None} | {n: v for n, v in zip(known, row, strict=False) if n in ("x", "y")} for row in found]

    assert told() == [{"x": None, "y": 1}, {"x": 0.5, "y": 1}]
    fields = rows.fields(of)
    for values in (["v"], [1.5], ["w"]):
        load_columns(tmp_path, of, [Rows([b"b"], {EVENT_US: when[:1], "x": pa.array(values), "y": when[:1]})])
    assert told() == [{"x": "t", "y": 1}, {"x": "w", "y": 1}], "its own type again"
    assert len(rows.fields(of)) == len(fields), "however often it changes"


def test_rows_of_the_older_layout_are_removed_and_the_others_stay(shop: Shop) -> None:
    table = view("v", X)
    shop.apply(table)
    shop.write(table, number("a", 1))
    file = file_of(path_of(shop.config))
    older = {b"where_you_parked/v\x00a": b"\x91\x01", b"\x00fields\x00where_you_parked/v\x00": b'["x"]'}
    with file.begin(write=True) as transaction:
        for key, value in older.items():
            transaction.put(key, value)
    shop.online.update(shop.config, [], [table], [], [], False)
    with file.begin() as transaction:
        assert [transaction.get(key) for key in older] == [None, None]
    assert shop.numbers(table, "a") == [1]
    assert PackedRows(path_of(shop.config)).fields(view_key(shop.config, table)) == [EVENT_US, "x"]


def test_a_load_in_any_order_fills_the_pages_of_an_empty_view(tmp_path: Path) -> None:
    count, of = 5_000, b"p/v"
    names = [f"{number * 7919 % count:05d}" for number in range(count)]
    columns = {EVENT_US: pa.array([1] * count), "x": pa.array(names)}
    assert load_columns(tmp_path, of, [Rows(keys_of([pa.array(names)]), columns)]) == count
    file = file_of(tmp_path)
    handle = file.view(of)
    with file.begin() as transaction:
        told = transaction.stat(handle)
        row = len(transaction.get(b"00000", b"", handle)) + len(b"00000") + 8 + 2  # LMDB's own: node and pointer
    assert told["entries"] == count
    assert told["leaf_pages"] <= 1.1 * count * row / (told["psize"] - 16)
    assert PackedRows(tmp_path).rows({of: [b"04999", b"00007"]}) == {of: [(1, "04999"), (1, "00007")]}


def test_a_store_of_an_older_layout_is_said_to_be_not_applied(tmp_path: Path) -> None:
    with file_of(tmp_path).begin(write=True) as transaction:
        for name in ("candidate_state", "device_state", "place_state"):
            transaction.put(f"\x00fields\x00where_you_parked/{name}\x00".encode(), b'["event_timestamp_us"]')
    with pytest.raises(NotFoundError, match="features build"):
        LmdbSource(PackedRows(tmp_path), "where_you_parked")


READS = """
import sys, time
import subprocess
import sys
from pathlib import Path
from feature_repo.packed import file_of
with file_of(Path(sys.argv[1])).begin() as transaction:
    print(len(list(transaction.cursor())), flush=True)
    time.sleep(60)
"""


def test_what_a_killed_reader_held_is_let_go_by_the_next_write(tmp_path: Path) -> None:
    count, of = 5_000, b"p/v"
    names = [f"{number:05d}" for number in range(count)]
    keys = keys_of([pa.array(names)])

    def load(value: str) -> int:
        """Bytes of the file after a load."""
        load_columns(tmp_path, of, [Rows(keys, {EVENT_US: pa.array([1] * count), "x": pa.array([value * 50] * count)})])
        return (tmp_path / "data.mdb").stat().st_size

    for value in "abc":
        load(value)
    reader = subprocess.Popen([sys.executable, "-c", READS, str(tmp_path)], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.readline()
    reader.kill()
    reader.wait()
    sizes = [load(value) for value in "defghi"]
    assert sizes[-1] == sizes[1], "the same pages, again and again"
