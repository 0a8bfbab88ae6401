"""Records of any order -> canonical order (device, time, fixes first, best accuracy, ...), copies dropped."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ingestion.facts.kernel.geometry import unwrap
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.types import RECORD

_SMALL: Final = 48


@njit()
def rises(records: Any) -> bool:
    """Whether (device, t) strictly rises: then the records are in canonical order already."""
    for i in range(1, len(records)):
        a, b = records[i - 1], records[i]
        if b.device < a.device or (b.device == a.device and b.t <= a.t):
            return False
    return True


@njit()
def bounds_of(records: Any, devices: int) -> Any:
    """int64 [devices + 1]: device d holds records [b[d], b[d + 1]) of records grouped by device."""
    bounds = np.zeros(devices + 1, np.int64)
    for i in range(len(records)):
        bounds[records[i].device + 1] += 1
    for d in range(devices):
        bounds[d + 1] += bounds[d]
    return bounds


@njit()
def rising_order(keys: Any) -> Any:
    """Stable order (int64 positions) that makes int64 ``keys`` rise: LSD radix sort on the bits that differ."""
    n = len(keys)
    order = np.arange(n)
    if n < 2:
        return order
    low, high = keys[0], keys[0]
    rising = True
    for i in range(1, n):
        rising &= keys[i] >= keys[i - 1]
        low = min(low, keys[i])
        high = max(high, keys[i])
    if rising:
        return order
    if n < _SMALL:
        for i in range(1, n):
            j, at = i, order[i]
            while j > 0 and keys[order[j - 1]] > keys[at]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = at
        return order
    span = high - low
    bits = 1
    while bits < 63 and (span >> bits) > 0:
        bits += 1
    passes = (bits + 10) // 11
    digit = (bits + passes - 1) // passes
    buckets = 1 << digit
    mask = buckets - 1
    key = np.empty(n, np.int64)
    for i in range(n):
        key[i] = keys[i] - low
    key2 = np.empty(n, np.int64)
    order2 = np.empty(n, np.int64)
    starts = np.empty(buckets, np.int64)
    for p in range(passes):
        shift = p * digit
        starts[:] = 0
        for i in range(n):
            starts[(key[i] >> shift) & mask] += 1
        total = 0
        for b in range(buckets):
            count = starts[b]
            starts[b] = total
            total += count
        for i in range(n):
            b = (key[i] >> shift) & mask
            to = starts[b]
            starts[b] = to + 1
            key2[to] = key[i]
            order2[to] = order[i]
        key, key2 = key2, key
        order, order2 = order2, order
    return order


@njit()
def _less(a: float, b: float) -> int:
    """-1, 0, 1; a missing number (NaN) comes last."""
    if a < b:
        return -1
    if a > b:
        return 1
    if a == b:
        return 0
    return int(a != a) - int(b != b)


@njit()
def compare(a: Any, b: Any) -> int:
    """Canonical order of two records of one device and time by what they say; 0 where they say the same.

    The more western of two comes first and distance from the equator before its side: records that are mirrored, or
    shifted along the longitudes, keep their order. One pair has none that a mirror keeps: two fixes of one moment,
    accuracy, speed and longitude, just as far north as south; there the south comes first.
    """
    return _compare(a, b, unwrap(a.lon - b.lon))


@njit()
def _compare(a: Any, b: Any, west: int) -> int:
    """``compare`` where ``a`` lies west of ``b`` if ``west`` is negative."""
    if (a.act >= 0) != (b.act >= 0):
        return 1 if a.act >= 0 else -1
    c = _less(a.acc, b.acc)
    if c == 0:
        c = _less(abs(a.lat), abs(b.lat))
    if c == 0:
        c = _less(a.v, b.v)
    if c == 0:
        c = west
    if c == 0:
        c = _less(a.lat, b.lat)
    if c == 0:
        c = _less(a.act, b.act)
    if c == 0:
        c = _less(a.conf, b.conf)
    return c


@njit()
def _later(a: Any, b: Any, around: bool) -> bool:
    c = _compare(a, b, unwrap(a.lon - b.lon) if around else a.lon - b.lon)
    if c == 0:
        return a.recv > b.recv or (a.recv == b.recv and a.stated > b.stated)
    return c > 0


@njit()
def _sort_tie(records: Any, lo: int, hi: int, around: bool) -> None:
    """Merge sort of records[lo:hi], which share a device and a time; west is the shorter way ``around`` the Earth.

    Places all around the Earth have no such order; sorted without it first, they still have one that their own order
    does not change.
    """
    spare = np.empty(hi - lo, RECORD)
    width = 1
    while width < hi - lo:
        for begin in range(lo, hi, 2 * width):
            middle, end = min(begin + width, hi), min(begin + 2 * width, hi)
            i, j = begin, middle
            for k in range(end - begin):
                if j >= end or (i < middle and not _later(records[i], records[j], around)):
                    spare[k] = records[i]
                    i += 1
                else:
                    spare[k] = records[j]
                    j += 1
            for k in range(end - begin):
                records[begin + k] = spare[k]
        width *= 2


@njit()
def _group(records: Any, bounds: Any, out: Any) -> None:
    """Gather records by device into ``out``, order kept."""
    at = bounds[:-1].copy()
    for i in range(len(records)):
        d = records[i].device
        out[at[d]] = records[i]
        at[d] += 1


@njit()
def order_grouped(grouped: Any, begins: Any, ends: Any, out: Any) -> Any:
    """Bring records into canonical order without copies; the bounds of the devices (int64 [devices + 1]).

    Device d, by which number its records go in ``out``, holds ``grouped[begins[d] : ends[d]]``, in any order; ``out``
    has room for all. Of copies the first received stays.
    """
    bounds = np.empty(len(begins) + 1, np.int64)
    n = 0
    for d in range(len(begins)):
        lo = n
        own = grouped[begins[d] : ends[d]]
        bounds[d] = n
        by_time = rising_order(own.t)
        for i in range(len(own)):
            out[lo + i] = own[by_time[i]]
            out[lo + i].device = d
        hi = lo + len(own)
        i = lo
        while i < hi:
            end = i + 1
            while end < hi and out[end].t == out[i].t:
                end += 1
            if end - i > 1:
                _sort_tie(out, i, end, False)
            first = n
            for j in range(i, end):
                if j == i or compare(out[j - 1], out[j]) != 0:
                    if n != j:
                        out[n] = out[j]
                    n += 1
            if n - first > 1:
                _sort_tie(out, first, n, True)
            i = end
    bounds[len(begins)] = n
    return bounds


@njit()
def order(records: Any, devices: int, grouped: Any) -> Any:
    """Bring ``records`` into canonical order without copies, in place; the bounds of the devices (int64 [devices + 1]).

    Of copies the first received stays; ``records[: bounds[-1]]`` are left. grouped: RECORD scratch of the same length.
    """
    bounds = bounds_of(records, devices)
    _group(records, bounds, grouped)
    return order_grouped(grouped, bounds[:-1], bounds[1:], records)
