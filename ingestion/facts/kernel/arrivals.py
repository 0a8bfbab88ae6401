"""The one law: facts as of k = the machine over the records received by k; the log is the sequence of its changes.

A device whose records arrived in event order needs one pass. Otherwise every late arrival restores the newest
checkpoint before it, replays what was known by then, and the difference to what stood before is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.order import rising_order
from ingestion.facts.kernel.step import on_record, start
from ingestion.facts.kernel.types import NONE, RETRACTED, ROOM, ROW, SINK, STATE

CHECKPOINTS = 64
"""Most checkpoints kept per device; when full, every other one goes and the spacing doubles."""
SPACING = 64
"""Records between checkpoints at first."""


@njit()
def grown(rows: Any, used: int) -> Any:
    """A ROW array of twice the room with the first ``used`` rows."""
    bigger = np.empty(2 * len(rows) + ROOM, ROW)
    bigger[:used] = rows[:used]
    return bigger


@njit()
def _spoken(i: int, lo: int, records: Any, known: Any) -> bool:
    """Whether another known fix of the same moment comes first: the best of a moment speaks, the others are silent."""
    if records[i].act >= 0:
        return False
    j = i - 1
    while j >= lo and records[j].t == records[i].t:
        if records[j].act < 0 and (len(known) == 0 or known[j - lo]):
            return True
        j -= 1
    return False


@njit()
def _last(rows: Any, lo: int, hi: int, kind: int, anchor: int) -> int:
    """Index of the last row of a fact in rows[lo:hi], or -1."""
    for i in range(hi - 1, lo - 1, -1):
        if rows[i].kind == kind and rows[i].anchor == anchor:
            return i
    return -1


@njit()
def same(a: Any, b: Any) -> bool:
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


@njit()
def difference(old: Any, old_n: int, new: Any, keep: int, new_n: int, k: int, log: Any, n: int) -> Any:
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
                log = grown(log, n)
            if has:
                row = new[now] if now >= 0 else new[shared]
                before = row
                if was >= 0:
                    before = old[was]
                elif shared >= 0:
                    before = new[shared]
                if had and same(before, row):
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


@njit()
def run(
    s: Any, rule: Any, out: Any, records: Any, lo: int, begin: int, end: int, known: Any, moment: int, rows: Any, n: int
) -> Any:
    """Feed records [begin, end) of the device that starts at ``lo``; append what they emit to ``rows`` from ``n``.

    known: bool [records of the device], which have arrived; empty: all. moment: when (us) they became known, or NONE:
    each when it was received, as long as they were received in order. Returns (next record, n): less than ``end``
    where ``rows`` has no room left, or where a record was received before its predecessor.

    Its numbers are to be np.int64, not literals or int32: each set of types is a copy of the machine to be compiled.
    """
    partly = len(known) > 0
    limit = len(rows) - ROOM
    newest = records[begin].recv if begin < end else 0
    for i in range(begin, end):
        r = records[np.uint64(i)]
        if moment == NONE:
            if r.recv < newest:
                return i, n
            newest = r.recv
        if partly and not known[i - lo]:
            continue
        if i > lo and r.t == records[np.uint64(i - 1)].t and _spoken(i, lo, records, known):
            continue
        if n > limit:
            return i, n
        on_record(s, rule, out, i, r.t, r.lat, r.lon, r.acc, r.v, r.act, r.conf * 0.01)
        if out.n > 0:
            for j in range(out.n):
                rows[n] = out.rows[j]
                rows[n].known = r.recv if moment == NONE else moment
                n += 1
            out.n = 0
    return end, n


@njit()
def _by_moments(lo: int, hi: int, records: Any, rule: Any, states: Any, out: Any, log: Any, n: int) -> Any:
    """A device whose records did not arrive in event order: moment after moment, with replays from checkpoints."""
    s = states[0]
    device = s.device
    rows = np.zeros(4 * ROOM, ROW)
    rows_n = np.int64(0)
    saved = np.zeros(CHECKPOINTS, STATE)
    saved_at = np.zeros(CHECKPOINTS, np.int64)
    saved_rows = np.zeros(CHECKPOINTS, np.int64)
    saved_n = 0
    spacing = SPACING
    known = np.zeros(hi - lo, np.bool_)
    arrival = rising_order(records[lo:hi].recv)
    done = lo  # records [lo, done) have been looked at
    first = 0
    while first < hi - lo:
        k = records[lo + arrival[first]].recv
        lowest, highest = hi, lo
        while first < hi - lo and records[lo + arrival[first]].recv == k:
            i = lo + arrival[first]
            known[i - lo] = True
            lowest = min(lowest, i)
            highest = max(highest, i)
            first += 1
        keep = rows_n
        begin = done
        late = lowest < done
        tail = rows[:0]
        if late:
            while saved_n > 0 and saved_at[saved_n - 1] > lowest:
                saved_n -= 1
            if saved_n > 0:
                states[0] = saved[saved_n - 1]
                begin, keep = saved_at[saved_n - 1], saved_rows[saved_n - 1]
            else:
                states[0] = np.zeros(1, STATE)[0]
                start(s, device)
                begin, keep = lo, np.int64(0)
            tail = rows[keep:rows_n].copy()
        rows_n = keep
        done = max(done, highest + 1)
        while begin < done:
            if (begin - lo) % spacing == 0 and (saved_n == 0 or saved_at[saved_n - 1] < begin):
                if saved_n == CHECKPOINTS:
                    saved_n = CHECKPOINTS // 2
                    spacing *= 2
                    for c in range(saved_n):
                        saved[c] = saved[2 * c]
                        saved_at[c] = saved_at[2 * c]
                        saved_rows[c] = saved_rows[2 * c]
                saved[saved_n] = s
                saved_at[saved_n] = begin
                saved_rows[saved_n] = rows_n
                saved_n += 1
            end = min(done, begin + spacing - (begin - lo) % spacing)
            while begin < end:
                begin, rows_n = run(s, rule, out, records, lo, begin, end, known, k, rows, rows_n)
                if rows_n > len(rows) - ROOM:
                    rows = grown(rows, rows_n)
        if late:
            log, n = difference(tail, len(tail), rows, keep, rows_n, k, log, n)
        else:
            while n + (rows_n - keep) + ROOM > len(log):
                log = grown(log, n)
            for i in range(keep, rows_n):
                log[n] = rows[i]
                n += 1
    return log, n


@njit()
def _build(bounds: Any, records: Any, rules: Any, states: Any, sinks: Any) -> Any:
    rule = rules[0]
    s, out = states[0], sinks[0]
    fresh = np.zeros(1, STATE)
    everything = np.zeros(0, np.bool_)
    log = np.empty(max(1024, len(records) // 16) + ROOM, ROW)
    n = np.int64(0)
    for d in range(len(bounds) - 1):
        lo, hi = bounds[d], bounds[d + 1]
        states[0] = fresh[0]
        start(s, d)
        i, was = lo, n
        while i < hi:
            # In order of arrival nothing is ever taken back: one pass, straight to the log.
            i, n = run(s, rule, out, records, lo, i, hi, everything, np.int64(NONE), log, n)
            if n > len(log) - ROOM:
                log = grown(log, n)
            elif i < hi:
                states[0] = fresh[0]
                start(s, d)
                log, n = _by_moments(lo, hi, records, rule, states, out, log, was)
                break
    return log[:n]


def build(bounds: Any, records: Any, rules: Any) -> Any:
    """The revision log of all devices, as ROWs in order of device and moment.

    records: RECORD array in canonical order; bounds: int64 [devices + 1], device d holds records [b[d], b[d + 1]);
    rules: ``Rules.record()``.
    """
    return _build(bounds, records, rules, np.zeros(1, STATE), np.zeros(1, SINK))
