"""The same set of raw records is the same facts file to the byte: whatever order, uploads, copies and way they came by.

Here a set of records has re-sent ones among it whose time of receipt differs, some of it stated "as if live".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts.build import build_facts
from ingestion.facts.rebuild import rebuild
from ingestion.facts.replay import replay
from ingestion.facts.rules import load_rules
from ingestion.facts.store import facts_file, read_facts
from ingestion.facts.update import update
from parked.clock import fixed_clock
from parked.schemas import TIME
from tests.ingestion.facts.test_stream import delayed
from tests.ingestion.facts.test_update import LATER, Tables
from tests.ingestion.facts.worlds import world
from tests.ingestion.raw.conftest import Home, open_home, save

RULES = load_rules()
LAG_S = 5.0
seeds = st.integers(0, 2**32 - 1)


def resent(tables: Tables, seed: int, *, share: float = 0.1, stated: float = 0.02) -> Tables:
    """The records and copies of a share of them, received up to a day later or, as far as measured, earlier; a share of
    all states no receipt. Some fixes have a worse one of the same moment beside them, or one equal to 1e-7 degrees.
    """
    rng = np.random.default_rng(seed)
    fixes = tables[0]
    worse = fixes.filter(pa.array(rng.random(fixes.num_rows) < share / 2))
    where = fixes.schema.get_field_index("accuracy_m")
    worse = worse.set_column(where, fixes.schema.field(where), pc.add(worse["accuracy_m"], 7.0))
    near = fixes.filter(pa.array(rng.random(fixes.num_rows) < share / 2))
    where = fixes.schema.get_field_index("lat")
    near = near.set_column(where, fixes.schema.field(where), pc.add(near["lat"], 1e-10))
    out = []
    for table in (pa.concat_tables([fixes, worse, near]), tables[1]):
        at = table.schema.get_field_index("received_at")
        chosen = rng.random(table.num_rows) < share
        again = pa.concat_tables([table, *([table.filter(pa.array(chosen))] * 2)])
        received = np.asarray(again["received_at"].cast(pa.int64())).copy()
        event = np.asarray(again["event_time"].cast(pa.int64()))
        copies = slice(table.num_rows, None)
        received[copies] += rng.choice([-1, 0, 1], len(received[copies])) * rng.integers(1, 86_400_000_000)
        received = np.maximum(received, event)
        silent = rng.random(len(received)) < stated
        out.append(again.set_column(at, "received_at", pa.array(received, TIME, mask=silent)))
    return out[0], out[1]


def uploads(tables: Tables, seed: int) -> list[Tables]:
    """The records in any order, in one to six uploads of any of them each."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    split = []
    for table in tables:
        table = table.take(pa.array(rng.permutation(table.num_rows)))
        group = rng.integers(0, count, table.num_rows)
        split.append([table.filter(pa.array(group == i)) for i in range(count)])
    return list(zip(*split, strict=True))


def ingest(home: Home, tables: Tables, name: str) -> None:
    files = [save(table, home.settings.home.parent / f"{name}-{i}.parquet") for i, table in enumerate(tables)]
    files = [file for file, table in zip(files, tables, strict=True) if table.num_rows]
    if files:
        total = home.ingest(*files, clock=fixed_clock(LATER), as_if_live_lag_s=LAG_S).total
        assert total.read == total.accepted + total.duplicates


def bytes_of(home: Home) -> bytes:
    return facts_file(home.settings, RULES.version).read_bytes()


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([(0.0, 1), (0.1, 600), (0.1, 3 * 86_400)]))
def test_any_order_and_any_uploads_give_the_same_bytes_by_build_and_by_updates(
    tmp_path_factory: pytest.TempPathFactory, seed: int, late: tuple[float, int]
) -> None:
    tables = resent(delayed(world(seed, devices=2), seed, share=late[0], seconds=late[1]), seed)
    if not tables[0].num_rows:
        return
    folder = tmp_path_factory.mktemp("order")
    files = set()
    for attempt in range(3):
        home = open_home(folder / f"{attempt}-home" / "home")
        going = open_home(folder / f"{attempt}-going" / "home")
        for i, part in enumerate(uploads(tables, seed + attempt)):
            ingest(home, part, str(i))
            ingest(going, part, str(i))
            if not facts_file(going.settings, RULES.version).exists():
                if part[0].num_rows or part[1].num_rows:
                    rebuild(going.settings, going.log, RULES)
            else:
                update(going.settings, going.log, RULES)
        rebuild(home.settings, home.log, RULES)
        facts = read_facts(home.settings, RULES.version)
        assert facts.equals(build_facts(*tables, RULES, lag_s=LAG_S))
        assert bytes_of(going) == bytes_of(home)
        for device in ("phone-0", "phone-1"):
            if device in facts["device_id"].to_pylist():
                moments = (
                    facts.filter(pc.equal(facts["device_id"], device))["available_at"].cast(pa.int64()).to_pylist()
                )
                for since in (None, moments[len(moments) // 2]):
                    assert replay(going.settings, going.log, RULES, device, since).changed == 0
        files.add(bytes_of(home))
    assert len(files) == 1


@pytest.mark.parametrize("worse_first", [False, True])
def test_a_fix_marks_facts_as_stated_if_it_ever_spoke_by_build_and_by_update(tmp_path: Path, worse_first: bool) -> None:
    """A worse fix of a moment speaks only until a better one comes; here the worse one's receipt is stated."""
    fixes, motion = world(3, devices=1)
    at = fixes.num_rows // 2
    better, received = fixes.slice(at, 1), fixes.schema.get_field_index("received_at")
    late = pc.add(better["received_at"], pa.scalar(60_000_000, pa.duration("us")))
    if worse_first:
        better = better.set_column(received, fixes.schema.field(received), late)
    accuracy = fixes.schema.get_field_index("accuracy_m")
    worse = better.set_column(accuracy, fixes.schema.field(accuracy), pc.add(better["accuracy_m"], 7.0))
    worse = worse.set_column(received, fixes.schema.field(received), pa.nulls(1, TIME))
    parts = [fixes.slice(0, at), worse, better, fixes.slice(at + 1)]
    home = open_home(tmp_path / "home")
    ingest(home, (parts[0], motion), "0")
    rebuild(home.settings, home.log, RULES)
    for i in range(1, 4):
        ingest(home, (parts[i], motion.slice(0, 0)), str(i))
        update(home.settings, home.log, RULES)
    updated = bytes_of(home)
    rebuild(home.settings, home.log, RULES)
    facts = read_facts(home.settings, RULES.version)
    assert bytes_of(home) == updated
    assert pc.any(facts["as_if_live"]).as_py() is worse_first


def test_a_copy_observed_at_the_very_moment_that_was_stated_takes_the_mark_away_by_update_too(tmp_path: Path) -> None:
    """Equal to the kernel, which counts in 1e-7 degrees, and another record to raw."""
    fixes, motion = world(3, devices=1)
    at = fixes.num_rows // 2
    stated = fixes.slice(at, 1)
    lag = pa.scalar(round(LAG_S * 1e6), pa.duration("us"))
    observed = stated
    for name, value in (("received_at", pc.add(stated["event_time"], lag)), ("lat", pc.add(stated["lat"], 1e-10))):
        column = fixes.schema.get_field_index(name)
        observed = observed.set_column(column, fixes.schema.field(column), value)
    column = fixes.schema.get_field_index("received_at")
    stated = stated.set_column(column, fixes.schema.field(column), pa.nulls(1, TIME))
    rest = fixes.filter(pc.greater(fixes["event_time"], observed["received_at"][0]))
    home = open_home(tmp_path / "home")
    for i, part in enumerate((fixes.slice(0, at), stated, observed, rest)):
        ingest(home, (part, motion.slice(0, 0)), str(i))
        if i:
            update(home.settings, home.log, RULES)
        else:
            rebuild(home.settings, home.log, RULES)
    updated = bytes_of(home)
    rebuild(home.settings, home.log, RULES)
    facts = read_facts(home.settings, RULES.version)
    assert bytes_of(home) == updated
    assert not pc.any(facts["as_if_live"]).as_py()
