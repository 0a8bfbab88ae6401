"""``parked facts update``: the stored log goes on from where it ended, with what raw took in since."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingestion.facts import checkpoint
from ingestion.facts.canonical import Canonical, Records
from ingestion.facts.log import Log, in_alphabet
from ingestion.facts.raw import Raw, raw_ranges, raw_records
from ingestion.facts.rules import Rules
from ingestion.facts.splice import splice
from ingestion.facts.store import checkpoint_file, read_stored, write_facts, writing
from ingestion.facts.stored import Stored
from ingestion.facts.stream import StopStream, arrival_order
from parked.scratch import scratch_folder
from parked.settings import Settings


@dataclass(frozen=True)
class Updated:
    """What an update did."""

    records: int
    """raw records taken in"""
    before: int
    after: int
    """revisions in the log before and after"""
    rewritten: int
    """devices whose history was asked: records that came very late, or were received before what was known already, or
    earlier than was known of them"""


@dataclass(frozen=True)
class _RawHistory:
    raw: Raw
    upto: int

    def records(self, devices: list[str]) -> Canonical:
        """All raw records of some devices."""
        return raw_records(self.raw, devices, upto=self.upto)


def update(
    settings: Settings, raw: Raw, rules: Rules, *, progress: Callable[..., None] = lambda *_a, **_k: None
) -> Updated:
    """Take in what became visible in raw since the stored log's position; the log is then what a build would write.

    Raises InputError where nothing was built yet, ConflictError as ``read_stored``.
    """
    with writing(settings, rules):
        upto = raw.position()
        stored = read_stored(settings, rules, upto)
        before = stored.rows
        if upto == stored.position:
            return Updated(0, before, before, 0)
        progress(0, total=3)
        stream = _stream(settings, raw, rules, stored)
        stream.history = _RawHistory(raw, upto)
        progress(1)
        news = raw_records(raw, after=stored.position, upto=upto)
        records = arrival_order(news)
        records["device"] = stream.recode(news)[records["device"]]
        renewed = raw.received_earlier(after=stored.position, upto=upto)
        renewed = sorted({*renewed, *_no_longer_stated(stream, records)})
        log = Log()
        log.take(stream.feed(records[~np.isin(records["device"], [stream.code(device) for device in renewed])]))
        log.take(stream.renew(renewed))
        progress(1)
        checkpoint.save(stream, checkpoint_file(settings, rules.version, upto), upto)
        write_facts(settings, rules, _spliced(stored, log, stream), upto)
        progress(1)
        return Updated(len(records), before, stored.rows, len(log.cut))


def _spliced(stored: Stored, log: Log, stream: StopStream) -> Iterator[pa.Table]:
    """The stored log with what the stream said since, by ranges of devices."""
    devices, rank = in_alphabet(stream.devices)

    def change(part: pa.Table, after: str | None, upto: str | None) -> pa.Table:
        begin = 0 if after is None else bisect_right(devices, after)
        end = len(devices) if upto is None else bisect_right(devices, upto)
        return splice(part, log.part((begin <= rank) & (rank < end)), stream)

    return stored.changed(change)


def _no_longer_stated(stream: StopStream, records: Records) -> list[str]:
    """Devices whose facts may rest on stated arrivals from a later moment on than the stream knows: a record observed
    at the very moment of the first may be a copy of that to the kernel, which then counts as observed.
    """
    tied = ~records["stated"] & (records["recv"] == stream.stated()[records["device"]])
    return [stream.devices[code] for code in np.unique(records["device"][tied]).tolist()]


def _stream(settings: Settings, raw: Raw, rules: Rules, stored: Stored) -> StopStream:
    """The states at a log's position: as saved, else made from raw by ranges of devices."""
    file = checkpoint_file(settings, rules.version, stored.position)
    if file.exists():
        return checkpoint.load(file, rules)[0]
    stream = StopStream(rules, room=max(64, stored.devices()))
    with scratch_folder(file.parent) as scratch:
        for past in raw_ranges(raw, stored.position, scratch):
            past.records["device"] = stream.recode(past)[past.records["device"]]
            stream.adopt(past.records)
    return stream
