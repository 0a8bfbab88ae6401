"""Garages: a silence shorter than ``silence_ms`` that a phone fell into rolling and was heard after, no longer driving.

The sky ended while the vehicle rolled; the driver came out on foot, or is in the building. Neither the last fix nor the
first one after is the vehicle's place: it lies about the one by as much as lanes under ground wind, about the other by
the way a driver may have walked, and the two are weighed by these.
"""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.geometry import distance, eastward, wrap
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.rows import cm
from ingestion.facts.kernel.types import RING

RHYTHM = 8
"""Remembered fixes by which the phone's own time between fixes is told."""


@njit()
def _rhythm(s: Any) -> int:
    """The phone's own time between fixes of late (ms): the mean over the last remembered ones, 0 where there is one."""
    n = min(s.ring_n - 1, RHYTHM)
    if n < 1:
        return 0
    return int((s.t - s.ring_t[(s.ring_head - n + RING) % RING]) // n)


@njit()
def fell_silent(s: Any, rule: Any, t: int, moved: float) -> bool:
    """Whether a leg's vehicle, rolling at the last fix, was left in the silence that ends with this slow fix at ``t``.

    Longer than the phone's own rhythm explains, and ``moved`` (m) no farther than what a garage takes and a walk.
    """
    gap = t - s.t
    if gap < rule.garage_ms or s.v <= rule.still_mps:
        return False
    rhythm = _rhythm(s)
    return rhythm > 0 and gap >= rule.garage_rhythm * rhythm and moved <= rule.garage_m + rule.walk_mps * gap * 0.001


@njit()
def remember(s: Any, rule: Any, gap: int) -> None:
    """Keep the last fix before the silence of ``gap`` ms that ends now, beside the place that fixes after speak for.

    Of both, how far (squared) the vehicle may be from it: it rolled on to where the sky ends for as long as a fix was
    due, then through lanes; its driver came from it on foot, as far as there was time to and lanes reach.
    """
    s.gone_t = s.t + gap
    s.gone_lat, s.gone_lon = s.lat, s.lon
    lanes2 = rule.garage_m * rule.garage_m
    rolled = s.v * 0.001 * _rhythm(s)
    s.gone_m2 = s.acc * s.acc + rolled * rolled + lanes2
    walked = rule.garage_mps * 0.001 * gap
    s.came_m2 = min(walked * walked, lanes2)


@njit()
def between(s: Any, row: Any) -> None:
    """Put a candidate's place between where it fell silent and where it was heard, as near to each as each is sure.

    ``row`` holds the place by the fixes after the silence. Where the two lie farther apart than their uncertainties
    explain, what is stated grows by as much.
    """
    heard = row.accuracy_cm * 0.01
    after2 = heard * heard + s.came_m2
    share = after2 / (s.gone_m2 + after2)
    d = distance(row.lat, row.lon, s.gone_lat, s.gone_lon)
    more = max(1.0, d * d / (s.gone_m2 + after2))
    north, east = share * (s.gone_lat - row.lat), share * eastward(s.gone_lon - row.lon)
    # Cut towards the place heard: so is the mirrored one.
    row.lat += int(north)
    row.lon = wrap(row.lon + int(east))
    row.uncertainty_cm = cm(math.sqrt(share * s.gone_m2 * more))
