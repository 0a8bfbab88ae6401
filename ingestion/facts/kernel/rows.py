"""Milestones: copying work rows to the output, and the queue of closed facts that wait for the watermark."""

from __future__ import annotations

from typing import Any

from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.types import (
    FINAL,
    NONE,
    NONE32,
    QUEUE,
    SLOT_QUEUE,
)

FAR_FUTURE = 2**62


@njit()
def cm(metres: float) -> int:
    """Whole centimetres (or cm/s), cut to what an int32 holds."""
    return int(min(metres * 100.0, 2e9))


@njit()
def clear(row: Any, kind: int, anchor: int) -> None:
    """A fresh row of ``kind`` with every nullable column null."""
    row.kind = kind
    row.anchor = anchor
    row.start = anchor
    row.end = NONE
    row.start_width = 0
    row.end_width = NONE
    row.radius_cm = NONE32
    row.fixes = 0
    row.accuracy_cm = NONE32
    row.silence = 0
    row.speed_before = NONE32
    row.speed_after = NONE32
    row.motion_before = -1
    row.motion_after = -1
    row.followed = -1
    row.walked_cm = NONE32
    row.leg_start = NONE
    row.leg_cm = NONE32
    row.leg_speed = NONE32
    row.leg_fixes = NONE32
    row.leg_halts = NONE32
    row.return_cm = NONE32
    row.next_lat = NONE32
    row.next_lon = NONE32
    row.reasons = 0


@njit()
def emit(s: Any, row: Any, out: Any, status: int) -> None:
    """Write a milestone of ``row``."""
    row.status = status
    row.device = s.device
    row.event = s.now
    out.rows[out.n] = row
    out.n += 1


@njit()
def enqueue(s: Any, slot: int) -> None:
    """Put a closed fact (already emitted as PROVISIONAL) in the queue for the watermark."""
    s.work[SLOT_QUEUE + s.queue_n] = s.work[slot]
    s.queue_n += 1
    due(s)


@njit()
def drop(s: Any, position: int) -> None:
    """Take the queue's entry at ``position`` out, order kept."""
    for i in range(position, s.queue_n - 1):
        s.work[SLOT_QUEUE + i] = s.work[SLOT_QUEUE + i + 1]
    s.queue_n -= 1


@njit()
def due(s: Any) -> None:
    """Remember the earliest end in the queue."""
    s.queue_due = FAR_FUTURE
    for i in range(s.queue_n):
        s.queue_due = min(s.queue_due, s.work[SLOT_QUEUE + i].end)


@njit()
def finalise(s: Any, out: Any, horizon: int) -> None:
    """Emit FINAL for every queued fact that ended at or before ``horizon`` (ms), and for the oldest beyond QUEUE."""
    i = 0
    while i < s.queue_n:
        if s.work[SLOT_QUEUE + i].end <= horizon or s.queue_n > QUEUE:
            emit(s, s.work[SLOT_QUEUE + i], out, FINAL)
            drop(s, i)
        else:
            i += 1
    due(s)
