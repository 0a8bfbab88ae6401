"""Columns of measurements -> ``RECORD``s; what cannot be one is refused and counted."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ingestion.facts.kernel.geometry import wrap
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.types import NEVER

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


@njit(inline="always")
def _place(at: Any, device: int, n: int) -> int:
    """Where a device's next record goes: the place that ``at`` holds (it is moved on), or where it is empty, ``n``."""
    if len(at):
        to = at[device]
        at[device] = to + 1
        return int(to)
    return n


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
    at: Any,
    refused: Any,
) -> int:
    """Put fixes at the head of ``out``, or at the next place ``at`` holds for each one's device; how many.

    Rows that cannot be used are counted in ``refused``. at: int64, a place for each device code (it is moved on), or
    empty; device: int32 codes, -1 where none; event, recv: int64 us, NULL_US where none; lat, lon: float64 degrees;
    acc (m), speed (m/s): float64, NaN where none; marked: bool, received_at is stated (or empty).
    """
    n = 0
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
        r = out[_place(at, device[i], n)]
        n += 1
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
    at: Any,
    refused: Any,
) -> int:
    """Put motion records into ``out``, and so on as ``take_fixes`` does.

    activity: int8 index in ACTIVITIES, -1 where the word is unknown; conf: float64 0-1, NaN counts as 1; the rest as
    in ``take_fixes``.
    """
    n = 0
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
        r = out[_place(at, device[i], n)]
        n += 1
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
    return n


@njit()
def first_stated(records: Any, devices: int) -> Any:
    """int64 [devices]: the earliest receipt (us) of each device's records that was stated, not observed; else NEVER."""
    first = np.full(devices, NEVER, np.int64)
    for i in range(len(records)):
        r = records[i]
        if r.stated and r.recv < first[r.device]:
            first[r.device] = r.recv
    return first
