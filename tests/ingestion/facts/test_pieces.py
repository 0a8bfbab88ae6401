"""Files in order of device are read in pieces, ahead, in threads: none of it may show in the facts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts import pieces, ranges, sources
from ingestion.facts.ahead import in_order, one_ahead
from ingestion.facts.buffers import LEAST, Buffers
from ingestion.facts.build import build_facts
from ingestion.facts.files import build_file
from ingestion.facts.rules import load_rules
from parked.errors import InputError
from tests.ingestion.facts.worlds import world

RULES = load_rules()


@pytest.fixture(scope="module")
def fixes() -> pa.Table:
    return world(5, devices=5, late=0.05, copies=0.05)[0]


@pytest.fixture(scope="module")
def facts(fixes: pa.Table) -> pa.Table:
    return build_facts(fixes, None, RULES)


@given(
    cuts=st.lists(st.integers(1, 900), min_size=1, max_size=12),
    rows=st.sampled_from([1, 300, 2000, 10**6]),
    head=st.sampled_from([0, 40, 10**4]),
    ahead=st.sampled_from([0, 10**6]),
    threads=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_row_groups_pieces_room_before_them_and_threads_change_no_fact(
    tmp_path_factory: pytest.TempPathFactory,
    fixes: pa.Table,
    facts: pa.Table,
    cuts: list[int],
    rows: int,
    head: int,
    ahead: int,
    threads: int,
    seed: int,
) -> None:
    """Row groups of any sizes, in order of device, their rows in none; some rows cannot be used."""
    folder = tmp_path_factory.mktemp("pieces")
    rng = np.random.default_rng(seed)
    refused = pa.array(np.arange(fixes.num_rows) % 97 == seed % 97)
    broken = fixes.filter(refused)
    field = fixes.schema.field("lat")
    broken = broken.set_column(fixes.schema.get_field_index("lat"), field, pa.array(np.full(broken.num_rows, 91.0)))
    table = pa.concat_tables([fixes, broken]).sort_by("device_id")
    with pq.ParquetWriter(folder / "fixes.parquet", table.schema) as writer:
        at = 0
        while at < table.num_rows:
            size = cuts[int(rng.integers(len(cuts)))]
            group = table.slice(at, size)
            writer.write_table(group.take(pa.array(rng.permutation(group.num_rows))))
            at += size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "RANGE", rows)
        patch.setattr(pieces, "HEAD", head)
        patch.setattr(pieces, "AHEAD", ahead)
        built = build_file(folder / "fixes.parquet", None, folder / "facts.parquet", RULES, workers=threads)
    assert pq.read_table(folder / "facts.parquet").equals(facts)
    assert built.refused == {"position_out_of_range": broken.num_rows}
    assert built.devices == len(pc.unique(facts["device_id"]))


def test_a_group_that_cannot_be_read_is_the_error_whatever_was_read_ahead_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixes: pa.Table
) -> None:
    monkeypatch.setattr(ranges, "RANGE", 1)
    source, out = tmp_path / "fixes.parquet", tmp_path / "facts.parquet"
    pq.write_table(fixes.sort_by("device_id"), source, row_group_size=100)
    build_file(source, None, out, RULES)
    before = out.read_bytes()
    metadata = pq.ParquetFile(source).metadata
    begin = metadata.row_group(metadata.num_row_groups - 2).column(2).data_page_offset
    whole = bytearray(source.read_bytes())
    whole[begin : begin + 500] = b"\xff" * 500
    source.write_bytes(whole)
    with pytest.raises(InputError, match=r"fixes\.parquet"):
        build_file(source, None, out, RULES, workers=3)
    assert out.read_bytes() == before


@pytest.mark.parametrize("with_motion", [False, True])
def test_row_groups_whose_statistics_are_false_are_refused_and_cut_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixes: pa.Table, with_motion: bool
) -> None:
    monkeypatch.setattr(ranges, "RANGE", 1)
    monkeypatch.setattr(sources, "_ascending", lambda _: True)
    paths = [tmp_path / name for name in ("fixes.parquet", "motion.parquet", "facts.parquet")]
    pq.write_table(fixes.sort_by([("device_id", "descending")]), paths[0], row_group_size=100)
    pq.write_table(world(5, devices=5)[1].sort_by("device_id"), paths[1])
    with pytest.raises(InputError, match=r"fixes\.parquet: the statistics of its row groups are not"):
        build_file(paths[0], paths[1] if with_motion else None, paths[2], RULES, workers=2)
    assert not paths[2].exists()


def test_texts_of_any_kind_are_read(tmp_path: Path, fixes: pa.Table, facts: pa.Table) -> None:
    mixed = fixes.sort_by("event_time")
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        pq.write_table(mixed.set_column(0, "device_id", mixed["device_id"].cast(kind)), tmp_path / "fixes.parquet")
        build_file(tmp_path / "fixes.parquet", None, tmp_path / "facts.parquet", RULES)
        assert pq.read_table(tmp_path / "facts.parquet").equals(facts), kind


def test_memory_for_records_is_that_of_the_largest_piece_however_their_sizes_rise() -> None:
    buffers = Buffers()
    held = [buffers.take(size) for size in (10, 20)]
    for size in range(LEAST, LEAST + 50):
        buffers.give(held.pop(0))
        held.append(buffers.take(size))
    for records in held:
        buffers.give(records)
    assert len(buffers) == 2


def test_tasks_are_under_way_ahead_and_what_they_return_keeps_their_order() -> None:
    second_began = Event()
    began: list[int] = []

    def task(number: int) -> int:
        began.append(number)
        if number == 0:
            assert second_began.wait(10)  # the first ends only once the second is under way
        second_began.set()
        return number

    with ThreadPoolExecutor(2) as pool:
        asked = iter(range(10))
        results = in_order((partial(task, i) for i in asked), pool, 2)
        assert next(results) == 0
        assert next(asked) == 3  # two ahead of the first, no more
        assert list(results) == [1, 2, *range(4, 10)]


def test_a_task_that_fails_raises_in_its_turn() -> None:
    def task(number: int) -> int:
        return 10 // number

    with ThreadPoolExecutor(2) as pool:
        results = in_order((partial(task, i) for i in (2, 1, 0, 5)), pool, 3)
        assert [next(results), next(results)] == [5, 10]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_the_next_item_is_made_while_one_is_used() -> None:
    made = Event()

    def items() -> Iterator[str]:
        yield "a"
        made.set()
        yield "b"

    with ThreadPoolExecutor(1) as pool:
        ahead = one_ahead(items(), pool)
        assert next(ahead) == "a"
        assert made.wait(10)
        assert list(ahead) == ["b"]
