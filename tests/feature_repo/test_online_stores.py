"""One suite of behaviour on every online store; where one truly differs, its difference is what is asserted.

docs/online-stores.md tells the differences to a reader; its table and ``DIFFERENCES`` here name the same ones.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import feast.types
import pytest
from feast import Entity, FeatureView, Field, FileSource
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

from feature_repo.lmdb_infra import LmdbView
from ingestion.features.apply import apply_repo
from tests.feature_repo.online_stores import (
    HOUR,
    KINDS,
    NOON,
    NULLS,
    TYPES,
    VALUES,
    Shop,
    entity,
    number,
    open_shop,
    view,
)

ROOT = Path(__file__).resolve().parents[2]

DIFFERENCES = {
    "an older row": {"lmdb": "passed over", "sqlite": "overwrites", "redis": "passed over"},
    "a row of the same moment": {"lmdb": "overwrites", "sqlite": "overwrites", "redis": "passed over"},
    "two rows of a key in one batch": {"lmdb": "the newer", "sqlite": "the last", "redis": "the newer"},
    "moments": {"lmdb": "microseconds", "sqlite": "seconds", "redis": "microseconds"},
    "a row older than its view's ttl": {"lmdb": "OUTSIDE_MAX_AGE", "sqlite": "PRESENT", "redis": "PRESENT"},
    "a field declared after the row was written": {"lmdb": "null", "sqlite": "NOT_FOUND", "redis": "null"},
    "a field of another type than the row's": {"lmdb": "null", "sqlite": "the old value", "redis": "the old value"},
    "a view that is gone": {"lmdb": "no rows", "sqlite": "an error", "redis": "no rows"},
    "plan": {"lmdb": "a view each", "sqlite": "a table each", "redis": "nothing"},
    "async read": {"lmdb": "yes", "sqlite": "no", "redis": "yes"},
    "a reader beside a writer": {"lmdb": "whole batches", "sqlite": "whole batches", "redis": "whole rows"},
    "a batch whose writer is killed": {"lmdb": "whole or not at all", "sqlite": "whole or not at all", "redis": "part"},
}
"""What differs, by store."""


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    redis = request.getfixturevalue("redis_address") if request.param == "redis" else ""
    return open_shop(request.param, tmp_path, redis)


X = {"x": feast.types.Int64}
Y = {"y": feast.types.Int64}


def statuses(answer: Any, name: str) -> list[int]:
    at = list(answer.proto.metadata.feature_names.val).index(name)
    return list(answer.proto.results[at].statuses)


def test_every_type_comes_back_and_a_null_is_no_missing_row(shop: Shop) -> None:
    table = view("typed")
    shop.apply(table)
    shop.write(table, (entity(k="full"), VALUES, NOON, None), (entity(k="null"), NULLS, NOON, None))
    full, null, missing = shop.read(table, entity(k="full"), entity(k="null"), entity(k="none"))
    assert full == (NOON, VALUES)
    assert null == (NOON, NULLS)
    assert missing == (None, None)
    ((_, part),) = shop.read(table, entity(k="full"), names=["long"])
    assert part["long"] == VALUES["long"]


def test_a_callers_answer_tells_present_null_and_missing_apart(shop: Shop) -> None:
    table = view("typed")
    shop.apply(table)
    shop.write(table, (entity(k="full"), VALUES, NOON, None), (entity(k="null"), NULLS, NOON, None))
    refs = [f"typed:{name}" for name in TYPES]
    answer = shop.store.get_online_features(refs, [{"k": "none"}, {"k": "full"}, {"k": "null"}, {"k": "full"}])
    told = answer.to_dict()
    assert told["k"] == ["none", "full", "null", "full"]
    assert told["long"] == [None, -(2**60), None, -(2**60)]
    assert told["texts"] == [None, ["a", "b"], None, ["a", "b"]]
    assert told["float"][1] == VALUES["float"].float_val
    present, missing = FieldStatus.PRESENT, FieldStatus.NOT_FOUND
    assert all(statuses(answer, name) == [missing, present, present, present] for name in TYPES)
    assert answer.to_dict(include_event_timestamps=True)["long__ts"] == [0, *[int(NOON.timestamp())] * 3]


def test_a_key_may_be_a_number(shop: Shop) -> None:
    number_key = Entity(name="the_n", join_keys=["n"], value_type=ValueType.INT64)
    table = FeatureView(
        name="numbered",
        entities=[number_key],
        schema=[Field(name="n", dtype=feast.types.Int64), Field(name="x", dtype=feast.types.Int64)],
        source=FileSource(name="numbered_source", path="none.parquet", timestamp_field="at"),
    )
    shop.store.apply([number_key, table])
    shop.store.refresh_registry()
    key = EntityKey(join_keys=["n"], entity_values=[Value(int64_val=7)])
    shop.write(table, (key, {"x": Value(int64_val=1)}, NOON, None))
    answer = shop.store.get_online_features(["numbered:x"], [{"n": 7}, {"n": 8}])
    assert answer.to_dict() == {"n": [7, 8], "x": [1, None]}


def test_which_row_stands_where_moments_are_out_of_order(shop: Shop) -> None:
    table = view("v", X)
    shop.apply(table)
    shop.write(table, number("a", 1))
    shop.write(table, number("a", 2, NOON + HOUR))
    shop.write(table, number("a", 3, NOON + HOUR / 2))
    stands = DIFFERENCES["an older row"][shop.kind]
    assert shop.numbers(table, "a") == [3 if stands == "overwrites" else 2]
    shop.write(table, number("b", 1), number("c", 1))
    shop.write(table, number("b", 2))
    stands = DIFFERENCES["a row of the same moment"][shop.kind]
    assert shop.numbers(table, "b", "c") == [2 if stands == "overwrites" else 1, 1]
    shop.write(table, number("d", 2, NOON + HOUR), number("d", 1))
    stands = DIFFERENCES["two rows of a key in one batch"][shop.kind]
    assert shop.numbers(table, "d") == [1 if stands == "the last" else 2]


def test_how_finely_a_moment_is_kept(shop: Shop) -> None:
    table = view("v", X)
    shop.apply(table)
    at = NOON + timedelta(microseconds=123_457)
    shop.write(table, number("a", 1, at))
    ((told, _),) = shop.read(table, entity(k="a"))
    assert told == (at if DIFFERENCES["moments"][shop.kind] == "microseconds" else NOON)


def test_composite_keys_do_not_run_into_each_other_and_their_order_does_not_matter(shop: Shop) -> None:
    table = view("pairs", X, keys=("a", "b"))
    shop.apply(table)
    rows = {("a", "bc"): 1, ("ab", "c"): 2, ("bc", "a"): 3}
    shop.write(table, *((entity(a=a, b=b), {"x": Value(int64_val=x)}, NOON, None) for (a, b), x in rows.items()))
    asked = [{"b": b, "a": a} for a, b in [*rows, ("", "abc")]]
    assert shop.store.get_online_features(["pairs:x"], asked).to_dict()["x"] == [1, 2, 3, None]


def test_a_row_older_than_its_views_ttl(shop: Shop) -> None:
    """The clock is the machine's here: the row is from 2026-03-01 and its ttl an hour; the other view has none."""
    aged, ageless = view("aged", X, ttl=HOUR), view("ageless", {"y": feast.types.Int64})
    shop.apply(aged, ageless)
    shop.write(aged, number("a", 1, NOON - timedelta(days=4_000)))
    shop.write(ageless, number("a", 2, NOON - timedelta(days=4_000), "y"))
    answer = shop.store.get_online_features(["aged:x", "ageless:y"], [{"k": "a"}, {"k": "none"}])
    status = DIFFERENCES["a row older than its view's ttl"][shop.kind]
    assert statuses(answer, "x") == [FieldStatus.Value(status), FieldStatus.NOT_FOUND]
    assert answer.to_dict()["x"] == [1 if status == "PRESENT" else None, None]
    assert answer.to_dict()["y"] == [2, None]


def test_a_field_declared_later_leaves_what_is_stored_readable(shop: Shop) -> None:
    before, after = view("v", X), view("v", {"new": feast.types.String, **X})
    shop.apply(before)
    shop.write(before, number("a", 1))
    shop.apply(after)
    shop.write(after, (entity(k="b"), {"new": Value(string_val="n"), "x": Value(int64_val=2)}, NOON, None))
    answer = shop.store.get_online_features(["v:new", "v:x"], [{"k": "a"}, {"k": "b"}])
    assert answer.to_dict() == {"k": ["a", "b"], "new": [None, "n"], "x": [1, 2]}
    expected = DIFFERENCES["a field declared after the row was written"][shop.kind]
    first = FieldStatus.NOT_FOUND if expected == "NOT_FOUND" else FieldStatus.PRESENT
    assert statuses(answer, "new") == [first, FieldStatus.PRESENT]


RETYPED = {
    "Int64": Value(int64_val=7),
    "Float64": Value(double_val=0.5),
    "String": Value(string_val="abc"),
    "Bool": Value(bool_val=True),
    "Bytes": Value(bytes_val=b"abc"),
}


@pytest.mark.parametrize(("was", "now"), [(a, b) for a in RETYPED for b in RETYPED if a != b])
def test_a_field_that_changes_its_type_leaves_the_row_readable(shop: Shop, was: str, now: str) -> None:
    before, after = (view("v", {"x": getattr(feast.types, kind), **Y}) for kind in (was, now))
    shop.apply(before)
    shop.write(before, (entity(k="a"), {"x": RETYPED[was], "y": Value(int64_val=1)}, NOON, None))
    shop.apply(after)
    shop.write(after, (entity(k="b"), {"x": RETYPED[now], "y": Value(int64_val=2)}, NOON, None))
    ((_, old), (_, new)) = shop.read(after, entity(k="a"), entity(k="b"))
    told = shop.store.get_online_features(["v:x", "v:y"], [{"k": "a"}, {"k": "b"}]).to_dict()
    null = DIFFERENCES["a field of another type than the row's"][shop.kind] == "null"
    assert old == {"x": Value() if null else RETYPED[was], "y": Value(int64_val=1)}
    assert new == {"x": RETYPED[now], "y": Value(int64_val=2)}
    assert told["y"] == [1, 2]
    assert (told["x"][0] is None) is null
    shop.apply(before)
    ((_, old), (_, new)) = shop.read(before, entity(k="a"), entity(k="b"))
    assert old["x"] == RETYPED[was], "its own type again"
    assert new["x"] == (Value() if null else RETYPED[now])


def test_a_view_that_is_gone_takes_its_rows_and_no_others(shop: Shop) -> None:
    gone, stays = view("gone", X), view("stays", X)
    shop.apply(gone, stays)
    shop.write(gone, number("a", 1))
    shop.write(stays, number("a", 2))
    shop.online.update(shop.config, [gone], [stays], [], [], False)
    if DIFFERENCES["a view that is gone"][shop.kind] == "an error":
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            shop.numbers(gone, "a")
    else:
        assert shop.numbers(gone, "a") == [None]
    assert shop.numbers(stays, "a") == [2]


def test_applying_the_repo_takes_a_view_that_is_no_longer_declared_with_its_rows(shop: Shop) -> None:
    gone = view("gone", X)
    shop.apply(gone)
    shop.write(gone, number("a", 1))
    assert "Deleted feature view" in apply_repo(shop.settings)
    if DIFFERENCES["a view that is gone"][shop.kind] == "an error":
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            shop.numbers(gone, "a")
    else:
        assert shop.numbers(gone, "a") == [None]


def test_after_a_teardown_nothing_is_left(shop: Shop) -> None:
    table = view("v", X)
    shop.apply(table)
    shop.write(table, number("a", 1))
    shop.online.teardown(shop.config, [table], [])
    left = [path.name for path in shop.settings.feast_dir.glob("online*") if path.name in ("online.lmdb", "online.db")]
    assert left == []
    shop.online.update(shop.config, [], [table], [], [], False)
    assert shop.numbers(table, "a") == [None]


def test_a_plan_names_what_the_store_makes_for_each_view(shop: Shop) -> None:
    shop.apply(view("one", X), view("two", X))
    planned = shop.online.plan(shop.config, shop.store.registry.proto())
    names = sorted(one.name for one in planned)
    if DIFFERENCES["plan"][shop.kind] == "nothing":
        assert names == []
        return
    assert [re.sub(r"^where_you_parked.", "", name) for name in names] == ["one", "two"]
    for one in planned:
        again = type(one).from_infra_object_proto(one.to_infra_object_proto())
        assert (type(again), again.name) == (type(one), one.name)
    assert all(isinstance(one, LmdbView) for one in planned) == (shop.kind == "lmdb")


def test_reading_without_blocking(shop: Shop) -> None:
    table = view("v", X)
    shop.apply(table)
    shop.write(table, number("a", 1))

    async def read() -> Any:
        rows = await shop.online.online_read_async(shop.config, table, [entity(k="a"), entity(k="b")])
        answer = await shop.store.get_online_features_async(["v:x"], [{"k": "a"}, {"k": "b"}])
        return rows, answer.to_dict()

    able = DIFFERENCES["async read"][shop.kind] == "yes"
    assert shop.online.async_supported.read is able
    if able:
        assert asyncio.run(read()) == (
            [(NOON, {"x": Value(int64_val=1)}), (None, None)],
            {"k": ["a", "b"], "x": [1, None]},
        )
    else:
        with pytest.raises(NotImplementedError):
            asyncio.run(read())


WRITER = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
import feast.types
from feast.protos.feast.types.Value_pb2 import Value
from tests.feature_repo.online_stores import NOON, entity, open_shop, view

kind, home, redis = sys.argv[1:]
table = view("v", {"x": feast.types.Int64, "y": feast.types.Int64})

def write(report):
    shop = open_shop(kind, Path(home), redis)
    for batch in range(1_000_000):
        pair = {"x": Value(int64_val=batch), "y": Value(int64_val=batch)}
        shop.write(table, *((entity(k=str(n)), pair, NOON + timedelta(seconds=batch), None) for n in range(50)))
        report(batch)
"""

ALONE = f"{WRITER}\nwrite(lambda batch: print(batch, flush=True))"

CROWD = f"""{WRITER}
def read():
    shop, seen, torn, mixed = open_shop(kind, Path(home), redis), set(), 0, 0
    while len(seen) < 5:
        rows = [values for _, values in shop.read(table, *(entity(k=str(n)) for n in range(50))) if values]
        torn |= any(values["x"] != values["y"] for values in rows)
        batches = set(values["x"].int64_val for values in rows)
        mixed |= len(batches) > 1
        seen |= batches
    return torn + 2 * mixed

def child(work):
    pid = os.fork()
    if not pid:
        try:
            os._exit(work())
        finally:
            os._exit(99)
    return pid

readers = [child(read) for _ in range(4)]
writer = child(lambda: write(lambda batch: None))
ends = [os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) for reader in readers]
os.kill(writer, signal.SIGKILL)
os.waitpid(writer, 0)
print(*ends)
"""
"""One process imports Feast, then forks: four that read till they saw five batches, and one that writes all the while.
Each reader ends with 1 where a row's halves differed, 2 where one read met rows of two batches, 3 where both."""


def command(program: str, shop: Shop) -> list[str]:
    redis = shop.settings.redis_connection if shop.kind == "redis" else ""
    return [sys.executable, "-c", program, shop.kind, str(shop.settings.home), redis]


def test_many_processes_read_while_one_writes_and_none_meets_half_a_row(shop: Shop) -> None:
    shop.apply(view("v", {"x": feast.types.Int64, "y": feast.types.Int64}))
    told = subprocess.run(command(CROWD, shop), capture_output=True, text=True, cwd=ROOT, timeout=200, check=True)
    ends = [int(end) for end in told.stdout.split()]
    assert len(ends) == 4
    whole_batches = DIFFERENCES["a reader beside a writer"][shop.kind] == "whole batches"
    assert set(ends) <= ({0} if whole_batches else {0, 2}), told.stderr


def test_a_writer_that_is_killed_loses_nothing_it_reported(shop: Shop) -> None:
    table = view("v", {"x": feast.types.Int64, "y": feast.types.Int64})
    shop.apply(table)
    writer = subprocess.Popen(command(ALONE, shop), stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    reported = -1
    while reported < 10:
        reported = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate()
    reported = max([reported, *(int(told) for told in rest.split("\n")[:-1])])
    again = open_shop(shop.kind, shop.settings.home, shop.settings.redis_connection)
    rows = [values for _, values in again.read(table, *(entity(k=str(n)) for n in range(50)))]
    assert all(values["x"] == values["y"] for values in rows)
    batches = {values["x"].int64_val for values in rows}
    assert batches <= {reported, reported + 1}
    if DIFFERENCES["a batch whose writer is killed"][shop.kind] == "whole or not at all":
        assert len(batches) == 1


def test_the_page_names_every_difference() -> None:
    page = (ROOT / "docs" / "online-stores.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in row.strip("| \n").split("|")] for row in page.splitlines() if row.startswith("|")]
    told = {row[0]: dict(zip(KINDS, row[1:], strict=True)) for row in rows if row[0] in DIFFERENCES}
    assert told == DIFFERENCES
