"""Sources in order of device -> records, some groups at a time, read ahead in threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from ingestion.facts.ahead import in_order
from ingestion.facts.buffers import Buffers
from ingestion.facts.canonical import Records, Taker
from ingestion.facts.sources import Progress, Source
from parked.errors import InputError

HEAD: Final = 32_768
"""Places kept free before a piece, for the records of its first device that came with the piece before."""
AHEAD: Final = 4_000_000
"""Records that may be read ahead of who needs them, a thread one piece (40 bytes each)."""


@dataclass
class Piece:
    """The records of some groups of a source, in any order."""

    taker: Taker
    """that took them, and knows their devices' codes"""
    room: Records
    end: int
    """they are ``room[HEAD:end]``"""

    @property
    def records(self) -> Records:
        """The records; none if no row could be used."""
        return self.room[HEAD : self.end]

    def after(self, parts: Sequence[Records], buffers: Buffers) -> Records:
        """``parts`` and then the records, one after another; where they do not fit, the room is given back."""
        before = sum(map(len, parts))
        if before <= HEAD:
            np.concatenate(parts, out=self.room[HEAD - before : HEAD])
            return self.room[HEAD - before : self.end]
        together = np.concatenate([*parts, self.records], out=buffers.take(before + len(self.records)))
        buffers.give(self.room)
        return together


def pieces(
    source: Source, taker: Taker, rows: int, progress: Progress, buffers: Buffers, pool: Executor, threads: int
) -> Iterator[Piece]:
    """The records of a source that is ``by_device``, in pieces of ``rows`` rows, at least.

    taker: counts what is refused, pieces have takers of their own; threads: that ``pool`` has. Raises InputError where
    the rows are in another order than is known of their groups (by statistics that are false).
    """
    groups = list(_together(source.sizes, rows))
    most = max((sum(source.sizes[g] for g in some) for some in groups), default=0)
    tasks = (partial(_read, source, some, taker.sibling(), progress, buffers, most) for some in groups)
    greatest = ""
    for piece in in_order(tasks, pool, min(threads, AHEAD // max(1, most))):
        taker.count(piece.taker)
        if piece.taker.codes:
            if min(piece.taker.codes) < greatest:
                said = f"{source.name}: the statistics of its row groups are not those of the device ids in them"
                raise InputError(said, mend="write the file anew")
            greatest = max(piece.taker.codes)
        yield piece


def _together(sizes: Sequence[int], rows: int) -> Iterator[range]:
    """Groups one after another until they are of ``rows`` rows, again and again."""
    begin = held = 0
    for i, size in enumerate(sizes):
        held += size
        if held >= rows or i == len(sizes) - 1:
            yield range(begin, i + 1)
            begin, held = i + 1, 0


def _read(source: Source, groups: range, taker: Taker, progress: Progress, buffers: Buffers, most: int) -> Piece:
    room = buffers.take(HEAD + most)
    end = HEAD
    for group in groups:
        for part in source.records(taker, progress, group, room[end:]):
            end += len(part)
    return Piece(taker, room, end)
