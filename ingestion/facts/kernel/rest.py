"""Stops: MOVING <-> AT_REST with hysteresis, silence, merging, refined arrival and departure."""

from __future__ import annotations

from typing import Any

from numba import njit

from ingestion.facts.kernel.geometry import distance, mean_of, unwrap, wrap
from ingestion.facts.kernel.rows import clear, drop, due, emit, enqueue
from ingestion.facts.kernel.types import (
    NONE,
    OPEN,
    PROVISIONAL,
    R_INTERVAL,
    R_MERGED,
    R_SILENCE,
    RING,
    RING_MS,
    SLOT_QUEUE,
    SLOT_STOP,
    STOP,
)


@njit(cache=True)
def push(s: Any, t: int, lat: int, lon: int) -> bool:
    """Remember a recent fix, thinned to one per RING_MS. True where it was kept."""
    if s.ring_n > 0 and t - s.ring_t[s.ring_head] < RING_MS:
        return False
    s.ring_head = (s.ring_head + 1) % RING
    s.ring_t[s.ring_head] = t
    s.ring_lat[s.ring_head] = lat
    s.ring_lon[s.ring_head] = lon
    if s.ring_n < RING:
        s.ring_n += 1
    return True


@njit(cache=True)
def centre_lat(s: Any) -> int:
    """Latitude (1e-7 degrees) of the running mean of the rest."""
    return s.rest_lat0 + mean_of(s.rest_dlat, s.rest_n)


@njit(cache=True)
def centre_lon(s: Any) -> int:
    """Longitude (1e-7 degrees) of the running mean of the rest."""
    return wrap(s.rest_lon0 + mean_of(s.rest_dlon, s.rest_n))


@njit(cache=True)
def _take(s: Any, t: int, lat: int, lon: int, acc: float) -> None:
    s.rest_dlat += lat - s.rest_lat0
    s.rest_dlon += unwrap(lon - s.rest_lon0)
    s.rest_n += 1
    s.rest_acc += acc
    s.rest_in_t = t
    s.rest_in_lat = lat
    s.rest_in_lon = lon


@njit(cache=True)
def _begin(s: Any, lat: int, lon: int) -> None:
    s.rest_lat0 = lat
    s.rest_lon0 = lon
    s.rest_dlat = 0
    s.rest_dlon = 0
    s.rest_n = 0
    s.rest_acc = 0.0
    s.rest_silence = 0
    s.rest_radius = 0.0


@njit(cache=True)
def _describe(s: Any, row: Any) -> None:
    row.lat = centre_lat(s)
    row.lon = centre_lon(s)
    row.fixes = s.rest_n
    row.accuracy_cm = int(s.rest_acc * 100.0 / s.rest_n)
    row.silence = s.rest_silence
    row.radius_cm = int(s.rest_radius * 100.0)
    row.uncertainty_cm = max(500, int((s.rest_acc / s.rest_n + s.rest_radius) * 50.0))


@njit(cache=True)
def _merges(s: Any, work: Any, rule: Any, start: int, lat: int, lon: int) -> int:
    """The queue position of the stop that a new one at this time and place continues, or -1."""
    for i in range(s.queue_n - 1, -1, -1):
        row = work[SLOT_QUEUE + i]
        if row.kind == STOP:
            if start - row.end <= rule.merge_ms and distance(row.lat, row.lon, lat, lon) <= rule.merge_m:
                return i
            return -1
    return -1


@njit(cache=True)
def _open(s: Any, work: Any, rule: Any, out: Any, start: int, width: int, speed: float, reasons: int) -> None:
    """A stop begins: a new row, or the last one continued. Sums of the rest hold its evidence so far."""
    row = work[SLOT_STOP]
    lat, lon = centre_lat(s), centre_lon(s)
    at = _merges(s, work, rule, start, lat, lon)
    if at >= 0:
        before = work[SLOT_QUEUE + at]
        row.kind = STOP
        clear(row, STOP, before.anchor)
        row.start_width = before.start_width
        row.speed_before = before.speed_before
        row.motion_before = before.motion_before
        row.reasons = before.reasons | R_MERGED | reasons
        n = before.fixes
        s.rest_dlat += n * (before.lat - s.rest_lat0)
        s.rest_dlon += n * unwrap(before.lon - s.rest_lon0)
        s.rest_n += n
        s.rest_acc += before.accuracy_cm * n / 100.0
        s.rest_silence = max(s.rest_silence, before.silence)
        s.rest_radius = max(s.rest_radius, before.radius_cm / 100.0)
        drop(s, work, at)
        due(s, work)
    else:
        clear(row, STOP, start)
        row.start_width = width
        row.speed_before = NONE if speed < 0.0 else int(speed * 100.0)
        row.motion_before = s.motion
        row.reasons = reasons
    _describe(s, row)
    s.at_rest = 1
    s.out_n = 0
    s.out_far = 0
    emit(s, row, out, OPEN)


@njit(cache=True)
def _close(s: Any, work: Any, out: Any, end: int, width: int, speed: float, reasons: int) -> None:
    row = work[SLOT_STOP]
    _describe(s, row)
    row.end = end
    row.end_width = width
    row.speed_after = int(speed * 100.0)
    row.motion_after = s.motion
    row.reasons |= reasons
    s.at_rest = 0
    emit(s, row, out, PROVISIONAL)
    enqueue(s, work, SLOT_STOP)


@njit(cache=True)
def _recall(s: Any, rule: Any) -> int:
    """Start the rest at the last fix and take in the remembered fixes around it; the time of the earliest (ms)."""
    _begin(s, s.lat, s.lon)
    start = s.t
    i = s.ring_head
    for _ in range(s.ring_n):
        if distance(s.ring_lat[i], s.ring_lon[i], s.lat, s.lon) > rule.radius_m:
            break
        start = min(start, s.ring_t[i])
        _take(s, s.ring_t[i], s.ring_lat[i], s.ring_lon[i], s.acc)
        i = (i - 1 + RING) % RING
    if s.rest_n == 0:
        _take(s, s.t, s.lat, s.lon, s.acc)
    s.rest_in_t = s.t
    s.rest_in_lat = s.lat
    s.rest_in_lon = s.lon
    return start


@njit(cache=True)
def silence(s: Any, work: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float) -> bool:
    """A gap of at least ``silence_ms`` ends with this fix. True where it was a stop (kept or begun)."""
    gap = t - s.t
    moved = distance(s.lat, s.lon, lat, lon)
    quick = moved > rule.silence_mps * gap * 0.001
    away = int(moved / rule.walk_mps * 1000.0) if moved > rule.inside_m else 0
    end: int = NONE
    why = R_INTERVAL
    if s.at_rest:
        outside = distance(centre_lat(s), centre_lon(s), lat, lon) > rule.inside_m + min(acc, 100.0)
        if not quick:
            s.rest_silence = max(s.rest_silence, gap)
            why |= R_SILENCE
        if outside:
            # Left somewhere within the gap: the departure is an interval.
            end = s.rest_in_t if quick else max(s.rest_in_t, t - away)
    elif not quick and gap - away >= rule.window_ms:
        start = _recall(s, rule)
        s.rest_silence = gap
        _open(s, work, rule, out, start, 0, s.v, R_SILENCE)
        why |= R_SILENCE
        if away > 0:
            end = t - away
    else:
        return False
    if end != NONE:
        _close(s, work, out, end, t - s.rest_in_t, moved / (gap * 0.001), why)
    return not quick


@njit(cache=True)
def settle(s: Any, work: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float) -> None:
    """While moving: open a stop if all of the last window lies within the radius of its mean."""
    if s.ring_n < 2:
        return
    # Most calls end here: some remembered fix of the window is far off.
    probe = 1
    while probe < s.ring_n:
        i = (s.ring_head - probe + RING) % RING
        if distance(s.ring_lat[i], s.ring_lon[i], lat, lon) > 2.5 * rule.radius_m:
            return
        if t - s.ring_t[i] >= rule.window_ms:
            break
        probe *= 2
    # The window: entries younger than window_ms and the one just before, so that it spans the whole window.
    n = 0
    i = s.ring_head
    sum_lat, sum_lon = 0, 0
    covered = False
    while n < s.ring_n:
        if distance(s.ring_lat[i], s.ring_lon[i], lat, lon) > 2.5 * rule.radius_m:
            return
        sum_lat += s.ring_lat[i] - lat
        sum_lon += unwrap(s.ring_lon[i] - lon)
        n += 1
        if t - s.ring_t[i] >= rule.window_ms:
            covered = True
            break
        i = (i - 1 + RING) % RING
    if not covered:
        return
    mid_lat = lat + mean_of(sum_lat, n)
    mid_lon = lon + mean_of(sum_lon, n)
    i = s.ring_head
    outside = 0
    for _ in range(n):
        if distance(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon) > rule.radius_m:
            outside += 1
        i = (i - 1 + RING) % RING
    if outside * 10 > n:
        return
    # Refine the arrival: the earliest remembered fix of the unbroken run within the radius.
    _begin(s, mid_lat, wrap(mid_lon))
    i = s.ring_head
    start = t
    k = 0
    misses = 0
    while k < s.ring_n:
        d = distance(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon)
        if d > rule.radius_m:
            misses += 1
            if k >= n or misses > 1 + n // 10:
                break
        else:
            start = s.ring_t[i]
            s.rest_dlat += s.ring_lat[i] - s.rest_lat0
            s.rest_dlon += unwrap(s.ring_lon[i] - s.rest_lon0)
            s.rest_n += 1
            s.rest_acc += acc
            s.rest_radius = max(s.rest_radius, d)
        i = (i - 1 + RING) % RING
        k += 1
    width = 0
    speed = -1.0
    if k < s.ring_n:
        width = start - s.ring_t[i]
        speed = distance(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon) / max(1.0, width * 0.001)
    s.rest_in_t = t
    s.rest_in_lat = lat
    s.rest_in_lon = lon
    _open(s, work, rule, out, start, width, speed, 0)


@njit(cache=True)
def resting(s: Any, work: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float) -> None:
    """While at rest: take the fix in, or count it towards leaving."""
    d = distance(centre_lat(s), centre_lon(s), lat, lon)
    if d <= rule.inside_m + 0.5 * min(acc, 100.0):
        s.out_n = 0
        s.out_far = 0
        if d <= rule.radius_m or s.rest_in_t + 600_000 < t:
            s.rest_silence = max(s.rest_silence, t - s.rest_in_t)
            _take(s, t, lat, lon, acc)
        if d > s.rest_radius:
            s.rest_radius = d
        return
    if s.out_n == 0:
        s.out_t = t
    s.out_n += 1
    if d > rule.far_m + acc:
        s.out_far += 1
    if (s.out_n >= rule.exit_fixes and t - s.out_t >= rule.exit_ms) or s.out_far >= 2:
        _close(s, work, out, s.rest_in_t, s.out_t - s.rest_in_t, s.v, 0)
