"""``parked facts update``: the stored log goes on from where it ended, with what raw took in since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from ingestion.facts import checkpoint
from ingestion.facts.canonical import Canonical, Records
from ingestion.facts.log import Log
from ingestion.facts.raw import Raw, raw_ranges, raw_records
from ingestion.facts.rules import Rules
from ingestion.facts.splice import splice
from ingestion.facts.store import checkpoint_file, read_stored, write_facts, writing
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

    Raises InputError where nothing was built yet, ConflictError where another engine or other rules built it.
    """
    with writing(settings, rules):
        stored = read_stored(settings, rules)
        facts = stored.facts
        upto = raw.position()
        if upto == stored.position:
            return Updated(0, facts.num_rows, facts.num_rows, 0)
        progress(0, total=3)
        stream = _stream(settings, raw, rules, stored.position, pc.count_distinct(facts["device_id"]).as_py())
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
        whole = splice(facts, log, stream)
        progress(1)
        checkpoint.save(stream, checkpoint_file(settings, rules.version, upto), upto)
        write_facts(settings, rules, whole, upto)
        progress(1)
        return Updated(len(records), facts.num_rows, whole.num_rows, len(log.cut))


def _no_longer_stated(stream: StopStream, records: Records) -> list[str]:
    """Devices whose facts may rest on stated arrivals from a later moment on than the stream knows: a record observed
    at the very moment of the first may be a copy of that to the kernel, which then counts as observed.
    """
    tied = ~records["stated"] & (records["recv"] == stream.stated()[records["device"]])
    return [stream.devices[code] for code in np.unique(records["device"][tied]).tolist()]


def _stream(settings: Settings, raw: Raw, rules: Rules, position: int, devices: int) -> StopStream:
    """The states at a position: as saved, else made from raw by ranges of devices. ``devices``: how many, about."""
    file = checkpoint_file(settings, rules.version, position)
    if file.exists():
        return checkpoint.load(file, rules)[0]
    stream = StopStream(rules, room=max(64, devices))
    with scratch_folder(file.parent) as scratch:
        for past in raw_ranges(raw, position, scratch):
            past.records["device"] = stream.recode(past)[past.records["device"]]
            stream.adopt(past.records)
    return stream
