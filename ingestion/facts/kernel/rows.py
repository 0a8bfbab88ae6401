"""Milestones: copying work rows to the output, and the queue of closed facts that wait for the watermark."""

from __future__ import annotations

from typing import Any

from numba import njit

from ingestion.facts.kernel.types import (
    FINAL,
    NONE,
    QUEUE,
    SLOT_QUEUE,
)

FAR_FUTURE = 2**62


@njit(cache=True)
def clear(row: Any, kind: int, anchor: int) -> None:
    """A fresh row of ``kind`` with every nullable column null."""
    row.kind = kind
    row.anchor = anchor
    row.start = anchor
    row.end = NONE
    row.start_width = 0
    row.end_width = NONE
    row.radius_cm = NONE
    row.fixes = 0
    row.accuracy_cm = NONE
    row.silence = 0
    row.speed_before = NONE
    row.speed_after = NONE
    row.motion_before = NONE
    row.motion_after = NONE
    row.followed = NONE
    row.walked_cm = NONE
    row.leg_start = NONE
    row.leg_cm = NONE
    row.leg_speed = NONE
    row.leg_fixes = NONE
    row.leg_halts = NONE
    row.return_cm = NONE
    row.next_lat = NONE
    row.next_lon = NONE
    row.reasons = 0


@njit(cache=True)
def emit(s: Any, row: Any, out: Any, status: int) -> None:
    """Write a milestone of ``row``."""
    row.status = status
    row.device = s.device
    row.event = s.now
    out[s.n_out] = row
    s.n_out += 1


@njit(cache=True)
def enqueue(s: Any, work: Any, slot: int) -> None:
    """Put a closed fact (already emitted as PROVISIONAL) in the queue for the watermark."""
    work[SLOT_QUEUE + s.queue_n] = work[slot]
    s.queue_n += 1
    due(s, work)


@njit(cache=True)
def drop(s: Any, work: Any, position: int) -> None:
    """Take the queue's entry at ``position`` out, order kept."""
    for i in range(position, s.queue_n - 1):
        work[SLOT_QUEUE + i] = work[SLOT_QUEUE + i + 1]
    s.queue_n -= 1


@njit(cache=True)
def due(s: Any, work: Any) -> None:
    """Remember the earliest end in the queue."""
    s.queue_due = FAR_FUTURE
    for i in range(s.queue_n):
        s.queue_due = min(s.queue_due, work[SLOT_QUEUE + i].end)


@njit(cache=True)
def finalise(s: Any, work: Any, out: Any, horizon: int) -> None:
    """Emit FINAL for every queued fact that ended at or before ``horizon`` (ms), and for the oldest beyond QUEUE."""
    i = 0
    while i < s.queue_n:
        if work[SLOT_QUEUE + i].end <= horizon or s.queue_n > QUEUE:
            emit(s, work[SLOT_QUEUE + i], out, FINAL)
            drop(s, work, i)
        else:
            i += 1
    due(s, work)
