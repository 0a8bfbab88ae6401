"""The log of milestones -> revisions: of each fact what stood at each moment, numbered, named and in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ingestion.facts.kernel.arrivals import same
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.order import rising_order
from ingestion.facts.kernel.types import HALT, RETRACTED, STOP


@njit()
def _mix(x: Any) -> Any:
    """splitmix64's finaliser: every bit of uint64 ``x`` moves every bit of the result (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit()
def _name(row: Any, prefixes: Any) -> Any:
    """128-bit name of a row's fact: two uint64, its device's (and the rules' version's) and, within these, its own.

    So the facts of a device lie side by side wherever rows are kept by name, and their names' first half is said once
    for many.
    """
    key = np.uint64(row.anchor) * np.uint64(4) + np.uint64(row.kind)
    device = prefixes[row.device, 0]
    return device, _mix(prefixes[row.device, 1] ^ _mix(key + np.uint64(0x9E3779B97F4A7C15)))


@njit()
def _rank(kind: int) -> int:
    """Position of a kind's name in the alphabet: halt, stop, vehicle_left."""
    return 0 if kind == HALT else 1 if kind == STOP else 2


@njit()
def _after(rows: Any, i: int, j: int, prefixes: Any) -> bool:
    """Whether row i comes after row j, both of one device: by (known, kind, start, name)."""
    a, b = rows[i], rows[j]
    if a.known != b.known:
        return a.known > b.known
    if a.kind != b.kind:
        return _rank(a.kind) > _rank(b.kind)
    if a.start != b.start:
        return a.start > b.start
    if a.anchor == b.anchor:
        return False
    return _name(a, prefixes) > _name(b, prefixes)


@njit()
def revised(rows: Any, prefixes: Any) -> Any:
    """(positions, revision numbers, names) of the rows that are revisions, in the order of ``FACTS``.

    rows: ROW array grouped by device, in order of moment within; prefixes: uint64 [devices, 2]; names: uint64 [n, 2].
    Within one moment the last word of a fact counts; a fact that was never visible cannot be retracted; a word said
    twice is no revision. A retraction repeats what it takes back (``rows`` is changed to say so).
    """
    kept = np.empty(len(rows), np.int64)
    revision = np.empty(len(rows), np.int32)
    n = 0
    lo = 0
    while lo < len(rows):
        hi = lo + 1
        while hi < len(rows) and rows[hi].device == rows[lo].device:
            hi += 1
        keys = rows[lo:hi].anchor * 4 + rows[lo:hi].kind
        order = rising_order(keys)
        begin = n
        number = 0
        for i in range(hi - lo):
            at = lo + order[i]
            new = i == 0 or keys[order[i - 1]] != keys[order[i]]
            if new:
                number = 0
            follows = i + 1 < hi - lo and keys[order[i + 1]] == keys[order[i]]
            if follows and rows[lo + order[i + 1]].known == rows[at].known:
                continue
            if number == 0:
                if rows[at].status == RETRACTED:
                    continue
            elif same(rows[kept[n - 1]], rows[at]) or (
                rows[at].status == RETRACTED and rows[kept[n - 1]].status == RETRACTED
            ):
                continue
            if rows[at].status == RETRACTED:
                # What is taken back is what was said last, whichever way led here.
                known = rows[at].known
                rows[at] = rows[kept[n - 1]]
                rows[at].known = known
                rows[at].status = RETRACTED
            number += 1
            kept[n] = at
            revision[n] = number
            n += 1
        # In order of moment; what shares a moment is few.
        moments = np.empty(n - begin, np.int64)
        for i in range(begin, n):
            moments[i - begin] = rows[kept[i]].known
        order = rising_order(moments)
        there, numbers = kept[begin:n].copy(), revision[begin:n].copy()
        for i in range(n - begin):
            at, number = there[order[i]], numbers[order[i]]
            j = begin + i
            while j > begin and _after(rows, kept[j - 1], at, prefixes):
                kept[j], revision[j] = kept[j - 1], revision[j - 1]
                j -= 1
            kept[j], revision[j] = at, number
        lo = hi
    return kept[:n], revision[:n], names_of(rows, kept[:n], prefixes)


@njit()
def names_of(rows: Any, at: Any, prefixes: Any) -> Any:
    """uint64 [n, 2]: the names of the facts of the rows at positions ``at`` (int64 [n])."""
    names = np.empty((len(at), 2), np.uint64)
    for i in range(len(at)):
        names[i, 0], names[i, 1] = _name(rows[at[i]], prefixes)
    return names


@njit()
def hexadecimal(names: Any) -> Any:
    """uint8 [n * 32]: the names as lower-case hexadecimal text, one after another."""
    text = np.empty(len(names) * 32, np.uint8)
    for i in range(len(names)):
        for half in range(2):
            value = names[i, half]
            for digit in range(16):
                nibble = (value >> np.uint64(60 - 4 * digit)) & np.uint64(15)
                text[i * 32 + half * 16 + digit] = nibble + (48 if nibble < 10 else 87)
    return text
