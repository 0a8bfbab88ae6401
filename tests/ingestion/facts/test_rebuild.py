"""A build of everything ingested streams: the stored file is the one that reading all of raw at once would give."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts import ranges, raw
from ingestion.facts import rebuild as module
from ingestion.facts.buffers import Buffers
from ingestion.facts.build import build_facts, facts_of
from ingestion.facts.raw import raw_records
from ingestion.facts.rebuild import rebuild
from ingestion.facts.rules import load_rules
from ingestion.facts.store import facts_file, read_facts, read_stored
from ingestion.facts.update import update
from ingestion.facts.writer import TOLD
from ingestion.raw.log import RawLog
from parked.errors import InputError
from tests.ingestion.facts.test_order import LAG_S, bytes_of, ingest, resent, uploads
from tests.ingestion.facts.test_stream import delayed
from tests.ingestion.facts.test_update import parts
from tests.ingestion.facts.worlds import world
from tests.ingestion.raw.conftest import Home, open_home

RULES = load_rules()
seeds = st.integers(0, 2**32 - 1)


def all_at_once(home: Home, path: Path) -> bytes:
    """The stored file as it is made without streaming: one table of all of raw, written by Arrow in one go."""
    facts = facts_of(raw_records(home.log, upto=home.log.position()), RULES)
    said = pq.read_schema(facts_file(home.settings, RULES.version)).metadata
    kept = {key: value for key, value in said.items() if key.startswith(b"parked.")}
    whole = facts.replace_schema_metadata(kept).combine_chunks()
    pq.write_table(whole, path, compression="zstd", use_dictionary=True, write_statistics=list(TOLD))
    return path.read_bytes()


@settings(max_examples=10, deadline=None)
@given(
    seeds,
    st.sampled_from([1, 300, 2500, 10**6]),
    st.sampled_from([0, 10**9]),
    st.sampled_from([1, 64, 10**5]),
    st.integers(1, 3),
)
def test_neither_ranges_nor_pieces_nor_threads_change_a_byte_of_the_stored_file(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, in_memory: int, batch: int, workers: int
) -> None:
    tables = resent(delayed(world(seed, devices=4), seed, share=0.1, seconds=600), seed)
    home = open_home(tmp_path_factory.mktemp("ranges") / "home")
    for i, part in enumerate(uploads(tables, seed)):
        ingest(home, part, str(i))
    if not home.log.position():
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "RANGE", size)
        patch.setattr(module, "IN_MEMORY", in_memory)
        patch.setattr(raw, "BATCH", batch)
        built = rebuild(home.settings, home.log, RULES, workers=workers)
    assert bytes_of(home) == all_at_once(home, home.settings.home.parent / "whole.parquet")
    facts = read_facts(home.settings, RULES.version)
    assert facts.equals(build_facts(*tables, RULES, lag_s=LAG_S))
    assert built.revisions == facts.num_rows == sum(built.kinds.values())
    assert built.devices == len(set(facts["device_id"].to_pylist()))
    assert built.refused == {}
    assert not list(facts_file(home.settings, RULES.version).parent.glob(".scratch-*"))


class InPieces(RawLog):
    """A raw log that gives nothing but pieces, and remembers how large they were."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.settings, home.engine)
        self.largest = 0

    def receipts(self, *arguments: Any, **options: Any) -> Iterator[pa.Table]:
        for table in super().receipts(*arguments, **options):
            self.largest = max(self.largest, table.num_rows)
            yield table

    def scan_fixes(self, *_arguments: Any, **_options: Any) -> pa.Table:
        raise AssertionError("all fixes at once")

    scan_motion = scan_fixes


@pytest.mark.parametrize("in_memory", [0, 10**9])
def test_raw_is_only_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    tables = world(7, devices=4)
    home = open_home(tmp_path / "home")
    ingest(home, tables, "a")
    monkeypatch.setattr(raw, "BATCH", 50)
    monkeypatch.setattr(ranges, "RANGE", 200)
    monkeypatch.setattr(module, "IN_MEMORY", in_memory)
    log = InPieces(home)
    assert rebuild(home.settings, log, RULES).records == tables[0].num_rows + tables[1].num_rows
    assert log.largest == 50
    assert read_facts(home.settings, RULES.version).equals(build_facts(*tables, RULES))


def test_ranges_that_came_through_files_use_the_same_memory_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_home(tmp_path / "home")
    tables = world(7, devices=12)
    ingest(home, tables, "a")
    monkeypatch.setattr(ranges, "RANGE", 500)
    buffers, places, sizes = Buffers(), set(), []
    sources = raw.raw_sources(home.log, home.log.position())
    with ThreadPoolExecutor(1) as pool:
        for part in ranges.ranges(sources, 0.0, tmp_path, lambda *_: None, {}, buffers, pool, threads=1, in_memory=0):
            records = part().records
            places.add(records.__array_interface__["data"][0])
            sizes.append(len(records))
            buffers.give(records)
    assert sum(sizes) == tables[0].num_rows + tables[1].num_rows
    assert len(sizes) > 3
    assert len(places) == 1


def test_states_that_an_update_makes_from_raw_are_the_same_in_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = delayed(world(12, devices=4), 12, share=0.1, seconds=600)
    home = open_home(tmp_path / "home")
    first, second = parts(tables, 12, 2, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    monkeypatch.setattr(ranges, "RANGE", 1)
    monkeypatch.setattr(raw, "IN_MEMORY", 0)
    ingest(home, second, "b")
    assert update(home.settings, home.log, RULES).records == second[0].num_rows + second[1].num_rows
    assert read_facts(home.settings, RULES.version).equals(build_facts(*tables, RULES))


def test_a_build_of_an_empty_log_says_what_to_run_and_leaves_nothing(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with pytest.raises(InputError, match="no fixes yet; run: parked ingest PATH"):
        rebuild(home.settings, home.log, RULES)
    assert not home.settings.facts_dir.exists()


_KILLED = """
import os, signal, sys
from ingestion.facts import ranges, rebuild as module, streamed
from ingestion.facts.rules import load_rules
from ingestion.raw.log import RawLog
from parked.opsdb.engine import open_database
from parked.settings import load_settings

ranges.RANGE, module.IN_MEMORY = 1, 0
left = int(sys.argv[2])

def facts_of(*arguments):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return made(*arguments)

def die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)

made, streamed.facts_of = streamed.facts_of, facts_of
if left > 2:
    module.put_log = die
settings = load_settings(home=sys.argv[1])
module.rebuild(settings, RawLog(settings, open_database(settings.database)), load_rules(), workers=1)
"""


@pytest.mark.parametrize("after", [0, 2, 100])
def test_a_build_killed_in_the_middle_leaves_the_old_facts_and_the_next_one_clears_up(
    tmp_path: Path, after: int
) -> None:
    """Killed at its first device, its last one, or with all of them made."""
    tables = world(5, devices=3)
    home = open_home(tmp_path / "home")
    first, second = parts(tables, 5, 2, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    before, stored = bytes_of(home), read_stored(home.settings, RULES)
    ingest(home, second, "b")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(home.settings.home), str(after)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert bytes_of(home) == before
    assert read_stored(home.settings, RULES).position == stored.position < home.log.position()
    folder = facts_file(home.settings, RULES.version).parent
    assert len(list(folder.glob(".scratch-*/*"))) >= 1
    rebuild(home.settings, home.log, RULES)
    assert read_facts(home.settings, RULES.version).equals(build_facts(*tables, RULES))
    assert not list(folder.glob(".scratch-*"))
