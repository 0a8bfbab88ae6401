"""What another rules version would make of the same records, before anyone switches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts import ranges, raw
from ingestion.facts import side_by_side as module
from ingestion.facts.asof import as_of
from ingestion.facts.build import build_facts
from ingestion.facts.diff import APPEARED, CHANGES, MOVED, SAME, VANISHED, difference
from ingestion.facts.diff_picture import draw
from ingestion.facts.raw import raw_ranges
from ingestion.facts.rules import PACKAGED, load_rules, named_rules
from ingestion.facts.side_by_side import file_ranges, only, side_by_side
from parked.errors import InputError
from parked.schemas import FACTS, KINDS
from tests.ingestion.facts.test_order import ingest
from tests.ingestion.facts.worlds import world
from tests.ingestion.raw.conftest import open_home

RULES = load_rules()
OTHER = RULES.model_copy(
    update={
        "version": "other",
        "rest": RULES.rest.model_copy(update={"window_s": 120.0, "radius_m": 40.0, "silence_s": 120.0}),
        "leg": RULES.leg.model_copy(update={"halt_s": 35.0, "settle_s": 120.0}),
    }
)
seeds = st.integers(0, 2**32 - 1)


def changed(facts: pa.Table, **columns: object) -> pa.Table:
    for name, values in columns.items():
        at = facts.schema.get_field_index(name)
        facts = facts.set_column(at, facts.schema.field(name), pa.array(values, facts.schema.field(name).type))
    return facts


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_same_facts_differ_in_nothing(seed: int) -> None:
    facts = build_facts(*world(seed), RULES)
    found = difference(facts, facts)
    assert set(found.table["change"].to_pylist()) <= {SAME}
    assert found.largest(5) == []


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_every_standing_fact_of_both_versions_is_told_of_once(seed: int) -> None:
    tables = world(seed)
    a, b = build_facts(*tables, RULES), build_facts(*tables, OTHER)
    found = difference(a, b)
    for side, log in (("fact_a", a), ("fact_b", b)):
        told = [fact for fact in found.table[side].to_pylist() if fact is not None]
        assert sorted(told) == sorted(as_of(log)["fact_id"].to_pylist())
    assert sum(sum(counts.values()) for counts in found.counts.values()) == found.table.num_rows
    assert set(found.counts) == set(KINDS)
    assert all(set(counts) == set(CHANGES) for counts in found.counts.values())


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_exchanged_versions_exchange_what_appears_and_what_vanishes(seed: int) -> None:
    tables = world(seed)
    a, b = build_facts(*tables, RULES), build_facts(*tables, OTHER)
    there, back = difference(a, b).counts, difference(b, a).counts
    for kind in KINDS:
        assert there[kind][APPEARED] == back[kind][VANISHED]
        assert there[kind][VANISHED] == back[kind][APPEARED]


def test_a_fact_elsewhere_or_at_another_time_moved_and_says_how_far() -> None:
    facts = as_of(build_facts(*world(3, devices=1), RULES))
    stops = facts.filter(pc.equal(facts["kind"], "stop")).slice(0, 1)
    (lat,) = stops["lat"].to_pylist()
    (start,) = stops["started_at"].cast(pa.int64()).to_pylist()
    moved = changed(stops, lat=[lat + 30 / 111_195.08], started_at=[start + 45_000_000])
    (row,) = difference(stops, moved).table.to_pylist()
    assert row["change"] == MOVED
    assert row["distance_m"] == pytest.approx(30, abs=0.1)
    assert row["start_shift_s"] == 45
    far = changed(stops, lat=[lat + 0.1])
    assert sorted(difference(stops, far).table["change"].to_pylist()) == [APPEARED, VANISHED]
    (row,) = difference(stops, changed(stops, reasons=["other"])).table.to_pylist()
    assert (row["change"], row["fields"]) == ("changed", "reasons")


def test_one_to_one_the_nearest_pair_comes_first() -> None:
    facts = as_of(build_facts(*world(3, devices=1), RULES))
    left = facts.filter(pc.equal(facts["kind"], "vehicle_left")).slice(0, 1)
    (lat,) = left["lat"].to_pylist()
    beside = changed(left, lat=[lat + 100 / 111_195.08], fact_id=["beside"])
    found = difference(left, pa.concat_tables([beside, left])).table
    assert sorted(found["change"].to_pylist()) == [APPEARED, SAME]
    assert pc.filter(found["fact_b"], pc.equal(found["change"], APPEARED)).to_pylist() == ["beside"]


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([1, 900]), st.sampled_from([0, 10**9]), st.booleans())
def test_by_ranges_of_devices_the_difference_is_that_of_everything_at_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, in_memory: int, stored: bool
) -> None:
    fixes, motion = world(seed, devices=5)
    a, b = build_facts(fixes, motion, RULES), build_facts(fixes, motion, OTHER)
    folder = tmp_path_factory.mktemp("ranges")
    paths = [folder / "fixes.parquet", folder / "motion.parquet"]
    for path, table in zip(paths, (fixes, motion), strict=True):
        pq.write_table(table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows))), path)
    home = open_home(folder / "home")
    if stored:
        ingest(home, (fixes, motion), "upload")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "RANGE", size)
        patch.setattr(raw if stored else module, "IN_MEMORY", in_memory)
        parts = raw_ranges(home.log, home.log.position(), folder) if stored else None
        parts = parts or file_ranges(paths[0], paths[1], folder, lambda *_a, **_k: None)
        found, records = side_by_side(parts, RULES, OTHER)
    assert records > 0
    assert found == difference(a, b)
    one = a["device_id"][-1].as_py()
    alone, _ = side_by_side(only(file_ranges(*paths, folder, lambda *_a, **_k: None), one), RULES, OTHER)
    assert alone.table.equals(found.table.filter(pc.equal(found.table["device_id"], one)))


def test_nothing_against_nothing_is_a_picture_too(tmp_path: Path) -> None:
    found = difference(FACTS.empty_table(), FACTS.empty_table())
    draw(found, ("a", "b"), tmp_path / "diff.png")
    assert (tmp_path / "diff.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_a_real_difference(tmp_path: Path) -> None:
    tables = world(9, devices=12)
    found = difference(build_facts(*tables, RULES), build_facts(*tables, OTHER))
    assert found.largest(3)
    draw(found, ("v1", "other"), tmp_path / "diff.png")
    assert len((tmp_path / "diff.png").read_bytes()) > 20_000


def test_rules_are_named_by_file_or_packaged_version() -> None:
    assert named_rules("v1") == load_rules(PACKAGED / "v1.toml")
    assert named_rules(str(PACKAGED / "v1.toml")) == named_rules("v1")
    with pytest.raises(InputError, match="v1"):
        named_rules("v0")
