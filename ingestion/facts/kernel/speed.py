"""How fast the phone moves at a fix."""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.geometry import apart2
from ingestion.facts.kernel.jit import inlined
from ingestion.facts.kernel.types import RING


@inlined()
def speed_of(s: Any, rule: Any, t: int, lat: int, lon: int, acc: float, reported: float, moved2: float) -> float:
    """Best estimate of the speed at this fix, m/s: reported where credible, else displacement.

    Some phones report exactly 0 whenever they do not measure ("the mess" of real data): a run of zeros over which the
    phone clearly moved makes it mute, until it reports vehicle speed again. Displacement is taken over at least 10 s,
    longer where the accuracy is poor: over the time in which slow driving outruns the error.
    """
    if reported == 0.0:
        if s.zeros == 0:
            s.zero_lat, s.zero_lon, s.zero_acc = lat, lon, acc
        s.zeros += 1
        room = max(25.0, acc + s.zero_acc)
        if apart2(s.zero_lat, s.zero_lon, lat, lon, s.scale) > room * room:
            s.mute = 1
    elif reported > 0.0:
        s.zeros = 0
        if reported >= rule.fast_mps:
            s.mute = 0
    if reported > 0.0 or (reported == 0.0 and s.mute == 0):
        return reported
    error = 0.5 * (acc + s.acc)
    wanted = min(60_000.0, max(10_000.0, error / rule.fast_mps * 1000.0))
    span, far2 = t - s.t, moved2
    i = s.ring_head
    back = -1
    for _ in range(min(s.ring_n, 13)):
        if span >= wanted or t - s.ring_t[i] > 60_000:
            break
        span = t - s.ring_t[i]
        back = i
        i = (i - 1 + RING) % RING
    if back >= 0:
        far2 = apart2(s.ring_lat[back], s.ring_lon[back], lat, lon, s.scale)
    if far2 <= error * error and span < 60_000:
        return 0.0
    return math.sqrt(far2) / max(1.0, span * 0.001)
