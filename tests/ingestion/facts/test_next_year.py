"""When facts are made does not matter: a year on, the same raw log gives the same file, whatever way it is asked."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts.rebuild import rebuild
from ingestion.facts.replay import replay
from ingestion.facts.rules import load_rules
from ingestion.facts.store import facts_file, read_facts, read_stored, write_facts
from ingestion.facts.update import update
from parked.clock import fixed_clock
from parked.schemas import TIME
from tests.ingestion.facts.test_order import bytes_of
from tests.ingestion.facts.test_stream import delayed
from tests.ingestion.facts.test_update import LATER, Tables
from tests.ingestion.facts.worlds import world
from tests.ingestion.raw.conftest import Home, open_home, save

RULES = load_rules()
NEXT_YEAR = LATER + timedelta(days=365)
seeds = st.integers(0, 2**32 - 1)


def some_unstamped(table: pa.Table) -> pa.Table:
    """Every fifth record states no time of receipt: the clock of the ingest is what it gets."""
    at = table.schema.get_field_index("received_at")
    received = table["received_at"].to_pylist()
    return table.set_column(
        at, "received_at", pa.array([None if i % 5 == 0 else r for i, r in enumerate(received)], TIME)
    )


def upload(home: Home, tables: Tables, name: str, *, year_on: bool = False) -> tuple[int, int]:
    """Ingest by the clock of that year; (accepted, duplicates)."""
    paths = [save(table, home.settings.home.parent / f"{name}-{i}.parquet") for i, table in enumerate(tables)]
    total = home.ingest(
        *(path for path, table in zip(paths, tables, strict=True) if table.num_rows),
        clock=fixed_clock(NEXT_YEAR if year_on else LATER),
    ).total
    return total.accepted, total.duplicates


def backwards(tables: Tables) -> Tables:
    """The same records in another order: a file that was not read before."""
    return tuple(table.take(pa.array(range(table.num_rows))[::-1]) for table in tables)  # type: ignore[return-value]


@settings(max_examples=6, deadline=None)
@given(seeds)
def test_a_replay_next_year_gives_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    tables = delayed(world(seed, devices=2), seed, share=0.1, seconds=3600)
    tables = (some_unstamped(tables[0]), some_unstamped(tables[1]))
    if not tables[0].num_rows:
        return
    folder = tmp_path_factory.mktemp("year")
    home = open_home(folder / "then" / "home")
    accepted, _ = upload(home, tables, "a")
    rebuild(home.settings, home.log, RULES)
    then = bytes_of(home)
    facts = read_facts(home.settings, RULES.version)

    shutil.copytree(home.settings.home, folder / "now" / "home")  # moved to another place, too
    now = open_home(folder / "now" / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: NEXT_YEAR.timestamp())
        patch.setattr(time, "time_ns", lambda: int(NEXT_YEAR.timestamp() * 1e9))
        # The phones send everything once more: nothing of it is news, and no receipt becomes later.
        assert upload(now, backwards(tables), "again", year_on=True) == (0, accepted)
        update(now.settings, now.log, RULES)
        assert bytes_of(now) == then
        position = read_stored(now.settings, RULES).position
        for device in sorted(set(facts["device_id"].to_pylist())):
            lost = pc.equal(facts["device_id"], device)
            write_facts(now.settings, RULES, [facts.filter(pc.invert(lost))], position)
            assert replay(now.settings, now.log, RULES, device).changed == pc.sum(lost).as_py()
            assert bytes_of(now) == then
        facts_file(now.settings, RULES.version).unlink()
        rebuild(now.settings, now.log, RULES)
        assert bytes_of(now) == then


def test_what_first_comes_next_year_is_available_then_and_no_earlier_fact_moves(tmp_path: Path) -> None:
    """The clock of an ingest does count, once: where nobody says when a record was received."""
    fixes, motion = world(9, devices=1)
    half = fixes.num_rows // 2
    late = fixes.slice(half)
    unstamped = late.set_column(
        late.schema.get_field_index("received_at"), "received_at", pa.nulls(late.num_rows, TIME)
    )
    home = open_home(tmp_path / "home")
    upload(home, (fixes.slice(0, half), motion), "a")
    rebuild(home.settings, home.log, RULES)
    before = read_facts(home.settings, RULES.version)
    upload(home, (unstamped, motion.slice(0, 0)), "b", year_on=True)
    update(home.settings, home.log, RULES)
    after = read_facts(home.settings, RULES.version)
    new = pc.equal(after["available_at"], pa.scalar(NEXT_YEAR, TIME))
    assert pc.any(new).as_py()
    assert after.filter(pc.invert(new)).equals(before)
