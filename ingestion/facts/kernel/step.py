"""One record after another: the gate, then rest and legs. ``run`` is the only entry point."""

from __future__ import annotations

from typing import Any

from numba import njit

from ingestion.facts.kernel.geometry import distance
from ingestion.facts.kernel.legs import on_motion, on_move, on_rest, silence_in_leg, speed_of
from ingestion.facts.kernel.rest import push, resting, settle, silence
from ingestion.facts.kernel.rows import FAR_FUTURE, finalise
from ingestion.facts.kernel.types import NONE, QUEUE

ROOM = 48
"""Rows that one record can emit at the most (a full queue, and every milestone of a stop and a candidate)."""


@njit(cache=True)
def start(s: Any, device: int) -> None:
    """A device's state before its first record (all other fields are zero)."""
    s.device = device
    s.motion = -1
    s.motion_t = NONE
    s.slow_t = NONE
    s.fast_t = NONE
    s.calm_t = NONE
    s.queue_due = FAR_FUTURE


@njit(cache=True)
def _accept(s: Any, work: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, reported: float) -> None:
    if not s.has:
        s.has = 1
        s.t, s.lat, s.lon, s.acc = t, lat, lon, acc
        s.v = max(0.0, reported)
        push(s, t, lat, lon)
        return
    s.now_t = t
    gap = t - s.t
    rested = False
    if gap >= rule.silence_ms:
        was = s.at_rest
        rested = silence(s, work, rule, out, t, lat, lon, acc)
        silence_in_leg(s, work, rule, out, t, lat, lon)
        if rested and not was and s.at_rest:
            on_rest(s, work, out)
    v = speed_of(s, rule, t, lat, lon, acc, reported)
    on_move(s, work, rule, out, t, lat, lon, acc, v)
    kept = push(s, t, lat, lon)
    if s.at_rest:
        resting(s, work, rule, out, t, lat, lon, acc)
    elif kept and v < rule.fast_mps:
        settle(s, work, rule, out, t, lat, lon, acc)
        if s.at_rest:
            on_rest(s, work, out)
    s.t, s.lat, s.lon, s.acc = t, lat, lon, acc


@njit(cache=True)
def _suspicious(s: Any, rule: Any, t: int, lat: int, lon: int, acc: float) -> int:
    """0 plausible, 1 far (> spike_m), 2 faster than any vehicle beyond the accuracies."""
    d = distance(s.lat, s.lon, lat, lon)
    if d <= rule.spike_m:
        return 0
    if d - acc - s.acc > rule.teleport_mps * max(1.0, (t - s.t) * 0.001):
        return 2
    return 1


@njit(cache=True)
def _hold(s: Any, t: int, lat: int, lon: int, acc: float, reported: float) -> None:
    i = s.pend_n
    s.pend_t[i], s.pend_lat[i], s.pend_lon[i], s.pend_acc[i], s.pend_v[i] = t, lat, lon, acc, reported
    s.pend_n += 1


@njit(cache=True)
def on_fix(s: Any, work: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, reported: float) -> None:
    """A canonical fix: gate, then the machine. ``acc`` metres, NaN where none was reported; ``reported`` m/s or NaN."""
    if acc <= 0.0 or acc > rule.max_accuracy_m:
        return
    if not acc > 0.0:
        acc = rule.assumed_accuracy_m
    if not reported >= 0.0:
        reported = -1.0
    release = 0
    if s.has and s.pend_n > 0:
        first = distance(s.lat, s.lon, s.pend_lat[0], s.pend_lon[0])
        now = distance(s.lat, s.lon, lat, lon)
        waited = t - s.pend_t[0]
        near = distance(s.pend_lat[0], s.pend_lon[0], lat, lon) <= rule.jump_m + acc + s.pend_acc[0]
        jumped = waited <= rule.jump_ms and now <= rule.jump_m + acc + s.acc
        wait = (near and waited <= rule.jump_ms) or (s.pend_fast == 2 and waited <= rule.spike_ms)
        if jumped or (now < rule.spike_return * first and waited <= rule.spike_ms):
            s.pend_n = 0
        elif wait and s.pend_n < rule.look_ahead:
            _hold(s, t, lat, lon, acc, reported)
            return
        else:
            release = s.pend_n
    for step in range(2):  # first what waited, then this fix, judged against what waited
        if step == 1:
            level = _suspicious(s, rule, t, lat, lon, acc) if s.has else 0
            s.pend_fast = level
            s.pend_n = 0
            _hold(s, t, lat, lon, acc, reported)
            if level > 0:
                return
            release = 1
        for i in range(release):
            _accept(s, work, rule, out, s.pend_t[i], s.pend_lat[i], s.pend_lon[i], s.pend_acc[i], s.pend_v[i])
    s.pend_n = 0


@njit(cache=True)
def on_record(
    s: Any,
    work: Any,
    rule: Any,
    out: Any,
    event: int,
    t: int,
    lat: int,
    lon: int,
    acc: float,
    v: float,
    activity: int,
    confidence: float,
) -> None:
    """One record in event order: a fix where ``activity`` < 0, else motion activity. Milestones go to ``out``."""
    s.now = event
    s.now_t = t
    if activity < 0:
        on_fix(s, work, rule, out, t, lat, lon, acc, v)
    else:
        on_motion(s, work, rule, out, t, activity, confidence)
    if t - rule.watermark_ms >= s.queue_due or s.queue_n > QUEUE:
        finalise(s, work, out, t - rule.watermark_ms)
