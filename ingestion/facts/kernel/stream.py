"""Feeding records as they arrive, many devices at once: per device a state now, an older one, and the records between.

A record that comes in event order goes through the machine once. A late one is put in its place among the records kept
since the older state, which are replayed with and without it; what differs is written, known from its arrival on.
One older than those, or received before what was fed already, is held back: the driver asks the history.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ingestion.facts.kernel.arrivals import difference, grown, run
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.order import compare
from ingestion.facts.kernel.step import start
from ingestion.facts.kernel.types import FINAL, NEVER, RETRACTED, RING, ROOM, SLOTS

KEPT: Final = 96
"""Records kept per device behind the newest: a late one among them costs two short replays."""
STEP: Final = 64
"""Records by which the older state moves on when the kept ones are full; KEPT - STEP are always left."""

META: Final = np.dtype(
    [("recv", "i8"), ("stated", "i8"), ("kept", "i4"), ("said", "i4"), ("born", "?"), ("moved", "?"), ("held", "?")],
    align=True,
)
"""Of each device: greatest moment fed (us); first moment (us) a stated arrival was fed, or NEVER; number of kept
records and of rows in ``said``; seen before; the older state is past its first record; records wait for the history."""


@njit()
def _say(said: Any, m: Any, row: Any) -> None:
    """Remember the last word on a fact that may still change; forget it once it is final or gone."""
    at = m.said
    for i in range(m.said):
        if said[i].kind == row.kind and said[i].anchor == row.anchor:
            at = i
            break
    if row.status == FINAL or row.status == RETRACTED:
        if at < m.said:
            m.said -= 1
            said[at] = said[m.said]
        return
    if at == m.said and at < SLOTS:
        m.said += 1
    said[min(at, SLOTS - 1)] = row


@njit(inline="always")  # by itself it would be compiled with a machine of its own
def _move(m: Any, old: Any, kept: Any, said: Any, count: int, rule: Any, out: Any, known: Any, spare: Any) -> None:
    """Take the older state over its ``count`` oldest kept records, which are then forgotten."""
    zero = np.int64(0)
    _, n = run(old, rule, out, kept, zero, zero, count, known, zero, spare, zero)
    for i in range(n):
        _say(said, m, spare[i])
    for i in range(count, m.kept):
        kept[i - count] = kept[i]
    m.kept -= count
    m.moved = True


@njit()
def _place(kept: Any, n: int, r: Any) -> int:
    """Where ``r`` belongs among the ``n`` kept records; -1 where it changes nothing (a copy, or a better fix spoke)."""
    at = n
    while at > 0 and kept[at - 1].t > r.t:
        at -= 1
    while at > 0 and kept[at - 1].t == r.t:
        order = compare(kept[at - 1], r)
        if order == 0 or (order < 0 and r.act < 0):
            return -1
        if order < 0:
            break
        at -= 1
    return at


@njit()
def _put(kept: Any, m: Any, at: int, r: Any) -> None:
    """Put ``r`` in its place. A worse fix of the same moment is silent from now on."""
    if r.act < 0 and at < m.kept and kept[at].t == r.t and kept[at].act < 0:
        kept[at] = r
        return
    for i in range(m.kept, at, -1):
        kept[i] = kept[i - 1]
    kept[at] = r
    m.kept += 1


@njit()
def _touch(s: Any) -> int:
    """Ask memory for all of a state but its work rows, at once: waiting for each part in turn costs more than the work.

    The fields are 64 bytes, a cache line, apart or less.
    """
    x = s.now ^ s.calm_t ^ s.rest_dlat ^ s.rest_silence ^ s.leg_t ^ s.slow_t ^ s.left_dlat ^ s.pend_t[0]
    for i in range(0, RING, 8):
        x ^= s.ring_t[i]
    for i in range(0, RING, 16):
        x ^= s.ring_lat[i] ^ s.ring_lon[i]
    return x


@njit()
def feed(
    records: Any,
    meta: Any,
    now: Any,
    old: Any,
    kept: Any,
    said: Any,
    rules: Any,
    spare: Any,
    sinks: Any,
    log: Any,
    quiet: bool,
) -> Any:
    """Take RECORDs in order of arrival, ``device`` an index of the other arrays; (log, rows in it, records held
    back, nothing of use).

    meta: META [devices]; now, old: STATE [devices + 1], the last one is scratch; kept: RECORD [devices, KEPT]; said:
    ROW [devices, SLOTS], last words on facts alive in ``old``; rules: ``Rules.record()``; spare: ROW [2, enough for
    KEPT records]; sinks: SINK [1]; log: ROW [any], grown where needed. quiet: adopt a history in canonical order; when
    it was received does not matter and nothing is written.
    """
    rule, out = rules[0], sinks[0]
    known = np.zeros(0, np.bool_)
    scratch = len(now) - 1
    touched = 0
    zero = np.int64(0)
    for i in range(len(records)):
        d = records[i].device
        touched ^= _touch(now[d]) ^ kept[d, meta[d].kept % KEPT].t
    n = zero
    waiting = 0
    for i in range(len(records)):
        r = records[i]
        d = r.device
        m = meta[d]
        if not m.born:
            m.born = True
            m.stated = NEVER
            m.recv = r.recv
            start(now[d], d)
            start(old[d], d)
        if m.held or (r.recv < m.recv and not quiet):
            m.held = True
            waiting += 1
            continue
        at = np.int64(m.kept)
        if at > 0 and kept[d, at - 1].t >= r.t:
            at = _place(kept[d], m.kept, r)
            if at < 0:
                continue
            if at == 0 and m.moved:
                m.held = True
                waiting += 1
                continue
        m.recv = max(m.recv, r.recv)
        if r.stated:
            m.stated = min(m.stated, r.recv)
        if m.kept == KEPT:
            count = min(np.int64(STEP), at)
            if count == 0:
                m.held = True
                waiting += 1
                continue
            touched ^= _touch(old[d])
            _move(m, old[d], kept[d], said[d], count, rule, out, known, spare[0])
            at -= count
        if at == m.kept:
            kept[d, at] = r
            m.kept += 1
            if n > len(log) - ROOM:
                log = grown(log, n)
            _, n = run(now[d], rule, out, kept[d], at, at, at + 1, known, r.recv, log, n)
            if quiet:
                n = zero
            continue
        now[scratch] = old[d]
        _, before = run(now[scratch], rule, out, kept[d], zero, zero, np.int64(m.kept), known, r.recv, spare[0], zero)
        _put(kept[d], m, at, r)
        for j in range(m.said):
            spare[1, j] = said[d, j]
        now[d] = old[d]
        said_n = np.int64(m.said)
        _, after = run(now[d], rule, out, kept[d], zero, zero, np.int64(m.kept), known, r.recv, spare[1], said_n)
        log, n = difference(spare[0], before, spare[1], said_n, after, r.recv, log, n)
        if quiet:
            n = zero
    return log, n, waiting, touched
