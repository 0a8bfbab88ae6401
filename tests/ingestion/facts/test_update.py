"""The stored log goes on: updates, replays and questions about the past, each equal to a build of everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.facts import stored
from ingestion.facts.asof import as_of
from ingestion.facts.build import build_facts
from ingestion.facts.rebuild import rebuild
from ingestion.facts.replay import replay
from ingestion.facts.rules import load_rules
from ingestion.facts.splice import rows_of
from ingestion.facts.store import facts_file, forget, position_file, read_facts, read_stored, write_facts
from ingestion.facts.update import update
from parked.clock import fixed_clock
from parked.errors import ConflictError, InputError, NotFoundError
from parked.schemas import KINDS
from tests.ingestion.facts.test_stream import delayed, received_by
from tests.ingestion.facts.worlds import world
from tests.ingestion.raw.conftest import Home, open_home, save

RULES = load_rules()
LATER = datetime(2027, 1, 1, tzinfo=UTC)
seeds = st.integers(0, 2**32 - 1)
Tables = tuple[pa.Table, pa.Table]


def ingest(home: Home, tables: Tables, name: str) -> None:
    files = []
    for what, table in zip(("fixes", "motion"), tables, strict=True):
        if table.num_rows:
            files.append(save(table, home.settings.home.parent / f"{name}-{what}.parquet"))
    if files:
        home.ingest(*files, clock=fixed_clock(LATER))


def parts(tables: Tables, seed: int, count: int, *, by_receipt: bool) -> list[Tables]:
    """The records in ``count`` uploads: in order of receipt, or any record in any upload."""
    rng = np.random.default_rng(seed)
    moments = np.sort(np.asarray(tables[0]["received_at"].cast(pa.int64())))
    cuts = [int(moments[i]) for i in sorted(rng.integers(0, len(moments), count - 1).tolist())]
    split = []
    for table in tables:
        received = np.asarray(table["received_at"].cast(pa.int64()))
        group = np.searchsorted(cuts, received) if by_receipt else rng.integers(0, count, len(received))
        split.append([table.filter(pa.array(group == i)) for i in range(count)])
    return list(zip(*split, strict=True))


def bytes_of(home: Home) -> bytes:
    return facts_file(home.settings, RULES.version).read_bytes()


@pytest.fixture(params=[1, 30, 10**6])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Revisions that are read of a log at a time."""
    monkeypatch.setattr(stored, "PIECE", request.param)
    return int(request.param)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds, st.booleans(), st.sampled_from([(0.1, 600), (0.1, 3 * 86_400)]))
def test_updates_write_the_very_file_that_a_build_of_everything_writes(
    piece: int, tmp_path_factory: pytest.TempPathFactory, seed: int, by_receipt: bool, late: tuple[float, int]
) -> None:
    tables = delayed(world(seed, devices=3), seed, share=late[0], seconds=late[1])
    home = open_home(tmp_path_factory.mktemp("update") / "home")
    for i, part in enumerate(parts(tables, seed, 4, by_receipt=by_receipt)):
        ingest(home, part, str(i))
        if i == 0:
            if home.log.scan_fixes().num_rows == 0:
                return
            rebuild(home.settings, home.log, RULES)
        else:
            took = update(home.settings, home.log, RULES)
            updated = bytes_of(home)
            rebuild_states = list(facts_file(home.settings, RULES.version).parent.glob("checkpoint-*"))
            rebuild(home.settings, home.log, RULES)
            facts = read_facts(home.settings, RULES.version)
            assert bytes_of(home) == updated
            assert len(rebuild_states) == (1 if took.records else 0)  # nothing new: nothing to save
            assert i < 3 or facts.equals(build_facts(*tables, RULES))


def test_an_update_goes_on_from_its_states_without_reading_old_records(tmp_path: Path) -> None:
    tables = world(4, devices=2)
    home = open_home(tmp_path / "home")
    first, second, third = parts(tables, 4, 3, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    ingest(home, second, "b")
    assert update(home.settings, home.log, RULES).records == second[0].num_rows + second[1].num_rows
    for segment in home.log.segments(upto=read_stored(home.settings, RULES).position):
        (home.settings.raw_dir / segment.path).unlink()  # not to be read again
    ingest(home, third, "c")
    done = update(home.settings, home.log, RULES)
    assert done.records == third[0].num_rows + third[1].num_rows
    assert done.rewritten == 0
    assert read_facts(home.settings, RULES.version).equals(build_facts(*tables, RULES))
    assert update(home.settings, home.log, RULES).records == 0


_KILLED = """
import os, signal, sys
from ingestion.facts import store, update as module
from ingestion.facts.rules import load_rules
from ingestion.raw.log import RawLog
from parked.opsdb.engine import open_database
from parked.settings import load_settings

def die(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "before the states":
    module.checkpoint.save = die
if sys.argv[2] == "before the log":
    module.write_facts = die
replace = os.replace

def replace_and_die(source, target):
    if os.path.basename(target) == "facts.parquet":
        if sys.argv[2] == "after the log":
            replace(source, target)
        die()
    replace(source, target)

if sys.argv[2] in ("between position and log", "after the log"):
    os.replace = replace_and_die
settings = load_settings(home=sys.argv[1])
module.update(settings, RawLog(settings, open_database(settings.database)), load_rules())
"""


@pytest.mark.parametrize(
    ("moment", "taken"),
    [
        ("before the states", False),
        ("before the log", False),
        ("between position and log", False),
        ("after the log", True),
    ],
)
def test_an_update_killed_at_any_moment_leaves_a_log_and_a_position_that_agree(
    tmp_path: Path, moment: str, taken: bool
) -> None:
    tables = world(5, devices=2)
    home = open_home(tmp_path / "home")
    first, second, third = parts(tables, 5, 3, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    before, position = bytes_of(home), read_stored(home.settings, RULES).position
    ingest(home, second, "b")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(home.settings.home), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (bytes_of(home) == before) is not taken
    assert read_stored(home.settings, RULES).position == (home.log.position() if taken else position)
    ingest(home, third, "c")
    update(home.settings, home.log, RULES)
    assert read_facts(home.settings, RULES.version).equals(build_facts(*tables, RULES))
    folder = facts_file(home.settings, RULES.version).parent
    assert not list(folder.glob(f".*{os.getpid()}*"))
    assert len(list(folder.glob("position-*"))) == 1  # what a killed one left goes with the next write


def test_the_file_is_the_same_bytes_however_the_records_were_cut_into_uploads(tmp_path: Path) -> None:
    tables = world(11, devices=3, late=0.1)
    files = set()
    for count in (1, 2, 5):
        home = open_home(tmp_path / str(count) / "home")
        for i, part in enumerate(parts(tables, count, count, by_receipt=False) if count > 1 else [tables]):
            ingest(home, part, str(i))
        rebuild(home.settings, home.log, RULES)
        files.add(bytes_of(home))
    assert len(files) == 1


def test_a_log_whose_position_is_lost_is_not_gone_on_with(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    ingest(home, world(6, devices=1), "a")
    rebuild(home.settings, home.log, RULES)
    for file in facts_file(home.settings, RULES.version).parent.glob("position-*"):
        file.unlink()
    with pytest.raises(ConflictError, match="parked facts build"):
        update(home.settings, home.log, RULES)
    rebuild(home.settings, home.log, RULES)
    assert update(home.settings, home.log, RULES).records == 0


def test_an_update_before_any_build_or_after_another_engine_says_what_to_run(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    ingest(home, world(6, devices=1), "a")
    with pytest.raises(InputError, match="parked facts build"):
        update(home.settings, home.log, RULES)
    rebuild(home.settings, home.log, RULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingestion.facts.kernel.VERSION", "another")
        with pytest.raises(ConflictError, match="parked facts build"):
            update(home.settings, home.log, RULES)
        rebuild(home.settings, home.log, RULES)
        update(home.settings, home.log, RULES)


def test_other_rules_of_a_stored_versions_name_neither_go_on_with_its_facts_nor_replace_them(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    ingest(home, world(6, devices=1), "a")
    rebuild(home.settings, home.log, RULES)
    before = facts_file(home.settings, RULES.version).read_bytes()
    changed = RULES.model_copy(update={"leg": RULES.leg.model_copy(update={"halt_s": 21.0})})
    for attempt in (update, rebuild):
        with pytest.raises(ConflictError, match="give it another version"):
            attempt(home.settings, home.log, changed)
    assert facts_file(home.settings, RULES.version).read_bytes() == before


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from([(0.1, 600), (0.1, 5 * 86_400)]))
def test_as_of_any_moment_stands_what_a_build_of_the_records_received_by_then_leaves(
    seed: int, late: tuple[float, int]
) -> None:
    tables = delayed(world(seed, devices=2), seed, share=late[0], seconds=late[1])
    log = build_facts(*tables, RULES)
    moments = np.asarray(tables[0]["received_at"].cast(pa.int64()))
    for moment in np.random.default_rng(seed).choice(moments, 8).tolist():
        then = build_facts(*(received_by(table, moment) for table in tables), RULES)
        known = as_of(log, moment)
        assert known.equals(as_of(then))
        assert set(known["fact_id"].to_pylist()) <= set(log["fact_id"].to_pylist())
    assert "RETRACTED" not in as_of(log)["status"].to_pylist()


@pytest.mark.parametrize("partial", [False, True])
def test_a_replay_mends_one_device_to_what_a_build_says_and_leaves_the_others(
    piece: int, tmp_path: Path, partial: bool
) -> None:
    tables = delayed(world(8, devices=3), 8, share=0.1, seconds=3600)
    home = open_home(tmp_path / "home")
    ingest(home, tables, "a")
    rebuild(home.settings, home.log, RULES)
    whole = read_facts(home.settings, RULES.version)
    good = bytes_of(home)
    position = read_stored(home.settings, RULES).position
    mine = whole.filter(pc.equal(whole["device_id"], "phone-1"))["available_at"].cast(pa.int64()).to_pylist()
    since = mine[len(mine) // 2]
    lost = pc.and_(
        pc.equal(whole["device_id"], "phone-1"), pc.greater_equal(whole["available_at"].cast(pa.int64()), since)
    )
    write_facts(home.settings, RULES, [whole.filter(pc.invert(lost))], position)
    assert bytes_of(home) != good
    done = replay(home.settings, home.log, RULES, "phone-1", since if partial else None)
    assert done.changed == pc.sum(lost).as_py()
    assert bytes_of(home) == good
    assert replay(home.settings, home.log, RULES, "phone-1").changed == 0


def test_a_partial_replay_refuses_to_build_on_a_past_that_raw_does_not_confirm(tmp_path: Path) -> None:
    tables = world(8, devices=2)
    home = open_home(tmp_path / "home")
    ingest(home, tables, "a")
    rebuild(home.settings, home.log, RULES)
    whole = read_facts(home.settings, RULES.version)
    position = read_stored(home.settings, RULES).position
    write_facts(home.settings, RULES, [whole.slice(1)], position)
    before = bytes_of(home)
    latest = max(whole["available_at"].cast(pa.int64()).to_pylist())
    with pytest.raises(ConflictError, match="without --since"):
        replay(home.settings, home.log, RULES, "phone-0", latest)
    assert bytes_of(home) == before
    with pytest.raises(NotFoundError, match="phone-9"):
        replay(home.settings, home.log, RULES, "phone-9")


def test_a_replay_takes_in_nothing_that_the_log_has_not_come_to_yet(tmp_path: Path) -> None:
    tables = world(9, devices=2)
    home = open_home(tmp_path / "home")
    first, second = parts(tables, 9, 2, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    before = bytes_of(home)
    ingest(home, second, "b")
    assert replay(home.settings, home.log, RULES, "phone-0").changed == 0
    assert bytes_of(home) == before
    update(home.settings, home.log, RULES)
    assert read_facts(home.settings, RULES.version).equals(build_facts(*tables, RULES))


@pytest.mark.parametrize("device", ["phone-0", "phone-1", "phone-2"])
def test_a_replay_of_a_device_that_the_log_lacks_puts_it_where_it_belongs(
    piece: int, tmp_path: Path, device: str
) -> None:
    home = open_home(tmp_path / "home")
    ingest(home, world(8, devices=3), "a")
    rebuild(home.settings, home.log, RULES)
    good, whole = bytes_of(home), read_facts(home.settings, RULES.version)
    position = read_stored(home.settings, RULES).position
    write_facts(home.settings, RULES, [whole.filter(pc.not_equal(whole["device_id"], device))], position)
    replay(home.settings, home.log, RULES, device)
    assert bytes_of(home) == good


def test_a_stored_log_is_read_in_pieces_of_whole_devices(piece: int, tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    ingest(home, world(8, devices=4), "a")
    rebuild(home.settings, home.log, RULES)
    whole = read_facts(home.settings, RULES.version).replace_schema_metadata(None)
    log = read_stored(home.settings, RULES)
    parts = list(stored.pieces(log.path))
    assert pa.concat_tables(parts).equals(whole)
    assert (len(parts) > 1) == (piece < 10**6)
    devices = [set(part["device_id"].to_pylist()) for part in parts]
    assert sum(len(some) for some in devices) == len(set.union(*devices)) == log.devices() == 4
    assert log.rows == whole.num_rows
    for device in ("phone-2", "phone-9"):
        assert log.of(device).equals(whole.filter(pc.equal(whole["device_id"], device)))


def test_a_damaged_log_is_named_and_stays(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    first, second = parts(world(8, devices=4), 8, 2, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    path = facts_file(home.settings, RULES.version)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 4 : len(whole) // 3] = bytes(len(whole) // 3 - len(whole) // 4)
    path.write_bytes(whole)
    path.with_name(position_file(path).name).write_text(f"{home.log.position()}\n", encoding="utf-8")
    ingest(home, second, "b")
    for attempt in (lambda: update(home.settings, home.log, RULES), lambda: forget(home.settings, "phone-0")):
        with pytest.raises(InputError, match=r"facts\.parquet: not a readable Parquet file"):
            attempt()
        assert path.read_bytes() == whole


def test_forgetting_a_device_leaves_nothing_of_it_and_all_of_the_others(piece: int, tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    first, second = parts(world(10, devices=3), 10, 2, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    ingest(home, second, "b")
    update(home.settings, home.log, RULES)
    whole = read_facts(home.settings, RULES.version)
    gone = forget(home.settings, "phone-1")
    left = read_facts(home.settings, RULES.version)
    assert gone == whole.num_rows - left.num_rows > 0
    assert left.equals(whole.filter(pc.not_equal(whole["device_id"], "phone-1")))
    assert not list(facts_file(home.settings, RULES.version).parent.glob("checkpoint-*"))
    assert read_stored(home.settings, RULES).position > 0


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_kernel_rows_and_the_table_say_the_same(seed: int) -> None:
    """What is read back from a stored log can be said again without changing a bit."""
    from ingestion.facts.table import to_table

    facts = build_facts(*delayed(world(seed, devices=2), seed, share=0.1, seconds=600), RULES)
    devices = sorted(set(facts["device_id"].to_pylist()))
    ids = {fact: i for i, fact in enumerate(dict.fromkeys(facts["fact_id"].to_pylist()))}
    anchors = [ids[fact] for fact in facts["fact_id"].to_pylist()]
    rows = rows_of(facts, anchors, {device: i for i, device in enumerate(devices)})
    never = np.full(len(devices), np.iinfo(np.int64).max)
    again = to_table(rows, devices, never, RULES.version)
    columns = [name for name in facts.column_names if name not in ("fact_id", "available_at")]
    key = [(name, "ascending") for name in ("device_id", "available_at", "kind", "started_at", "revision", "lat")]
    assert again.sort_by(key).select(columns).equals(facts.sort_by(key).select(columns))
    assert set(facts["kind"].to_pylist()) <= set(KINDS)
