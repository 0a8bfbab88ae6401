"""Columns of measurements -> ``RECORD``s in canonical order (device, time, best accuracy, ...), copies dropped."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ingestion.facts.kernel.geometry import unwrap, wrap
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.types import NEVER, RECORD

NULL_US: Final = -(2**63)
"""A missing moment in an int64 column of microseconds."""
EARLIEST_MS: Final = 1_104_537_600_000
"""2005-01-01 UTC: no phone of ours measured before; earlier clocks are absurd."""
LATEST_MS: Final = 4_102_444_800_000
"""2100-01-01 UTC: nobody says "now" to facts of a file, but a clock beyond is one that overflowed (32 bits: 2106)."""
CLOCK_AHEAD_MS: Final = 86_400_000
"""A record measured more than a day after it was received has an absurd clock."""

REFUSALS: Final = (
    "missing_device",
    "missing_time",
    "clock_before_2005",
    "clock_ahead",
    "position_not_finite",
    "position_out_of_range",
    "null_island",
    "unknown_activity",
    "received_ahead",
)
"""Why a row cannot enter the machine, in the order of ``take_*``'s counts: the codes of ``ingestion.readers.reasons``.
Ingestion is stricter, so what it accepted is never refused here."""
NO_DEVICE, NO_TIME, CLOCK_RESET, CLOCK_AHEAD, NAN, RANGE, ISLAND, ACTIVITY, RECEIVED_AHEAD = range(len(REFUSALS))

_SMALL: Final = 48


@njit(inline="always")
def _when(event: int, recv: int, lag_us: int) -> Any:
    """(ms measured, us received, stated, refusal or -1) of a record's two moments."""
    if event == NULL_US:
        return 0, 0, False, NO_TIME
    t = event // 1000
    stated = recv == NULL_US
    received = event + lag_us if stated else recv
    if t < EARLIEST_MS:
        return t, received, stated, CLOCK_RESET
    if t >= LATEST_MS or event - received > 1000 * CLOCK_AHEAD_MS:
        return t, received, stated, CLOCK_AHEAD
    if not stated and received >= 1000 * LATEST_MS:
        return t, received, stated, RECEIVED_AHEAD
    return t, received, stated, -1


@njit()
def take_fixes(
    device: Any,
    event: Any,
    lat: Any,
    lon: Any,
    acc: Any,
    speed: Any,
    recv: Any,
    marked: Any,
    lag_us: int,
    out: Any,
    n: int,
    refused: Any,
) -> int:
    """Append fixes to ``out`` from position ``n``; the new end. Rows that cannot be used are counted in ``refused``.

    device: int32 codes, -1 where none; event, recv: int64 us, NULL_US where none; lat, lon: float64 degrees; acc (m),
    speed (m/s): float64, NaN where none; marked: bool, received_at is stated (or empty).
    """
    for i in range(len(device)):
        if device[i] < 0:
            refused[NO_DEVICE] += 1
            continue
        t, received, stated, why = _when(event[i], recv[i], lag_us)
        if why >= 0:
            refused[why] += 1
            continue
        y, x = lat[i], lon[i]
        if not (abs(y) <= 90.0 and abs(x) <= 180.0):
            refused[RANGE if np.isfinite(y) and np.isfinite(x) else NAN] += 1
            continue
        if y == 0.0 and x == 0.0:
            refused[ISLAND] += 1
            continue
        r = out[n]
        r.recv = received
        r.t = t
        r.lat = np.int32(np.rint(y * 1e7))
        r.lon = wrap(np.int64(np.rint(x * 1e7)))
        r.acc = np.rint(acc[i] * 100.0) / 100.0
        r.v = np.rint(speed[i] * 100.0) / 100.0
        r.device = device[i]
        r.act = -1
        r.conf = 0
        r.stated = stated or (len(marked) > 0 and marked[i])
        n += 1
    return n


@njit()
def take_motion(
    device: Any,
    event: Any,
    activity: Any,
    conf: Any,
    recv: Any,
    marked: Any,
    lag_us: int,
    out: Any,
    n: int,
    refused: Any,
) -> int:
    """Append motion records to ``out`` from position ``n``; the new end.

    activity: int8 index in ACTIVITIES, -1 where the word is unknown; conf: float64 0-1, NaN counts as 1; the rest as
    in ``take_fixes``.
    """
    for i in range(len(device)):
        if device[i] < 0:
            refused[NO_DEVICE] += 1
            continue
        t, received, stated, why = _when(event[i], recv[i], lag_us)
        if why < 0 and activity[i] < 0:
            why = ACTIVITY
        if why >= 0:
            refused[why] += 1
            continue
        r = out[n]
        r.recv = received
        r.t = t
        r.lat = 0
        r.lon = 0
        r.acc = np.nan
        r.v = np.nan
        r.device = device[i]
        r.act = activity[i]
        c = conf[i]
        r.conf = 100 if not c < 1.0 else (0 if c < 0.0 else np.int8(np.rint(c * 100.0)))
        r.stated = stated or (len(marked) > 0 and marked[i])
        n += 1
    return n


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
def first_stated(records: Any, devices: int) -> Any:
    """int64 [devices]: the earliest receipt (us) of each device's records that was stated, not observed; else NEVER."""
    first = np.full(devices, NEVER, np.int64)
    for i in range(len(records)):
        r = records[i]
        if r.stated and r.recv < first[r.device]:
            first[r.device] = r.recv
    return first


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
def order(records: Any, devices: int, grouped: Any) -> Any:
    """Bring ``records`` into canonical order without copies, in place; the bounds of the devices (int64 [devices + 1]).

    Of copies the first received stays; ``records[: bounds[-1]]`` are left. grouped: RECORD scratch of the same length.
    """
    bounds = bounds_of(records, devices)
    _group(records, bounds, grouped)
    n = 0
    for d in range(devices):
        lo, hi = bounds[d], bounds[d + 1]
        bounds[d] = n
        by_time = rising_order(grouped[lo:hi].t)
        for i in range(hi - lo):
            records[lo + i] = grouped[lo + by_time[i]]
        i = lo
        while i < hi:
            end = i + 1
            while end < hi and records[end].t == records[i].t:
                end += 1
            if end - i > 1:
                _sort_tie(records, i, end, False)
            first = n
            for j in range(i, end):
                if j == i or compare(records[j - 1], records[j]) != 0:
                    if n != j:
                        records[n] = records[j]
                    n += 1
            if n - first > 1:
                _sort_tie(records, first, n, True)
            i = end
    bounds[devices] = n
    return bounds
