"""From MOVING to AT_REST: when and since when a phone rests, by its recent fixes."""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.geometry import apart, apart2, eastward, mean_of, wrap
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.rest import begin_rest, blur_of, open_rest, recentre, take_rest, window
from ingestion.facts.kernel.types import RING


@njit()
def _arrived(s: Any, rule: Any, i: int, start: int, lat: int, lon: int) -> int:
    """When it came here (ms), where nothing was heard between the remembered fix ``i`` on the way and ``start``.

    As early as the way allows, as a departure within a silence is as late: at a walk where that was quick enough and
    it did not drive before, else at ``travel_mps``.
    """
    way = apart(s.ring_lat[i], s.ring_lon[i], lat, lon, s.scale)
    gap = start - s.ring_t[i]
    pace = rule.walk_mps
    if way > pace * gap * 0.001:
        pace = rule.travel_mps
    elif s.ring_n > 1:
        j = (i - 1 + RING) % RING
        run = apart(s.ring_lat[j], s.ring_lon[j], s.ring_lat[i], s.ring_lon[i], s.scale)
        if s.ring_t[j] < s.ring_t[i] and run > rule.fast_mps * (s.ring_t[i] - s.ring_t[j]) * 0.001:
            pace = rule.travel_mps
    return min(start, s.ring_t[i] + int(way / pace * 1000.0))


@njit()
def settle(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float) -> None:
    """While moving: open a stop if all of the last window lies within the radius of its mean."""
    tail = window(s, rule, t)
    if t - s.ring_t[tail] < rule.window_ms:
        return
    # Most calls end here: where the phone was a window ago is far off.
    radius = rule.radius_m + blur_of(s, rule)
    far2 = 2.5 * radius * (2.5 * radius)
    if apart2(s.ring_lat[tail], s.ring_lon[tail], lat, lon, s.scale) > far2:
        return
    # The window: entries younger than window_ms and the one just before, so that it spans the whole window.
    n = 0
    i = s.ring_head
    sum_lat, sum_lon = 0, 0
    while True:
        if apart2(s.ring_lat[i], s.ring_lon[i], lat, lon, s.scale) > far2:
            return
        sum_lat += s.ring_lat[i] - lat
        sum_lon += eastward(s.ring_lon[i] - lon)
        n += 1
        if i == tail:
            break
        i = (i - 1 + RING) % RING
    mid_lat = lat + mean_of(sum_lat, n)
    mid_lon = wrap(lon + mean_of(sum_lon, n))
    # How many are off, and where the younger half lies and how wide: the older half may still be walking in.
    outside = 0
    young, young_lat, young_lon = 0, 0, 0
    i = s.ring_head
    for _ in range(n):
        if apart2(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon, s.scale) > radius * radius:
            outside += 1
        elif 2 * (t - s.ring_t[i]) <= rule.window_ms:
            young += 1
            young_lat += s.ring_lat[i] - lat
            young_lon += eastward(s.ring_lon[i] - lon)
        i = (i - 1 + RING) % RING
    if outside * 10 > n:
        return
    if young > 1:
        mid_lat = lat + mean_of(young_lat, young)
        mid_lon = wrap(lon + mean_of(young_lon, young))
    begin_rest(s, mid_lat, mid_lon)
    i = s.ring_head
    for _ in range(n):
        d2 = apart2(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon, s.scale)
        if 2 * (t - s.ring_t[i]) <= rule.window_ms and d2 <= radius * radius:
            take_rest(s, s.ring_t[i], s.ring_lat[i], s.ring_lon[i], acc, d2)
        i = (i - 1 + RING) % RING
    if s.rest_n == 0:
        take_rest(s, t, lat, lon, acc, 0.0)
    recentre(s, rule)
    # The arrival: the earliest remembered fix of the unbroken run that is tight around the centre.
    tight2 = s.rest_tight2
    begin_rest(s, mid_lat, mid_lon)
    i = s.ring_head
    start = t
    k = 0
    misses = 0
    before = -1
    while k < s.ring_n:
        d2 = apart2(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon, s.scale)
        if d2 > tight2:
            misses += 1
            if misses > 1 + n // 10:
                break
        else:
            start = s.ring_t[i]
            before = (i - 1 + RING) % RING if k + 1 < s.ring_n else -1
            take_rest(s, start, s.ring_lat[i], s.ring_lon[i], acc, d2)
            s.rest_radius = max(s.rest_radius, math.sqrt(d2))
        i = (i - 1 + RING) % RING
        k += 1
    if s.rest_n == 0:
        take_rest(s, t, lat, lon, acc, 0.0)
    s.rest_in_t = t
    start = max(start, s.rest_end)
    width = 0
    speed = -1.0
    if k < s.ring_n:
        width = max(0, start - s.ring_t[i])
        speed = apart(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon, s.scale) / max(1.0, width * 0.001)
    if before >= 0 and start - s.ring_t[before] >= rule.stood_ms:
        width = max(width, start - s.ring_t[before])
        start = max(_arrived(s, rule, before, start, mid_lat, mid_lon), s.rest_end)
    open_rest(s, rule, out, start, width, speed, 0)
