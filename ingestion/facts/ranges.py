"""Measurements -> canonical records by ascending ranges of devices, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from ingestion.facts.buffers import Buffers
from ingestion.facts.canonical import Canonical, Records, Taker, canonical_of
from ingestion.facts.kernel.order import order_grouped
from ingestion.facts.kernel.types import RECORD
from ingestion.facts.pieces import Piece, pieces
from ingestion.facts.sources import Progress, Source

RANGE = 262_144
"""Records of a range, at least, before it is handed on (a device is never cut)."""
Part = Callable[[], Canonical]
"""What makes a range's canonical records: to be called once, in any thread."""


def ranges(
    sources: Sequence[Source],
    lag_s: float,
    scratch: Path,
    progress: Progress,
    refused: dict[str, int],
    buffers: Buffers,
    pool: Executor,
    *,
    threads: int,
    in_memory: int,
) -> Iterator[Part]:
    """Canonical records of all devices in ascending ranges; ``refused`` is filled with the rows that cannot be used.

    A range has about RANGE records, or more; a device is in one. Rows in no order, up to ``in_memory`` (40
    bytes each), are ordered there; more go through temporary files in ``scratch``. Who is done with a range may give
    its records back. ``pool`` (of so many ``threads``) reads ahead; ``progress`` is called in them.
    """
    taker = Taker(lag_s=lag_s)
    rows = sum(source.rows for source in sources)
    if all(source.by_device for source in sources):
        read = [pieces(source, taker, RANGE, progress, buffers, pool, threads) for source in sources]
        yield from _alone(read[0], buffers) if len(read) == 1 else _merged(read, buffers)
    elif rows <= in_memory:
        yield from _placed(sources, taker, progress, buffers, pool)
    else:
        yield from _spilled(sources, taker, scratch, progress, buffers)
    refused.update(taker.refused)


def one_by_one(sources: Sequence[Source], scratch: Path, progress: Progress, *, in_memory: int) -> Iterator[Canonical]:
    """The ranges for who takes one after another and gives nothing back; what cannot be used is passed over."""
    with ThreadPoolExecutor(1, "facts") as pool:
        for part in ranges(sources, 0.0, scratch, progress, {}, Buffers(), pool, threads=1, in_memory=in_memory):
            yield part()


def _alone(read: Iterable[Piece], buffers: Buffers) -> Iterator[Part]:
    """Ranges of a source in order of device, where its pieces were read to."""
    newest = ""  # the greatest device so far, which may go on in the next piece, and what there is of it
    held: list[Records] = []
    for piece in read:
        codes, records = piece.taker.codes, piece.records
        if not len(records):
            buffers.give(piece.room)
            continue
        greatest = max(codes)
        if held and greatest == newest:
            held.append(records)
            continue
        if held:
            code = codes.setdefault(newest, len(codes))
            for part in held:
                part["device"] = code
            records = piece.after(held, buffers)
        going = records["device"] == codes[greatest]
        done = len(records) - int(np.count_nonzero(going))
        if not going[done:].all():
            records[:] = records[np.argsort(going, kind="stable")]
        newest, held = greatest, [records[done:].copy()]
        del codes[greatest]
        if done:
            yield partial(canonical_of, records[:done], codes, {})
        else:
            buffers.give(piece.room)
    if held:
        last = held[0] if len(held) == 1 else np.concatenate(held)
        last["device"] = 0
        yield partial(canonical_of, last, {newest: 0}, {})


def _by_device(read: Iterable[Piece], buffers: Buffers) -> Iterator[tuple[str, Records]]:
    """(device, records of it) in ascending order of device; a device may come several times in a row."""
    for piece in read:
        names, records = list(piece.taker.codes), piece.records
        rank = np.empty(len(names), np.int64)
        rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        position = rank[records["device"]]
        if (position[1:] < position[:-1]).any():
            records = records[np.argsort(position, kind="stable")]
        cuts = [0, *(np.flatnonzero(np.diff(records["device"])) + 1).tolist(), len(records)]
        for lo, hi in pairwise(cuts) if len(records) else ():
            yield names[records["device"][lo]], records[lo:hi]
        buffers.give(piece.room)


def _merged(read: Sequence[Iterator[Piece]], buffers: Buffers) -> Iterator[Part]:
    """Ranges of sources that are in order of device, merged device by device."""
    streams = [_by_device(own, buffers) for own in read]
    heads = [next(stream, None) for stream in streams]
    room = buffers.take(RANGE + RANGE // 2)
    held = 0
    codes: dict[str, int] = {}
    while present := [head[0] for head in heads if head]:
        device = min(present)
        if held >= RANGE:
            yield partial(canonical_of, room[:held], codes, {})
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
        yield partial(canonical_of, room[:held], codes, {})


def _placed(
    sources: Sequence[Source], taker: Taker, progress: Progress, buffers: Buffers, pool: Executor
) -> Iterator[Part]:
    """Ranges of sources in any order, in memory: each device's rows are counted, then put where they belong."""
    devices, counts = _counted(sources, taker)
    begins = np.cumsum([0, *counts])
    ends = begins[:-1].copy()  # where each device's next record goes
    everything = np.empty(begins[-1], RECORD)
    for source in sources:
        source.place(taker, progress, everything, ends, pool)

    def ordered(begin: int, end: int) -> Canonical:
        records = buffers.take(int((ends[begin:end] - begins[begin:end]).sum()))
        bounds = order_grouped(everything, begins[begin:end], ends[begin:end], records)
        return Canonical(devices[begin:end], bounds, records[: bounds[-1]], {})

    for begin, end in pairwise([*_starts(counts), len(devices)]):
        yield partial(ordered, begin, end)


def _spilled(
    sources: Sequence[Source], taker: Taker, scratch: Path, progress: Progress, buffers: Buffers
) -> Iterator[Part]:
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
            yield partial(canonical_of, records, {name: code for code, name in enumerate(names)}, {})


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
