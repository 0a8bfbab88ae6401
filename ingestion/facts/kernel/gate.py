"""The gate: which fixes may decide anything. A lone fix far out waits until later ones tell spike from journey."""

from __future__ import annotations

from typing import Any

from ingestion.facts.kernel.geometry import distance
from ingestion.facts.kernel.jit import njit


@njit()
def suspicion(s: Any, rule: Any, moved: float, t: int, acc: float) -> int:
    """Of a fix ``moved`` m (> spike_m) from the last: 1 far, 2 faster than any vehicle beyond the accuracies."""
    if moved - acc - s.acc > rule.teleport_mps * max(1.0, (t - s.t) * 0.001):
        return 2
    return 1


@njit()
def hold(s: Any, t: int, lat: int, lon: int, acc: float, reported: float) -> None:
    """Let a fix wait."""
    i = s.pend_n
    s.pend_t[i], s.pend_lat[i], s.pend_lon[i], s.pend_acc[i], s.pend_v[i] = t, lat, lon, acc, reported
    s.pend_n += 1


@njit()
def judge(s: Any, rule: Any, t: int, lat: int, lon: int, acc: float, reported: float) -> int:
    """What this fix says of those that wait: how many are believed now; -1 where this one waits with them.

    Back near the last believed place, those that waited were a spike and are dropped.
    """
    first = distance(s.lat, s.lon, s.pend_lat[0], s.pend_lon[0])
    now = distance(s.lat, s.lon, lat, lon)
    waited = t - s.pend_t[0]
    near = distance(s.pend_lat[0], s.pend_lon[0], lat, lon) <= rule.jump_m + acc + s.pend_acc[0]
    jumped = (waited <= rule.jump_ms or s.pend_fast == 2) and now <= rule.jump_m + acc + s.acc
    # On the way, and after a silence, two that agree are enough: it was long enough to get there.
    heard = s.at_rest == 0 and s.pend_t[0] - s.t >= rule.silence_ms and s.pend_fast == 1
    wait = (near and waited <= rule.jump_ms and not heard) or (s.pend_fast == 2 and waited <= rule.spike_ms)
    # At rest a second fix far out elsewhere may be another jump, and so may a third soon after: one more tells.
    wait |= s.at_rest == 1 and (
        (s.pend_n == 1 and waited <= rule.jump_ms) or (s.pend_n == 2 and waited <= rule.spike_ms)
    )
    release = s.pend_n
    if jumped or (now < rule.spike_return * first and waited <= rule.spike_ms):
        release = 0
    elif wait and s.pend_n < rule.look_ahead:
        hold(s, t, lat, lon, acc, reported)
        return -1
    return release
