"""A file of fixes gives the same bytes of facts however its rows are ordered, cut, or shared among threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion.facts import files, ranges
from ingestion.facts.build import build_facts
from ingestion.facts.files import build_file
from ingestion.facts.rules import load_rules
from parked.errors import InputError
from parked.schemas import TIME
from tests.ingestion.facts.worlds import world

RULES = load_rules()


@pytest.fixture(scope="module")
def tables() -> tuple[pa.Table, pa.Table]:
    return world(5, devices=9, late=0.05, copies=0.05)


@pytest.fixture
def build(tmp_path: Path, tables: tuple[pa.Table, pa.Table]):
    def built(fixes: pa.Table | None = None, *, rows: int = 10**6, workers: int = 1) -> bytes:
        paths = [tmp_path / name for name in ("fixes.parquet", "motion.parquet", "facts.parquet")]
        pq.write_table(tables[0] if fixes is None else fixes, paths[0], row_group_size=rows)
        pq.write_table(tables[1].sort_by("device_id"), paths[1], row_group_size=rows)
        build_file(paths[0], paths[1], paths[2], RULES, workers=workers)
        return paths[2].read_bytes()

    return built


def shuffled(table: pa.Table) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(3).permutation(table.num_rows)))


def test_the_file_holds_what_the_tables_give(tmp_path: Path, tables: tuple[pa.Table, pa.Table], build) -> None:
    build()
    assert pq.read_table(tmp_path / "facts.parquet").equals(build_facts(*tables, RULES))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 1500, 10**6])
def test_neither_ranges_nor_threads_nor_row_groups_change_a_byte(
    monkeypatch: pytest.MonkeyPatch, tables: tuple[pa.Table, pa.Table], build, workers: int, size: int
) -> None:
    whole = build()
    monkeypatch.setattr(ranges, "RANGE", size)
    assert build(tables[0].sort_by("device_id"), rows=700, workers=workers) == whole


@pytest.mark.parametrize("in_memory", [0, 10**9])
def test_shuffled_rows_are_ordered_in_memory_or_through_files_to_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, tables: tuple[pa.Table, pa.Table], tmp_path: Path, build, in_memory: int
) -> None:
    whole = build()
    monkeypatch.setattr(files, "IN_MEMORY", in_memory)
    monkeypatch.setattr(ranges, "RANGE", 1000)
    assert build(shuffled(tables[0]), rows=500) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["facts.parquet", "fixes.parquet", "motion.parquet"]


def test_a_column_of_columns_before_the_device_ids_is_not_taken_for_them(
    monkeypatch: pytest.MonkeyPatch, tables: tuple[pa.Table, pa.Table], build
) -> None:
    whole = build()
    monkeypatch.setattr(ranges, "RANGE", 500)
    mixed = shuffled(tables[0])
    rising = pa.array([f"{i:09d}" for i in range(mixed.num_rows)])  # in ascending ranges, as the ids are not
    app = pa.StructArray.from_arrays([rising, rising], ["a", "b"])
    assert build(mixed.add_column(0, "app", app), rows=700) == whole


@pytest.mark.parametrize("in_order", [True, False])
def test_a_dictionary_may_name_devices_that_a_row_group_or_the_file_does_not_have(
    monkeypatch: pytest.MonkeyPatch, tables: tuple[pa.Table, pa.Table], tmp_path: Path, in_order: bool
) -> None:
    """Row groups cut from one table (a column of categories, say) each have the dictionary of all of it."""
    monkeypatch.setattr(ranges, "RANGE", 300)
    table = tables[0].sort_by("device_id") if in_order else shuffled(tables[0])
    words = pa.array(["a phone of nobody", *pc.unique(table["device_id"]).to_pylist(), "zz", "zzz"])
    ids = pa.DictionaryArray.from_arrays(pc.index_in(table["device_id"], words).combine_chunks(), words)
    source, out = tmp_path / "fixes.parquet", tmp_path / "facts.parquet"
    pq.write_table(table.set_column(0, "device_id", ids), source, row_group_size=200)
    built = build_file(source, None, out, RULES, workers=3)
    assert pq.read_table(out).equals(build_facts(tables[0], None, RULES))
    assert built.devices == 9


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("in_memory", [0, 10**9])
def test_device_ids_that_are_numbers_are_their_texts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tables: tuple[pa.Table, pa.Table], in_memory: int, encoded: bool
) -> None:
    monkeypatch.setattr(files, "IN_MEMORY", in_memory)
    monkeypatch.setattr(ranges, "RANGE", 1000)
    facts = {}
    for kind in (pa.string(), pa.int64()):
        paths = [tmp_path / f"{kind}-{name}.parquet" for name in ("fixes", "motion", "facts")]
        for table, path in zip(tables, paths[:2], strict=True):
            # In order as numbers, which is another order than that of their texts: 7 ... 15.
            numbers = pa.array([7 + int(name.removeprefix("phone-")) for name in table["device_id"].to_pylist()])
            ids = numbers.dictionary_encode() if encoded and kind == pa.int64() else numbers.cast(kind)
            renamed = table.set_column(0, "device_id", ids).take(pc.sort_indices(numbers))
            pq.write_table(renamed, path, row_group_size=700)
        build_file(*paths, RULES)
        facts[kind] = pq.read_table(paths[2])
    assert facts[pa.int64()].equals(facts[pa.string()])
    assert "15" in facts[pa.int64()]["device_id"].to_pylist()


def test_a_file_cut_off_in_the_middle_is_named_and_leaves_the_old_facts(tmp_path: Path, build) -> None:

    before = build()
    source = tmp_path / "fixes.parquet"
    whole = bytearray(source.read_bytes())
    whole[len(whole) // 3 : len(whole) // 2] = bytes(len(whole) // 2 - len(whole) // 3)
    source.write_bytes(whole)
    with pytest.raises(InputError, match=r"fixes\.parquet: not a readable Parquet file"):
        build_file(source, None, tmp_path / "facts.parquet", RULES)
    assert (tmp_path / "facts.parquet").read_bytes() == before


def test_device_ids_that_are_no_utf_8_are_named(tmp_path: Path, tables: tuple[pa.Table, pa.Table]) -> None:
    table = tables[0].slice(0, 50)
    broken = pa.array([b"\xff\xfe"] * 50, pa.binary()).buffers()
    ids = pa.StringArray.from_buffers(50, broken[1], broken[2])
    pq.write_table(table.set_column(0, "device_id", ids), tmp_path / "fixes.parquet")
    with pytest.raises(InputError, match=r"fixes\.parquet: not a readable Parquet file \(.*UTF8"):
        build_file(tmp_path / "fixes.parquet", None, tmp_path / "facts.parquet", RULES)


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
@pytest.mark.parametrize("which", ["fixes", "motion"])
def test_facts_never_replace_what_they_are_made_from(
    tmp_path: Path, tables: tuple[pa.Table, pa.Table], link: str | None, which: str
) -> None:
    inputs = {name: tmp_path / f"{name}.parquet" for name in ("fixes", "motion")}
    for path, table in zip(inputs.values(), tables, strict=True):
        pq.write_table(table, path)
    out = inputs[which]
    before = out.read_bytes()
    if link is not None:
        out = tmp_path / "link.parquet"
        getattr(out, link)(inputs[which])
    with pytest.raises(InputError, match="is the input"):
        build_file(inputs["fixes"], inputs["motion"], out, RULES)
    assert inputs[which].read_bytes() == before
    assert out.samefile(inputs[which])


@pytest.mark.parametrize("field", ["event_time", "received_at"])
def test_a_device_whose_clock_overflowed_is_refused_and_leaves_the_others_as_they_are(
    tmp_path: Path, tables: tuple[pa.Table, pa.Table], field: str
) -> None:
    fixes = tables[0]
    place = fixes.schema.get_field_index(field)
    for year in (2100, 2106, 12_000, 290_000):
        us = (year - 1970) * 31_557_600 * 1_000_000
        odd = fixes.set_column(place, fixes.schema.field(place), pa.array([us] * fixes.num_rows, TIME))
        odd = odd.set_column(0, fixes.schema.field(0), pa.array(["odd"] * fixes.num_rows))
        if field == "event_time":
            odd = odd.set_column(6, fixes.schema.field(6), pa.nulls(fixes.num_rows, TIME))
        pq.write_table(pa.concat_tables([fixes, odd]), tmp_path / "fixes.parquet")
        built = build_file(tmp_path / "fixes.parquet", None, tmp_path / "facts.parquet", RULES)
        assert built.refused == {"clock_ahead" if field == "event_time" else "received_ahead": fixes.num_rows}
        assert pq.read_table(tmp_path / "facts.parquet").equals(build_facts(fixes, None, RULES))


@pytest.mark.parametrize(
    ("event", "received", "unit", "why"),
    [
        (1_767_600_000_000_000, -(2**63) + 1, "us", "clock_ahead"),
        (-(2**63), None, "us", "clock_before_2005"),
        (2_305_844_776_813_693_952, None, "ms", "clock_ahead"),
    ],
)
def test_a_moment_too_far_to_be_counted_with_is_refused_and_not_taken_for_another(
    tmp_path: Path, event: int, received: int | None, unit: str, why: str
) -> None:
    given = {"device_id": ["a"], "lat": [1.0], "lon": [1.0]}
    moments = {
        name: pa.array([us], pa.timestamp(unit, "UTC"))
        for name, us in (("event_time", event), ("received_at", received))
    }
    pq.write_table(pa.table({**given, **moments}), tmp_path / "fixes.parquet")
    built = build_file(tmp_path / "fixes.parquet", None, tmp_path / "facts.parquet", RULES)
    assert (built.records, built.refused) == (0, {why: 1})
