"""Which records the raw log already holds: an in-memory index of content hashes, 16 bytes a record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingestion.raw.content import Hashes

Mask = npt.NDArray[np.bool_]


class Seen:
    """A set of 128-bit hashes. Sorted runs of geometrically growing size (as in a log-structured merge tree, O'Neil
    1996): adding costs amortised O(log n) per hash, a lookup one binary search in each of O(log n) runs.
    """

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def __len__(self) -> int:
        return sum(len(run.high) for run in self._runs)

    def add(self, hashes: Hashes) -> None:
        """Add hashes (each new to the set or not: a repeat costs memory, not truth)."""
        if not len(hashes.high):
            return
        run = hashes.take(np.argsort(hashes.high))
        while self._runs and len(self._runs[-1].high) <= 2 * len(run.high):
            last = self._runs.pop()
            both = Hashes(np.concatenate([last.high, run.high]), np.concatenate([last.low, run.low]))
            run = both.take(np.argsort(both.high, kind="stable"))  # merges two sorted halves in linear time
        self._runs.append(run)

    def contains(self, hashes: Hashes) -> Mask:
        """Which of ``hashes`` are in the set, in their order."""
        found = np.zeros(len(hashes.high), dtype=np.bool_)
        if not self._runs or not len(found):
            return found
        order = np.argsort(hashes.high)  # neighbours search the same cache lines
        high, low = hashes.high[order], hashes.low[order]
        for run in self._runs:
            place = np.searchsorted(run.high, high)
            np.minimum(place, len(run.high) - 1, out=place)
            # Of several hashes that share 64 bits only the first is compared in full: an event of odds 1e-7 in a
            # million records, whose cost is one re-sent record kept twice (the fact kernel drops it), never a loss.
            found[order] |= (run.high[place] == high) & (run.low[place] == low)
        return found


def first_of_each(hashes: Hashes, received_us: npt.NDArray[np.int64]) -> Mask:
    """Keeps one of each set of equal hashes: the first received, then the first in order."""
    order = np.argsort(hashes.high)
    high = hashes.high[order]
    twin = np.zeros(len(high), dtype=np.bool_)
    same = high[1:] == high[:-1]
    twin[1:] |= same
    twin[:-1] |= same
    keep = np.ones(len(high), dtype=np.bool_)
    rows = order[twin]
    if len(rows):
        ranked = rows[np.lexsort((rows, received_us[rows], hashes.low[rows], hashes.high[rows]))]
        repeat = (hashes.high[ranked[1:]] == hashes.high[ranked[:-1]]) & (
            hashes.low[ranked[1:]] == hashes.low[ranked[:-1]]
        )
        keep[ranked[1:][repeat]] = False
    return keep
