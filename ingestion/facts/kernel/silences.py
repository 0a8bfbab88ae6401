"""Silences: a gap of ``silence_ms`` or more between fixes, and what it says of rests before, within and after it."""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.geometry import apart, apart2, mean_of, wrap
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.rest import begin_rest, blur_of, close_rest, open_rest, take_rest
from ingestion.facts.kernel.types import R_INTERVAL, R_SILENCE, RING

CREEP_MS = 30_000
"""Over this long someone walks farther than a position drifts."""
SURE = 20
"""How many fixes at its place a rest that one fix began is taken to have: walking off at once is no spread of it."""


@njit()
def _recall(s: Any, rule: Any) -> int:
    """Start the rest at the last fix and take in the remembered fixes around it; the time of the earliest (ms).

    Around it: tight, or as wide as a rest may be while no faster than a drift, someone who walks in left out.
    """
    wide = rule.radius_m + blur_of(s, rule)
    tight2 = rule.tight_m * rule.tight_m
    begin_rest(s, s.lat, s.lon)
    i = s.ring_head
    j = i
    n = 0
    while n < s.ring_n:
        d2 = apart2(s.ring_lat[i], s.ring_lon[i], s.lat, s.lon, s.scale)
        while j != i and s.ring_t[j] - s.ring_t[i] > CREEP_MS:
            j = (j - 1 + RING) % RING
        crept = rule.silence_mps * (s.ring_t[j] - s.ring_t[i]) * 0.001 + rule.tight_m * 0.25
        if d2 > tight2 and (
            d2 > wide * wide
            or apart2(s.ring_lat[i], s.ring_lon[i], s.ring_lat[j], s.ring_lon[j], s.scale) > crept * crept
        ):
            break
        take_rest(s, s.ring_t[i], s.ring_lat[i], s.ring_lon[i], s.acc, d2)
        i = (i - 1 + RING) % RING
        n += 1
    if s.rest_n == 0:
        take_rest(s, s.t, s.lat, s.lon, s.acc, 0.0)
    # Of these the ones tight around their mean, as in ``settle``: the others were still walking in.
    mid_lat = s.rest_lat0 + mean_of(s.rest_dlat, s.rest_n)
    mid_lon = wrap(s.rest_lon0 + mean_of(s.rest_dlon, s.rest_n))
    spread2 = 0.0
    i = s.ring_head
    for _ in range(n):
        spread2 += apart2(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon, s.scale)
        i = (i - 1 + RING) % RING
    tight2 = max(tight2, rule.tight_spread * rule.tight_spread * spread2 / s.rest_n)
    start = s.t
    begin_rest(s, s.lat, s.lon)
    i = s.ring_head
    for _ in range(n):
        d2 = apart2(s.ring_lat[i], s.ring_lon[i], mid_lat, mid_lon, s.scale)
        if d2 <= tight2:
            start = min(start, s.ring_t[i])
            take_rest(s, s.ring_t[i], s.ring_lat[i], s.ring_lon[i], s.acc, d2)
        i = (i - 1 + RING) % RING
    if s.rest_n == 0:
        take_rest(s, s.t, s.lat, s.lon, s.acc, 0.0)
    s.rest_in_t = s.t
    return max(start, s.rest_end)


@njit()
def _left_before(s: Any, rule: Any, out: Any, lat: int, lon: int, acc: float) -> None:
    """Close the rest that the phone had set out from when it fell silent: outside or walking, and elsewhere after."""
    if s.out_n == 0 and s.v < rule.silence_mps:
        return
    room = max(rule.inside_m + min(acc, 100.0), math.sqrt(s.rest_inside2))
    if apart2(s.rest_lat, s.rest_lon, lat, lon, s.rest_scale) > room * room:
        close_rest(s, rule, out, max(s.rest_in_t, s.rest_leave), s.t - s.rest_in_t, s.v, 0)


@njit()
def _arrived_within(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, moved: float) -> int:
    """The phone was under way before the gap and is slow after it: a rest here since the way allows. 2, or 0 for none.

    It is OPEN until seen to stay; ``close_rest`` retracts it where it was not.
    """
    gap = t - s.t
    rode = s.t - s.fast_t < rule.resume_ms or moved > rule.walk_mps * gap * 0.001
    pace = rule.travel_mps if rode else rule.walk_mps
    start = max(s.rest_end, s.t + int(moved / pace * 1000.0))
    if t - start < rule.linger_ms:
        return 0
    begin_rest(s, lat, lon)
    take_rest(s, t, lat, lon, acc, 0.0)
    s.rest_all = SURE
    s.rest_silence = gap
    open_rest(s, rule, out, start, gap, moved / (gap * 0.001), R_SILENCE)
    s.rest_heard = t
    return 2


@njit()
def _rested(s: Any, rule: Any, start: int) -> bool:
    """Whether the phone, here since ``start``, rested before the gap: it walked in, or stood longer than at a light.

    A vehicle that stands where it was fast a moment ago may stand at a light or drop somebody off: ``linger_ms``.
    """
    stood = s.t - start
    if s.v <= rule.still_mps and stood >= rule.halt_ms and s.t - s.fast_t >= rule.linger_ms:
        return True
    return stood >= (rule.linger_ms if start - s.fast_t < rule.halt_ms else rule.stood_ms)


@njit()
def silence(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, moved: float, slow: bool) -> int:
    """A gap of at least ``silence_ms`` ends with this fix, ``moved`` m on; ``slow``: it reports no vehicle speed.

    1 where the gap was a stop (kept or begun), 2 where one begins with this fix, taken in already, 0 for none.
    """
    gap = t - s.t
    quick = moved > rule.silence_mps * gap * 0.001
    # How long the way to here takes: across town where it was quick, at a walk where it was not.
    pace = rule.travel_mps if quick else rule.walk_mps
    away = int(moved / pace * 1000.0) if quick or moved > rule.inside_m else 0
    why = R_INTERVAL
    if s.at_rest:
        _left_before(s, rule, out, lat, lon, acc)
    if s.at_rest:
        if not quick:
            s.rest_silence = max(s.rest_silence, gap)
            why |= R_SILENCE
    else:
        start = _recall(s, rule)
        rested = _rested(s, rule, start)
        if slow and not rested and moved > rule.inside_m:
            return _arrived_within(s, rule, out, t, lat, lon, acc, moved)
        # The way could have been made in much less than the gap: it left within.
        if quick and (not rested or moved <= rule.far_m):
            return 0
        unseen = not rested and moved > rule.inside_m
        if t - away - start < (rule.unseen_ms if unseen else rule.window_ms):
            return 0
        s.rest_silence = gap
        open_rest(s, rule, out, start, 0, s.v, R_SILENCE)
        why |= R_SILENCE
    d = apart(s.rest_lat, s.rest_lon, lat, lon, s.rest_scale)
    outside = max(rule.inside_m + min(acc, 100.0), math.sqrt(s.rest_inside2))
    if d > outside and (quick or d > rule.far_m + acc):
        # Left somewhere within the gap: the departure is an interval.
        end = max(s.rest_in_t, t - away)
        close_rest(s, rule, out, end, t - s.rest_in_t, moved / (gap * 0.001), why)
    elif d > outside:
        # Left within the gap, or wandering: the next fixes tell.
        s.rest_leave = t - int(d / rule.walk_mps * 1000.0)
    elif not quick:
        # Heard again within: if it has set out, then at a walk.
        s.rest_in_t = max(s.rest_in_t, t - int(d / rule.walk_mps * 1000.0))
    return 0 if quick else 1
