"""One record after another: the gate, then rest and legs. ``on_record`` is the only entry point."""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.gate import hold, judge, suspicion
from ingestion.facts.kernel.geometry import apart2, rescale
from ingestion.facts.kernel.jit import inlined, njit
from ingestion.facts.kernel.left import on_rest
from ingestion.facts.kernel.legs import on_motion, on_move, silence_in_leg
from ingestion.facts.kernel.rest import push, resting
from ingestion.facts.kernel.rows import FAR_FUTURE, finalise
from ingestion.facts.kernel.settle import settle
from ingestion.facts.kernel.silences import silence
from ingestion.facts.kernel.speed import speed_of
from ingestion.facts.kernel.types import NONE, QUEUE


@njit()
def start(s: Any, device: int) -> None:
    """A device's state before its first record (all other fields are zero)."""
    s.device = device
    s.motion = -1
    s.motion_t = NONE
    s.slow_t = NONE
    s.fast_t = NONE
    s.calm_t = NONE
    s.queue_due = FAR_FUTURE
    s.rest_end = NONE
    s.rest_leave = NONE
    s.rest_heard = NONE
    s.scale_room = -1


@inlined()
def _accept(
    s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, reported: float, moved2: float
) -> None:
    """A believed fix, ``moved2`` square metres from the last one."""
    s.now_t = t
    rested = 0
    if t - s.t >= rule.silence_ms:
        moved = math.sqrt(moved2)
        was = s.at_rest
        rested = silence(s, rule, out, t, lat, lon, acc, moved, reported < rule.fast_mps)
        silence_in_leg(s, rule, out, t, moved)
        if rested == 1 and not was and s.at_rest:
            on_rest(s, rule, out)
    v = speed_of(s, rule, t, lat, lon, acc, reported, moved2)
    on_move(s, rule, out, t, lat, lon, acc, v, reported, moved2)
    kept = push(s, t, lat, lon)
    if s.at_rest and rested != 2:
        resting(s, rule, out, t, lat, lon, acc)
    elif kept and v < rule.fast_mps and not s.at_rest:
        settle(s, rule, out, t, lat, lon, acc)
        if s.at_rest:
            on_rest(s, rule, out)
    s.t, s.lat, s.lon, s.acc = t, lat, lon, acc
    s.blur += (acc - s.blur) * 0.125


@inlined()
def on_fix(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, reported: float) -> None:
    """A canonical fix: gate, then the machine. ``acc`` metres, NaN where none was reported; ``reported`` m/s or NaN."""
    if acc <= 0.0 or acc > rule.max_accuracy_m:
        return
    if not acc > 0.0:
        acc = rule.assumed_accuracy_m
    if not (reported >= 0.0 and reported <= rule.teleport_mps):
        reported = -1.0
    release = 0
    if s.pend_n > 0:
        release = judge(s, rule, t, lat, lon, acc, reported)
        if release < 0:
            return
    # First what waited and is believed now, then this fix, judged against it.
    for i in range(release + 1):
        at, y, x, a, r = t, lat, lon, acc, reported
        if i < release:
            at, y, x, a, r = s.pend_t[i], s.pend_lat[i], s.pend_lon[i], s.pend_acc[i], s.pend_v[i]
        else:
            s.pend_n = 0
        rescale(s, y)
        if not s.has:
            s.has = 1
            s.t, s.lat, s.lon, s.acc = at, y, x, a
            s.v = max(0.0, r)
            s.blur = a
            push(s, at, y, x)
            continue
        moved2 = apart2(s.lat, s.lon, y, x, s.scale)
        if i == release and moved2 > rule.spike_m * rule.spike_m:
            s.pend_fast = suspicion(s, rule, math.sqrt(moved2), at, a)
            hold(s, at, y, x, a, r)
            return
        _accept(s, rule, out, at, y, x, a, r, moved2)


@inlined()
def on_record(
    s: Any,
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
        on_fix(s, rule, out, t, lat, lon, acc, v)
    else:
        on_motion(s, rule, out, t, activity, confidence)
    if t - rule.watermark_ms >= s.queue_due or s.queue_n > QUEUE:
        finalise(s, out, t - rule.watermark_ms)
