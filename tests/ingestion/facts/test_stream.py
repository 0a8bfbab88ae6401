"""Stream = batch: records one by one, in any batches, late by days, killed and restored: the facts of a build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.facts.build import build_facts
from ingestion.facts.canonical import Canonical, Records, canonicalise
from ingestion.facts.checkpoint import load, save
from ingestion.facts.kernel.stream import KEPT
from ingestion.facts.kernel.types import RECORD
from ingestion.facts.log import Log
from ingestion.facts.rules import load_rules
from ingestion.facts.stream import BYTES_PER_DEVICE, Changes, StopStream, arrival_order
from parked.errors import ConflictError, InputError, InternalError
from tests.ingestion.facts.worlds import START_US, world

RULES = load_rules()
seeds = st.integers(0, 2**32 - 1)


@dataclass
class Past:
    """The raw log, as a stream asks it."""

    everything: Canonical
    asked: int = 0

    def records(self, devices: list[str]) -> Canonical:
        assert devices
        self.asked += 1
        return self.everything


def delayed(tables: tuple[pa.Table, pa.Table], seed: int, *, share: float, seconds: int) -> tuple[pa.Table, pa.Table]:
    """The same measurements, a share of them received up to ``seconds`` later."""
    rng = np.random.default_rng(seed)
    out = []
    for table in tables:
        event = np.asarray(table["event_time"].cast(pa.int64()))
        delay = np.where(rng.random(len(event)) < share, rng.integers(0, seconds, len(event)), 0) * 1_000_000
        at = table.schema.get_field_index("received_at")
        field = table.schema.field(at)
        out.append(table.set_column(at, field, pa.array(event + delay).cast(field.type)))
    return out[0], out[1]


def started(tables: tuple[pa.Table, pa.Table]) -> tuple[StopStream, Past, Records]:
    everything = canonicalise(*tables)
    past = Past(everything)
    stream = StopStream(RULES, past, room=1)
    records = arrival_order(everything)
    records["device"] = stream.recode(everything)[records["device"]]
    return stream, past, records


def in_batches(records: Records, sizes: st.DataObject, most: int) -> list[Records]:
    cuts = sizes.draw(st.lists(st.integers(0, len(records)), max_size=most)) if len(records) else []
    return [part for part in np.split(records, sorted(cuts)) if len(part)]


def received_by(table: pa.Table, moment: int) -> pa.Table:
    return table.filter(pc.less_equal(table["received_at"].cast(pa.int64()), moment))


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([(0.0, 1), (0.1, 60), (0.3, 600), (0.1, 7200), (0.05, 5 * 86_400)]), st.data())
def test_any_split_into_batches_gives_the_log_of_one_build(
    seed: int, late: tuple[float, int], data: st.DataObject
) -> None:
    tables = delayed(world(seed, devices=2), seed, share=late[0], seconds=late[1])
    stream, _, records = started(tables)
    log = Log()
    for batch in in_batches(records, data, 30):
        log.take(stream.feed(batch))
    assert log.table(stream).equals(build_facts(*tables, RULES))


@settings(max_examples=10, deadline=None)
@given(seeds, st.sampled_from([(0.2, 90), (0.2, 3600)]))
def test_one_by_one_the_log_is_at_every_moment_what_a_build_of_the_records_so_far_says(
    seed: int, late: tuple[float, int]
) -> None:
    tables = delayed(world(seed, devices=1), seed, share=late[0], seconds=late[1])
    stream, _, records = started(tables)
    log = Log()
    checks = set(np.random.default_rng(seed).choice(len(records), min(25, len(records)), replace=False).tolist())
    for i in range(len(records)):
        log.take(stream.feed(records[i : i + 1]))
        moment = int(records["recv"][i])
        if i in checks and (i + 1 == len(records) or records["recv"][i + 1] > moment):
            then = build_facts(received_by(tables[0], moment), received_by(tables[1], moment), RULES)
            assert log.table(stream).equals(then)


@settings(max_examples=15, deadline=None)
@given(seeds, st.data())
def test_records_of_one_moment_may_come_one_by_one_in_any_order(seed: int, data: st.DataObject) -> None:
    """A phone uploads its hour at once; the gateway hands on the records as it likes."""
    fixes, motion = world(seed, devices=2)
    hour = 3_600_000_000

    def uploaded(table: pa.Table) -> pa.Table:
        event = np.asarray(table["event_time"].cast(pa.int64()))
        at = table.schema.get_field_index("received_at")
        field = table.schema.field(at)
        return table.set_column(at, field, pa.array((event // hour + 1) * hour).cast(field.type))

    tables = (uploaded(fixes), uploaded(motion))
    stream, _, records = started(tables)
    mixed = records[np.random.default_rng(seed).permutation(len(records))]
    mixed = mixed[np.argsort(mixed["recv"], kind="stable")]
    log = Log()
    for batch in in_batches(mixed, data, 60):
        log.take(stream.feed(batch))
    assert log.table(stream).equals(build_facts(*tables, RULES))


@settings(max_examples=15, deadline=None)
@given(seeds, st.data())
def test_what_is_received_before_what_was_fed_already_rewrites_the_log_from_there(
    seed: int, data: st.DataObject
) -> None:
    """Imported history: moments of receipt that lie before ones already told."""
    tables = delayed(world(seed, devices=2), seed, share=0.2, seconds=3600)
    stream, past, records = started(tables)
    mixed = records[np.random.default_rng(seed).permutation(len(records))]
    log = Log()
    for batch in in_batches(mixed, data, 12):
        log.take(stream.feed(batch))
    assert log.table(stream).equals(build_facts(*tables, RULES))
    assert past.asked or len(records) < 2 or (np.diff(mixed["recv"]) >= 0).all()


def test_a_device_has_one_code_whoever_asks_and_with_whom() -> None:
    stream = StopStream(load_rules(), room=2)
    assert stream.codes_of([]).tolist() == []
    assert stream.codes_of(["b"]).tolist() == [0]
    assert stream.codes_of(["a", "b", "c", "a"]).tolist() == [1, 0, 2, 1]
    assert stream.codes_of(["c", "a", "b"]).tolist() == [2, 1, 0] == [stream.code(device) for device in "cab"]
    assert (stream.codes_of(["c", "a"]).dtype, stream.devices) == (np.int32, ["b", "a", "c"])


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_copies_change_nothing(seed: int) -> None:
    tables = delayed(world(seed, devices=2), seed, share=0.2, seconds=300)
    stream, _, records = started(tables)
    rng = np.random.default_rng(seed)
    log = Log()
    for at in range(0, len(records), 50):
        batch = records[at : at + 50]
        log.take(stream.feed(batch))
        again = records[rng.integers(0, at + len(batch), 10)].copy()
        again["recv"] = batch["recv"].max()
        said = stream.feed(again)
        log.take(said)
    assert log.table(stream).equals(build_facts(*tables, RULES))


@settings(max_examples=12, deadline=None)
@given(seeds, st.data())
def test_killed_and_restored_at_random_moments_it_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, seed: int, data: st.DataObject
) -> None:
    """What was fed after the checkpoint is fed again: the position says from where."""
    tables = delayed(world(seed, devices=2), seed, share=0.1, seconds=600)
    stream, past, records = started(tables)
    folder = tmp_path_factory.mktemp("stream")
    file = folder / "checkpoint"
    save(stream, file, 0)
    told: list[tuple[int, Changes]] = []
    at = 0
    while at < len(records):
        size = data.draw(st.integers(1, 80))
        told.append((at, stream.feed(records[at : at + size])))
        at = min(at + size, len(records))
        happens = data.draw(st.sampled_from(["go on", "save", "kill"]))
        if happens == "save":
            save(stream, file, at)
        elif happens == "kill":
            stream, at = load(file, RULES, past)
            told = [(begin, changes) for begin, changes in told if begin < at]
    log = Log()
    for _, changes in told:
        log.take(changes)
    assert log.table(stream).equals(build_facts(*tables, RULES))


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 3))
def test_devices_spread_over_any_number_of_streams_have_the_same_facts(seed: int, workers: int) -> None:
    tables = delayed(world(seed, devices=4), seed, share=0.1, seconds=600)
    together = build_facts(*tables, RULES)
    parts = []
    for worker in range(workers):
        mine = pa.array([d for d in ("phone-0", "phone-1", "phone-2", "phone-3") if int(d[-1]) % workers == worker])
        own = [table.filter(pc.is_in(table["device_id"], mine)) for table in tables]
        stream, _, records = started((own[0], own[1]))
        log = Log()
        log.take(stream.feed(records))
        parts.append(log.table(stream))
    joined = pa.concat_tables(parts)
    order = pc.sort_indices(joined, sort_keys=[("device_id", "ascending")])  # stable: a device is whole
    assert joined.take(order).equals(together)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_a_stream_that_adopts_a_history_goes_on_as_if_it_had_been_there(seed: int) -> None:
    tables = delayed(world(seed, devices=2), seed, share=0.1, seconds=600)
    everything = canonicalise(*tables)
    moments = np.sort(everything.records["recv"])
    moment = int(moments[len(moments) // 2])
    early = canonicalise(*(received_by(table, moment) for table in tables))
    stream = StopStream(RULES, Past(everything))
    early.records["device"] = stream.recode(early)[early.records["device"]]
    stream.adopt(early.records)
    rest = arrival_order(everything)
    rest = rest[rest["recv"] > moment]
    rest["device"] = stream.recode(everything)[rest["device"]]
    log = Log()
    log.take(stream.feed(rest))
    whole = build_facts(*tables, RULES)
    told = log.table(stream).drop_columns(["revision"])
    news = whole.filter(pc.greater(whole["available_at"].cast(pa.int64()), moment)).drop_columns(["revision"])
    known = set(map(str, told.to_pylist()))
    # A retraction of what was said before the stream began repeats it, which only the whole log knows.
    missing = [row for row in news.to_pylist() if str(row) not in known and row["status"] != "RETRACTED"]
    assert not missing


def test_nothing_final_changes_without_a_revision() -> None:
    tables = delayed(world(11, devices=3), 11, share=0.2, seconds=2 * 86_400)
    stream, _, records = started(tables)
    log = Log()
    final: dict[str, dict[str, object]] = {}
    for at in range(0, len(records), 40):
        log.take(stream.feed(records[at : at + 40]))
        rows = log.table(stream).to_pylist()
        last = {row["fact_id"]: row for row in sorted(rows, key=lambda r: r["revision"])}
        for fact, before in final.items():
            now = last[fact]
            assert now["revision"] > before["revision"] or now == before
        final = {fact: row for fact, row in last.items() if row["status"] == "FINAL"}
    assert final


def test_a_year_of_records_leaves_a_state_of_the_same_size() -> None:
    stream = StopStream(RULES, room=1)
    code = stream.code("phone")
    size = sum(array.nbytes for array in stream.arrays())
    assert size == BYTES_PER_DEVICE
    said = 0
    for day in range(365):
        records = np.zeros(1440, RECORD)
        records["device"] = code
        records["t"] = START_US // 1000 + day * 86_400_000 + np.arange(1440) * 60_000
        records["recv"] = records["t"] * 1000
        hour = np.arange(1440) // 60
        records["lat"] = 501_000_000 + np.where((hour == 8) | (hour == 18), np.arange(1440) % 60, 0) * 50_000
        records["lon"], records["acc"], records["v"], records["act"] = 86_000_000, 8.0, np.nan, -1
        said += len(stream.feed(records).rows)
    assert said > 365
    assert sum(array.nbytes for array in stream.arrays()) == size


def test_without_a_history_a_record_too_late_is_refused_by_name() -> None:
    _, _, records = started(world(5, devices=1))
    stream = StopStream(RULES)
    stream.code("phone-0")
    late = records[:1].copy()
    late["recv"] = records["recv"].max()
    late["t"] += 1
    assert len(records) > KEPT
    stream.feed(records)
    with pytest.raises(InternalError, match="phone-0"):
        stream.feed(late)


def test_a_checkpoint_of_other_rules_is_refused_with_the_mend(tmp_path: Path) -> None:
    stream, _, records = started(world(3, devices=1))
    stream.feed(records)
    save(stream, tmp_path / "c", 7)
    other = RULES.model_copy(update={"leg": RULES.leg.model_copy(update={"halt_s": 21.0})})
    with pytest.raises(ConflictError, match="parked facts build"):
        load(tmp_path / "c", other)
    assert load(tmp_path / "c", RULES)[1] == 7


@pytest.mark.parametrize("harm", ["cut", "flip", "other"])
def test_a_damaged_checkpoint_is_refused_with_the_mend(tmp_path: Path, harm: str) -> None:
    stream, _, records = started(world(3, devices=1))
    stream.feed(records)
    save(stream, tmp_path / "c", 7)
    data = bytearray((tmp_path / "c").read_bytes())
    middle = len(data) // 2
    if harm == "flip":
        data[middle] ^= 0xFF
    (tmp_path / "c").write_bytes({"cut": data[:middle], "flip": data, "other": b"hello"}[harm])
    with pytest.raises(InputError, match="parked facts build"):
        load(tmp_path / "c", RULES)
