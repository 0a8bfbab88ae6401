"""Which records the raw log already holds, and how well: an in-memory index of content hashes, 24 bytes a record."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ingestion.raw.content import Hashes

Mask = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int64]
"""Which of two receipts of one record counts: the one of lower rank (see ``ranks_of``)."""

UNKNOWN: Final = np.iinfo(np.int64).max
"""The rank of what was never received."""


def ranks_of(received_at: Any, as_if_live: Any) -> Ranks:
    """Ranks of receipts (Arrow columns without nulls): the earlier counts; of one moment, one not stated as if live."""
    received_us = np.asarray(received_at.cast("int64"), dtype=np.int64)
    return 2 * received_us + np.asarray(as_if_live.cast("int64"), dtype=np.int64)


class Seen:
    """128-bit hashes, each with the lowest rank it was added with. Sorted runs of geometrically growing size (as in a
    log-structured merge tree, O'Neil 1996): adding costs amortised O(log n) per hash, a lookup one binary search in
    each of O(log n) runs.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Hashes, Ranks]] = []

    def __len__(self) -> int:
        return sum(len(ranks) for _, ranks in self._runs)

    def add(self, hashes: Hashes, ranks: Ranks) -> None:
        """Add hashes with their ranks (each new or not; a repeat in another run costs memory, not truth)."""
        if not len(ranks):
            return
        run = _sorted(hashes, ranks)
        while self._runs and len(self._runs[-1][1]) <= 2 * len(run[1]):
            last = self._runs.pop()
            both = Hashes(np.concatenate([last[0].high, run[0].high]), np.concatenate([last[0].low, run[0].low]))
            run = _sorted(both, np.concatenate([last[1], run[1]]))  # merges two sorted halves in linear time
        self._runs.append(run)

    def ranks(self, hashes: Hashes) -> Ranks:
        """The lowest rank each of ``hashes`` was added with, UNKNOWN where it was not; in their order."""
        found = np.full(len(hashes.high), UNKNOWN, dtype=np.int64)
        if not self._runs or not len(found):
            return found
        order = np.argsort(hashes.high)  # neighbours search the same cache lines
        high, low = hashes.high[order], hashes.low[order]
        for run, ranks in self._runs:
            place = np.searchsorted(run.high, high)
            np.minimum(place, len(run.high) - 1, out=place)
            # Of several hashes that share 64 bits only the first is compared in full: an event of odds 1e-7 in a
            # million records, whose cost is one re-sent record kept twice (the fact kernel drops it), never a loss.
            held = (run.high[place] == high) & (run.low[place] == low)
            found[order] = np.minimum(found[order], np.where(held, ranks[place], UNKNOWN))
        return found


def best_of_each(hashes: Hashes, ranks: Ranks) -> Mask:
    """Keeps one of each set of equal hashes: that of the lowest rank, then the first in order."""
    order = np.argsort(hashes.high)
    high = hashes.high[order]
    twin = np.zeros(len(high), dtype=np.bool_)
    same = high[1:] == high[:-1]
    twin[1:] |= same
    twin[:-1] |= same
    keep = np.ones(len(high), dtype=np.bool_)
    rows = order[twin]
    if len(rows):
        ranked = rows[np.lexsort((rows, ranks[rows], hashes.low[rows], hashes.high[rows]))]
        repeat = (hashes.high[ranked[1:]] == hashes.high[ranked[:-1]]) & (
            hashes.low[ranked[1:]] == hashes.low[ranked[:-1]]
        )
        keep[ranked[1:][repeat]] = False
    return keep


def _sorted(hashes: Hashes, ranks: Ranks) -> tuple[Hashes, Ranks]:
    """In order of hash, each once."""
    order = np.argsort(hashes.high, kind="stable")
    hashes, ranks = hashes.take(order), ranks[order]
    if (hashes.high[1:] == hashes.high[:-1]).any():
        once = best_of_each(hashes, ranks)
        return hashes.take(once), ranks[once]
    return hashes, ranks
