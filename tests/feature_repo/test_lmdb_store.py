"""What is the LMDB store's alone: keys, fields, rows written without protobuf. The rest: test_online_stores.py."""

from __future__ import annotations

from pathlib import Path

import feast.types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.lmdb_values import path_of, view_key
from feature_repo.packed import EVENT_US, PackedRows, key_of
from parked.clock import to_us
from tests.feature_repo.online_stores import NOON, VALUES, Shop, entity, number, open_shop, view


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return open_shop("lmdb", tmp_path, "")


X = {"x": feast.types.Int64}


@given(st.lists(st.lists(st.text(), min_size=1, max_size=3), max_size=20))
def test_two_keys_are_one_only_where_their_values_are(keys: list[list[str]]) -> None:
    of = {tuple(values): key_of(b"v\x00", values) for values in keys if all(v.isprintable() for v in values)}
    same_length = {(len(values), key) for values, key in of.items()}
    assert len(same_length) == len(of)
    assert all(len(key) <= 511 for key in of.values())


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


def test_rows_written_as_they_are_read_as_they_are_and_as_feast_gives_them(shop: Shop) -> None:
    table = view("v", {"text": feast.types.String, **X})
    key = view_key(shop.config, table)
    names, at = [EVENT_US, "x", "text"], to_us(NOON)
    rows = [(at, 1, "one"), (at, None, None)]
    assert shop.online.write_rows(shop.config, table, names, [key_of(key, [k]) for k in "ab"], rows) == 2
    assert PackedRows(path_of(shop.config)).rows([key_of(key, [k]) for k in "bac"]) == [rows[1], rows[0], None]
    assert shop.numbers(table, "a", "c") == [1, None]


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
