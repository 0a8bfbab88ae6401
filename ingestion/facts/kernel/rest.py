"""A stop while it lasts: opened, merged, gone on with, left with hysteresis. ``settle`` and ``silences`` open it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ingestion.facts.kernel.geometry import apart2, eastward, mean_of, scale_at, wrap
from ingestion.facts.kernel.jit import inlined, njit
from ingestion.facts.kernel.rows import clear, cm, drop, due, emit, enqueue
from ingestion.facts.kernel.types import (
    NONE,
    NONE32,
    OPEN,
    PROVISIONAL,
    R_INTERVAL,
    R_MERGED,
    R_SILENCE,
    RETRACTED,
    RING,
    RING_MS,
    SLOT_QUEUE,
    SLOT_STOP,
    STOP,
)

RECENTRE_MS = 600_000
"""Inside but never tight nor standing for this long: the phone rests elsewhere in the building."""


@inlined()
def _after(i: Any) -> Any:
    """The ring's place after one (uint8)."""
    return np.uint8((i + np.uint8(1)) & np.uint8(RING - 1))


@inlined()
def push(s: Any, t: int, lat: int, lon: int) -> bool:
    """Remember a recent fix, thinned to one per RING_MS. True where it was kept."""
    head = np.uint8(s.ring_head)
    if s.ring_n > 0 and t - s.ring_t[head] < RING_MS:
        return False
    head = _after(head)
    s.ring_head = head
    s.ring_t[head] = t
    s.ring_lat[head] = lat
    s.ring_lon[head] = lon
    if s.ring_n == 0:
        s.ring_tail = head
    elif head == s.ring_tail:  # the oldest is gone
        s.ring_tail = _after(head)
    s.ring_n = min(s.ring_n + 1, RING)
    return True


@inlined()
def window(s: Any, rule: Any, t: int) -> int:
    """Where the newest remembered fix lies that is at least a window old, or the oldest there is.

    Looked for where it is needed, not with every fix: how many grow too old with one more is anybody's guess, a
    processor's too.
    """
    head, tail = np.uint8(s.ring_head), np.uint8(s.ring_tail)
    while tail != head:
        after = _after(tail)
        if t - s.ring_t[after] < rule.window_ms:
            break
        tail = after
    s.ring_tail = tail
    return int(tail)


@njit()
def blur_of(s: Any, rule: Any) -> float:
    """How much wider (m) radii are for the accuracy the phone reports of late: indoors it wanders, and says so."""
    return min(rule.max_blur_m, max(0.0, s.blur - rule.assumed_accuracy_m))


@njit()
def recentre(s: Any, rule: Any) -> None:
    """Renew the centre of the rest (running mean), its scale and how near is tight; again when it grew by an eighth."""
    s.rest_lat = s.rest_lat0 + mean_of(s.rest_dlat, s.rest_n)
    s.rest_lon = wrap(s.rest_lon0 + mean_of(s.rest_dlon, s.rest_n))
    s.rest_scale = scale_at(s.rest_lat)
    s.rest_next = s.rest_n + 1 + s.rest_n // 8
    spread2 = s.rest_d2 / s.rest_all
    blur = blur_of(s, rule)
    wide2 = (rule.radius_m + blur) * (rule.radius_m + blur)
    s.rest_tight2 = min(wide2, max(rule.tight_m * rule.tight_m, rule.tight_spread * rule.tight_spread * spread2))
    s.rest_inside2 = max(
        (rule.inside_m + blur) * (rule.inside_m + blur), rule.inside_spread * rule.inside_spread * spread2
    )


@inlined()
def _spread(s: Any, d2: float) -> None:
    """Count a fix inside, ``d2`` square metres from the centre, towards how widely the rest wanders."""
    s.rest_all += 1
    s.rest_d2 += d2


@inlined()
def take_rest(s: Any, t: int, lat: int, lon: int, acc: float, d2: float) -> None:
    """A fix at rest, ``d2`` square metres from the centre."""
    s.rest_dlat += lat - s.rest_lat0
    s.rest_dlon += eastward(lon - s.rest_lon0)
    s.rest_n += 1
    s.rest_acc += acc
    s.rest_in_t = t
    _spread(s, d2)


@njit()
def begin_rest(s: Any, lat: int, lon: int) -> None:
    """Empty sums, about this place."""
    s.rest_lat0 = lat
    s.rest_lon0 = lon
    s.rest_dlat = 0
    s.rest_dlon = 0
    s.rest_n = 0
    s.rest_all = 0
    s.rest_d2 = 0.0
    s.rest_acc = 0.0
    s.rest_silence = 0
    s.rest_radius = 0.0


@njit()
def _describe(s: Any, rule: Any, row: Any) -> None:
    recentre(s, rule)
    row.lat = s.rest_lat
    row.lon = s.rest_lon
    row.fixes = s.rest_n
    row.accuracy_cm = cm(s.rest_acc / s.rest_n)
    row.silence = s.rest_silence
    row.radius_cm = cm(s.rest_radius)
    row.uncertainty_cm = max(500, cm((s.rest_acc / s.rest_n + s.rest_radius) * 0.5))


@njit()
def _merges(s: Any, rule: Any, start: int, lat: int, lon: int) -> int:
    """The queue position of the stop that a new one at this time and place continues, or -1."""
    for i in range(s.queue_n - 1, -1, -1):
        row = s.work[SLOT_QUEUE + i]
        if row.kind == STOP:
            near = rule.merge_m + blur_of(s, rule)
            near = max(near * near, s.rest_merge2)
            if start - row.end <= rule.merge_ms and apart2(row.lat, row.lon, lat, lon, s.rest_scale) <= near:
                return i
            return -1
    return -1


@njit()
def open_rest(s: Any, rule: Any, out: Any, start: int, width: int, speed: float, reasons: int) -> None:
    """A stop begins: a new row, or the last one continued. Sums of the rest hold its evidence so far."""
    row = s.work[SLOT_STOP]
    recentre(s, rule)
    at = _merges(s, rule, start, s.rest_lat, s.rest_lon)
    if at >= 0:
        before = s.work[SLOT_QUEUE + at]
        row.kind = STOP
        clear(row, STOP, before.anchor)
        row.start_width = before.start_width
        row.speed_before = before.speed_before
        row.motion_before = before.motion_before
        row.reasons = before.reasons | R_MERGED | reasons
        n = before.fixes
        s.rest_dlat += n * (before.lat - s.rest_lat0)
        s.rest_dlon += n * eastward(before.lon - s.rest_lon0)
        s.rest_n += n
        s.rest_acc += before.accuracy_cm * n / 100.0
        s.rest_d2 += n * s.rest_merge2 / (rule.merge_spread * rule.merge_spread)
        s.rest_all += n
        s.rest_silence = max(s.rest_silence, before.silence)
        s.rest_radius = max(s.rest_radius, before.radius_cm / 100.0)
        drop(s, at)
        due(s)
    else:
        clear(row, STOP, start)
        row.start_width = width
        row.speed_before = NONE32 if speed < 0.0 else cm(speed)
        row.motion_before = s.motion
        row.reasons = reasons
    _describe(s, rule, row)
    s.at_rest = 1
    s.rest_heard = NONE
    s.out_n = 0
    s.out_far = 0
    emit(s, row, out, OPEN)


@njit()
def close_rest(s: Any, rule: Any, out: Any, end: int, width: int, speed: float, reasons: int) -> None:
    """The stop ends; one that began within a silence and was hardly seen since has to have lasted, or never was.

    Where nothing but a silence speaks for it, detours, lights and the walk from the car fill ``unseen_ms`` beside the
    straight way; seen for ``linger_ms``, it has to have lasted as long as any other stop.
    """
    row = s.work[SLOT_STOP]
    _describe(s, rule, row)
    if (
        s.rest_heard != NONE
        and end - row.start < (rule.unseen_ms if s.rest_in_t - s.rest_heard < rule.linger_ms else rule.window_ms)
        and not row.reasons & R_MERGED
    ):
        s.at_rest = 0
        s.rest_leave = NONE
        emit(s, row, out, RETRACTED)
        return
    row.end = end
    row.end_width = width
    row.speed_after = cm(speed)
    row.motion_after = s.motion
    row.reasons |= reasons
    s.at_rest = 0
    s.rest_end = end
    s.rest_leave = NONE
    s.rest_merge2 = rule.merge_spread * rule.merge_spread * s.rest_d2 / s.rest_all
    emit(s, row, out, PROVISIONAL)
    enqueue(s, SLOT_STOP)


@njit()
def _stands(s: Any, rule: Any, t: int, lat: int, lon: int) -> bool:
    """Inside, not tight for a while: True where it has stood here for ``linger_ms``. It drifts and has not set out."""
    if s.rest_in_t + RECENTRE_MS < t:
        return True
    i = s.ring_head
    for _ in range(s.ring_n):
        if apart2(s.ring_lat[i], s.ring_lon[i], lat, lon, s.scale) > rule.tight_m * rule.tight_m:
            return False
        if t - s.ring_t[i] >= rule.linger_ms:
            return True
        i = (i - 1 + RING) % RING
    return False


@inlined()
def resting(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float) -> None:
    """While at rest: take the fix in, or count it towards leaving."""
    d2 = apart2(s.rest_lat, s.rest_lon, lat, lon, s.rest_scale)
    inside = rule.inside_m + 0.5 * min(acc, 100.0)
    if d2 <= max(inside * inside, s.rest_inside2):
        s.out_n = 0
        s.out_far = 0
        s.rest_leave = NONE
        s.rest_silence = max(s.rest_silence, t - s.t)
        if d2 <= s.rest_tight2 or (t - s.rest_in_t >= rule.stood_ms and _stands(s, rule, t, lat, lon)):
            take_rest(s, t, lat, lon, acc, d2)
            if s.rest_n >= s.rest_next:
                recentre(s, rule)
        else:
            if t - s.t >= rule.stood_ms:
                # Not heard for a while and still inside: if it has set out, then at a walk.
                s.rest_in_t = max(s.rest_in_t, t - int(math.sqrt(d2) / rule.walk_mps * 1000.0))
            _spread(s, d2)
        if d2 > s.rest_radius * s.rest_radius:
            s.rest_radius = math.sqrt(d2)
        return
    if s.out_n == 0:
        s.out_t = t
    s.out_n += 1
    far = rule.far_m + acc
    if d2 > far * far:
        s.out_far += 1
    if (s.out_n >= rule.exit_fixes and t - s.out_t >= rule.exit_ms) or s.out_far >= 2:
        why = R_INTERVAL | R_SILENCE if s.rest_leave > s.rest_in_t else 0
        end = max(s.rest_in_t, s.rest_leave)
        close_rest(s, rule, out, end, s.out_t - s.rest_in_t, s.v, why)
