"""Measurements -> canonical records by ascending ranges of devices, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ingestion.facts.canonical import Canonical, Records, Taker, canonical_of
from ingestion.facts.kernel.order import order_grouped
from ingestion.facts.kernel.types import RECORD
from ingestion.facts.sources import Progress, Source

RANGE = 262_144
"""Records of a range, at least, before it is handed on (a device is never cut)."""


class Buffers:
    """Memory for records, used again and again: new pages cost several times what filling them does."""

    def __init__(self) -> None:
        self._free: list[Records] = []

    def take(self, size: int) -> Records:
        """An array of ``size`` records of any content."""
        for i, buffer in enumerate(self._free):
            if len(buffer) >= size:
                return self._free.pop(i)[:size]
        return np.empty(max(size, RANGE + RANGE // 2), RECORD)[:size]

    def give(self, records: Records) -> None:
        """Take back what ``take`` gave (or a part of it)."""
        base = records
        while isinstance(base.base, np.ndarray):
            base = base.base
        if base.dtype == RECORD:
            self._free.append(base)


def ranges(
    sources: Sequence[Source],
    lag_s: float,
    scratch: Path,
    progress: Progress,
    refused: dict[str, int],
    buffers: Buffers,
    *,
    in_memory: int,
) -> Iterator[Canonical]:
    """Canonical records of all devices in ascending ranges; ``refused`` is filled with the rows that cannot be used.

    Depends on the rows only, not on their order: a range is cut where RANGE records are full. Rows in no order, up to
    ``in_memory`` (40 bytes each), are ordered there; more go through temporary files in ``scratch``. Who is done with a
    range may give its records back.
    """
    taker = Taker(lag_s=lag_s)
    rows = sum(source.rows for source in sources)
    if len(sources) == 1 and sources[0].by_device:
        yield from _alone(sources[0], taker, progress, buffers)
    elif all(source.by_device for source in sources):
        yield from _streamed(sources, taker, progress, buffers)
    elif rows <= in_memory:
        yield from _placed(sources, taker, progress, buffers)
    else:
        yield from _spilled(sources, taker, scratch, progress, buffers)
    refused.update(taker.refused)


def _alone(source: Source, taker: Taker, progress: Progress, buffers: Buffers) -> Iterator[Canonical]:
    """Ranges of a source in order of device, read to where they are used."""
    room, held = buffers.take(RANGE + source.largest), 0
    for group in range(source.groups):
        if held + source.largest > len(room):  # a device of many row groups
            room = np.concatenate([room[:held], np.empty(held + source.largest, RECORD)])
        held += sum(len(part) for part in source.records(taker, progress, group, room[held:]))
        if held < RANGE:
            continue
        # The device with the greatest id may go on in the next row group.
        newest = max(taker.codes)
        codes = {device: code for device, code in taker.codes.items() if device != newest}
        going = room["device"][:held] == taker.codes[newest]
        carried = int(np.count_nonzero(going))
        if not codes or not carried:
            continue
        if not going[held - carried :].all():
            room[:held] = room[:held][np.argsort(going, kind="stable")]
        done, rest = room[: held - carried], room[held - carried : held]
        room, held = buffers.take(RANGE + max(source.largest, carried)), carried
        room[:held] = rest
        room["device"][:held] = 0
        taker.restart({newest: 0})
        yield canonical_of(done, codes, {})
    if held:
        yield canonical_of(room[:held], dict(taker.codes), {})


def _by_device(source: Source, taker: Taker, progress: Progress, buffers: Buffers) -> Iterator[tuple[str, Records]]:
    """(device, records of it) in ascending order of device; a device may come in several pieces in a row."""
    room = buffers.take(source.largest)
    for group in range(source.groups):
        records = room[: sum(len(part) for part in source.records(taker, progress, group, room))]
        if not len(records):
            continue
        names = list(taker.codes)
        rank = np.empty(len(names), np.int64)
        rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        position = rank[records["device"]]
        if (position[1:] < position[:-1]).any():
            records = records[np.argsort(position, kind="stable")]
        cuts = [0, *(np.flatnonzero(np.diff(records["device"])) + 1).tolist(), len(records)]
        for lo, hi in pairwise(cuts):
            yield names[records["device"][lo]], records[lo:hi]
        taker.restart({})  # a code is good for a row group
    buffers.give(room)


def _streamed(sources: Sequence[Source], taker: Taker, progress: Progress, buffers: Buffers) -> Iterator[Canonical]:
    """Ranges of sources that are in order of device, merged device by device."""
    takers = [taker, *(taker.sibling() for _ in sources[1:])]
    streams = [_by_device(source, own, progress, buffers) for source, own in zip(sources, takers, strict=True)]
    heads = [next(stream, None) for stream in streams]
    room = buffers.take(RANGE + RANGE // 2)
    held = 0
    codes: dict[str, int] = {}
    while present := [head[0] for head in heads if head]:
        device = min(present)
        if held >= RANGE:
            yield canonical_of(room[:held], codes, {})
            room, held, codes = buffers.take(RANGE + RANGE // 2), 0, {}
        codes[device] = len(codes)
        for i, stream in enumerate(streams):
            while (head := heads[i]) and head[0] == device:
                piece = head[1]
                if held + len(piece) > len(room):
                    room = np.concatenate([room[:held], np.empty(held + len(piece), RECORD)])
                piece["device"] = codes[device]
                room[held : held + len(piece)] = piece
                held += len(piece)
                heads[i] = next(stream, None)
    if held:
        yield canonical_of(room[:held], codes, {})


def _placed(sources: Sequence[Source], taker: Taker, progress: Progress, buffers: Buffers) -> Iterator[Canonical]:
    """Ranges of sources in any order, in memory: each device's rows are counted, then put where they belong."""
    devices, counts = _counted(sources, taker)
    begins = np.cumsum([0, *counts])
    ends = begins[:-1].copy()  # where each device's next record goes
    everything = np.empty(begins[-1], RECORD)
    for source in sources:
        source.place(taker, progress, everything, ends)
    for begin, end in pairwise([*_starts(counts), len(devices)]):
        held = int((ends[begin:end] - begins[begin:end]).sum())
        records = buffers.take(held)
        bounds = order_grouped(everything, begins[begin:end], ends[begin:end], records)
        yield Canonical(devices[begin:end], bounds, records[: bounds[-1]], {})


def _spilled(
    sources: Sequence[Source], taker: Taker, scratch: Path, progress: Progress, buffers: Buffers
) -> Iterator[Canonical]:
    """Ranges of sources in any order, through temporary files."""
    devices, counts = _counted(sources, taker)
    starts = _starts(counts)
    which = np.repeat(np.arange(len(starts)), np.diff([*starts, len(devices)])).astype(np.uint16)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".facts-") as folder:
        files = [Path(folder) / f"{i:05d}" for i in range(len(starts))]
        for source in sources:
            for part in source.records(taker, progress):
                home = which[part["device"]]
                part = part[np.argsort(home, kind="stable")]
                cuts = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=len(files)))])
                for i in np.flatnonzero(np.diff(cuts)).tolist():
                    with files[i].open("ab") as handle:
                        part[cuts[i] : cuts[i + 1]].tofile(handle)
        for i, (begin, end) in enumerate(pairwise([*starts, len(devices)])):
            names = devices[begin:end]
            file = files[i]
            if not file.exists():
                continue
            records = buffers.take(file.stat().st_size // RECORD.itemsize)
            with file.open("rb") as handle:
                handle.readinto(records.view(np.uint8).data)
            file.unlink()
            records["device"] -= begin
            yield canonical_of(records, {name: code for code, name in enumerate(names)}, {})


def _counted(sources: Sequence[Source], taker: Taker) -> tuple[list[str], list[int]]:
    """Devices, ascending, which is their code from now on, and how many rows there are of each."""
    counts = np.zeros(0, np.int64)
    for source in sources:
        for table in source.tables(["device_id"]):
            found = np.bincount(taker.device(table["device_id"]) + 1, minlength=len(counts))
            found[: len(counts)] += counts
            counts = found
    of = {device: int(counts[code + 1]) for device, code in taker.codes.items()}
    devices = sorted(of)
    taker.restart({device: code for code, device in enumerate(devices)})
    return devices, [of[device] for device in devices]


def _starts(counts: Iterable[int]) -> list[int]:
    """First device of each range."""
    starts: list[int] = [0]
    held = 0
    for i, count in enumerate(counts):
        if held >= RANGE:
            starts.append(i)
            held = 0
        held += count
    return starts
