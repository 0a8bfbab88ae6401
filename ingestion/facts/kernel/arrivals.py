"""The one law: facts as of k = the machine over the records received by k; the log is the sequence of its changes.

A device whose records arrived in event order needs one pass. Otherwise every late arrival restores the newest
checkpoint before it, replays what was known by then, and the difference to what stood before is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ingestion.facts.kernel.step import ROOM, on_record, start
from ingestion.facts.kernel.types import RETRACTED, ROW, SLOTS, STATE

CHECKPOINTS = 64
"""Most checkpoints kept per device; when full, every other one goes and the spacing doubles."""
SPACING = 64
"""Records between checkpoints at first."""


@njit(cache=True)
def _grown(rows: Any, used: int) -> Any:
    bigger = np.zeros(2 * len(rows) + ROOM, ROW)
    bigger[:used] = rows[:used]
    return bigger


@njit(cache=True)
def in_order(lo: int, hi: int, t: Any, recv: Any, activity: Any) -> bool:
    """True where records [lo, hi) arrived in event order and no two fixes share an event time."""
    for i in range(lo + 1, hi):
        if recv[i] < recv[i - 1]:
            return False
        if t[i] == t[i - 1] and activity[i] < 0 and activity[i - 1] < 0:
            return False
    return True


@njit(cache=True)
def _spoken(i: int, lo: int, t: Any, act: Any, known: Any) -> bool:
    """Whether another known fix of the same moment comes first: the best of a moment speaks, the others are silent."""
    if act[i] >= 0:
        return False
    j = i - 1
    while j >= lo and t[j] == t[i]:
        if known[j - lo] and act[j] < 0:
            return True
        j -= 1
    return False


@njit(cache=True)
def _last(rows: Any, lo: int, hi: int, kind: int, anchor: int) -> int:
    """Index of the last row of a fact in rows[lo:hi], or -1."""
    for i in range(hi - 1, lo - 1, -1):
        if rows[i].kind == kind and rows[i].anchor == anchor:
            return i
    return -1


@njit(cache=True)
def _same(a: Any, b: Any) -> bool:
    """Whether two rows say the same."""
    return (
        a.status == b.status
        and a.start == b.start
        and a.end == b.end
        and a.lat == b.lat
        and a.lon == b.lon
        and a.uncertainty_cm == b.uncertainty_cm
        and a.start_width == b.start_width
        and a.end_width == b.end_width
        and a.radius_cm == b.radius_cm
        and a.fixes == b.fixes
        and a.accuracy_cm == b.accuracy_cm
        and a.silence == b.silence
        and a.speed_before == b.speed_before
        and a.speed_after == b.speed_after
        and a.motion_before == b.motion_before
        and a.motion_after == b.motion_after
        and a.followed == b.followed
        and a.walked_cm == b.walked_cm
        and a.leg_start == b.leg_start
        and a.leg_cm == b.leg_cm
        and a.leg_speed == b.leg_speed
        and a.leg_fixes == b.leg_fixes
        and a.leg_halts == b.leg_halts
        and a.return_cm == b.return_cm
        and a.next_lat == b.next_lat
        and a.next_lon == b.next_lon
        and a.reasons == b.reasons
    )


@njit(cache=True)
def _difference(old: Any, old_n: int, new: Any, keep: int, new_n: int, k: int, log: Any, n: int) -> Any:
    """Write what changed between two runs that share rows[:keep]. ``old`` holds only the replaced tail."""
    for side in range(2):
        tail, lo, hi = (old, 0, old_n) if side == 0 else (new, keep, new_n)
        for i in range(lo, hi):
            kind, anchor = tail[i].kind, tail[i].anchor
            if _last(tail, i + 1, hi, kind, anchor) >= 0:
                continue
            was = _last(old, 0, old_n, kind, anchor)
            now = _last(new, keep, new_n, kind, anchor)
            if side == 1 and was >= 0:
                continue  # both tails hold it: done on the first side
            shared = -1
            if was < 0 or now < 0:
                shared = _last(new, 0, keep, kind, anchor)
            had = was >= 0 or shared >= 0
            has = now >= 0 or shared >= 0
            if n + ROOM > len(log):
                log = _grown(log, n)
            if has:
                row = new[now] if now >= 0 else new[shared]
                before = row
                if was >= 0:
                    before = old[was]
                elif shared >= 0:
                    before = new[shared]
                if had and _same(before, row):
                    continue
                log[n] = row
                log[n].known = k
                n += 1
            elif had and old[was].status != RETRACTED:
                log[n] = old[was]
                log[n].status = RETRACTED
                log[n].known = k
                n += 1
    return log, n


@njit(cache=True)
def build(
    bounds: Any,
    t: Any,
    lat: Any,
    lon: Any,
    acc: Any,
    v: Any,
    act: Any,
    conf: Any,
    recv: Any,
    arrival: Any,
    rules: Any,
) -> Any:
    """The revision log of all devices, as ROWs. ``bounds``: int64 [devices + 1], device d holds records [b[d], b[d+1]).

    Records are in canonical order within a device; ``arrival`` orders each device's records by (recv, position).
    """
    rule = rules[0]
    log = np.zeros(max(1024, len(t) // 32) + ROOM, ROW)
    n = 0
    state = np.zeros(1, STATE)
    fresh = np.zeros(1, STATE)
    work = np.zeros(SLOTS, ROW)
    blank = np.zeros(SLOTS, ROW)
    run = np.zeros(4 * ROOM, ROW)
    saved = np.zeros(CHECKPOINTS, STATE)
    saved_work = np.zeros((CHECKPOINTS, SLOTS), ROW)
    saved_at = np.zeros(CHECKPOINTS, np.int64)
    longest = 0
    for d in range(len(bounds) - 1):
        longest = max(longest, bounds[d + 1] - bounds[d])
    known = np.zeros(longest, np.bool_)
    for d in range(len(bounds) - 1):
        lo, hi = bounds[d], bounds[d + 1]
        ordered = in_order(lo, hi, t, recv, act)
        known[: hi - lo] = ordered
        state[0] = fresh[0]
        work[:] = blank
        start(state[0], d)
        saved_n = 0
        spacing = SPACING
        done = lo  # records [lo, done) have been looked at
        first = lo
        while first < hi:
            k = recv[arrival[first]]
            lowest, highest = lo, hi - 1
            last = hi
            if not ordered:
                last, lowest, highest = first, hi, lo
                while last < hi and recv[arrival[last]] == k:
                    i = arrival[last]
                    known[i - lo] = True
                    lowest = min(lowest, i)
                    highest = max(highest, i)
                    last += 1
            first = last
            s = state[0]
            tail = run[:0]
            keep = s.n_out
            begin = done
            late = lowest < done
            if late:
                while saved_n > 0 and saved_at[saved_n - 1] > lowest:
                    saved_n -= 1
                old_n = s.n_out
                begin = lo
                if saved_n > 0:
                    state[0] = saved[saved_n - 1]
                    work[:] = saved_work[saved_n - 1]
                    begin = saved_at[saved_n - 1]
                else:
                    state[0] = fresh[0]
                    work[:] = blank
                    start(state[0], d)
                keep = s.n_out
                tail = run[keep:old_n].copy()
            done = max(done, highest + 1)
            for i in range(begin, done):
                if not ordered and (i - lo) % spacing == 0 and (saved_n == 0 or saved_at[saved_n - 1] < i):
                    if saved_n == CHECKPOINTS:
                        for c in range(CHECKPOINTS // 2):
                            saved[c] = saved[2 * c]
                            saved_work[c] = saved_work[2 * c]
                            saved_at[c] = saved_at[2 * c]
                        saved_n = CHECKPOINTS // 2
                        spacing *= 2
                    saved[saved_n] = state[0]
                    saved_work[saved_n] = work
                    saved_at[saved_n] = i
                    saved_n += 1
                if not known[i - lo] or _spoken(i, lo, t, act, known):
                    continue
                if s.n_out + ROOM > len(run):
                    run = _grown(run, s.n_out)
                was = s.n_out
                on_record(s, work, rule, run, i, t[i], lat[i], lon[i], acc[i], v[i], act[i], conf[i])
                for j in range(was, s.n_out):
                    run[j].known = recv[i] if ordered else k
            if late:
                log, n = _difference(tail, len(tail), run, keep, s.n_out, k, log, n)
            else:
                while n + (s.n_out - keep) + ROOM > len(log):
                    log = _grown(log, n)
                for i in range(keep, s.n_out):
                    log[n] = run[i]
                    n += 1
    return log[:n]
