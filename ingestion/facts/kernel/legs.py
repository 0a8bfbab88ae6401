"""Vehicle legs, and halts within them."""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.garages import fell_silent
from ingestion.facts.kernel.geometry import apart, distance
from ingestion.facts.kernel.jit import inlined, njit
from ingestion.facts.kernel.left import (
    CONFIRMED,
    IN_LEG,
    MAYBE,
    NO_LEG,
    NOTHING,
    SAID,
    UNCONFIRMED,
    confirm,
    evidence,
    heard,
    say,
    stand,
    tell,
    unsay,
    vanish,
    watch,
)
from ingestion.facts.kernel.rows import clear, cm, emit, enqueue
from ingestion.facts.kernel.types import (
    A_FOOT,
    A_UNKNOWN,
    A_VEHICLE,
    HALT,
    NONE,
    PROVISIONAL,
    R_GARAGE,
    R_MOTION,
    R_NO_PAUSE,
    R_RESUMED,
    R_SILENCE,
    R_SPEED,
    RETRACTED,
    SILENCE,
    SLOT_LEFT,
    VEHICLE,
)

CALM_MS = 120_000


@njit()
def _start(s: Any, t: int, width: int, lat: int, lon: int) -> None:
    """A vehicle leg may begin here; ``t`` lies in an interval of ``width`` ms."""
    s.leg = MAYBE
    s.leg_t = t
    s.leg_gap = width
    s.leg_lat = lat
    s.leg_lon = lon
    s.leg_path = 0.0
    s.leg_speed = 0.0
    s.leg_strong = 0
    s.leg_n = 0
    s.leg_halts = 0
    for a in range(5):
        s.leg_motion[a] = 0
    if s.motion >= 0:
        s.leg_motion[s.motion] = 1


@njit()
def _set_out(s: Any, rule: Any, t: int, moved: float) -> None:
    """A vehicle leg is noticed at a fix ``moved`` m on from the last one: date its start and say how widely.

    It began where the phone was last slow: a drive is noticed a fix or two late. Where nothing was heard for longer
    than ``CALM_MS`` it began within that gap, as late as the way allows, as the departure of a stop does.
    """
    if t - s.calm_t <= CALM_MS:
        _start(s, s.calm_at, t - s.calm_since, s.calm_lat, s.calm_lon)
        return
    since, heard, way = s.t, t, moved
    if s.calm_t != NONE and s.t - s.calm_t > t - s.t:
        # The last fix was fast already, and first after the gap.
        since, heard = s.calm_t, s.t
        way = apart(s.calm_lat, s.calm_lon, s.lat, s.lon, s.scale)
    _start(s, max(since, heard - int(way / rule.travel_mps * 1000.0)), heard - since, s.lat, s.lon)


@njit()
def _close(s: Any, rule: Any, out: Any, lat: int, lon: int) -> None:
    """A new vehicle leg began: the open candidate ends with its start."""
    row = s.work[SLOT_LEFT]
    tell(s, rule, row, s.left_walked)
    if s.left == UNCONFIRMED:
        row.followed = VEHICLE
        row.walked_cm = cm(s.left_walked)
    row.end = max(s.leg_t, row.start)
    row.end_width = s.leg_gap
    row.return_cm = cm(distance(row.lat, row.lon, lat, lon))
    row.next_lat = lat
    row.next_lon = lon
    s.left = NOTHING
    emit(s, row, out, PROVISIONAL)
    enqueue(s, SLOT_LEFT)


@njit()
def _halt(s: Any, out: Any, v: float) -> None:
    """The stand in the candidate slot was a halt: written as a fact of its own from a copy of its row."""
    row = s.work[SLOT_LEFT]
    start, lat, lon = heard(s, row), row.lat, row.lon
    fixes, acc, unc, width = row.fixes, row.accuracy_cm, row.uncertainty_cm, row.start_width
    before, motion = row.speed_before, row.motion_before
    clear(row, HALT, start)
    row.end = max(s.left_last_t, start)
    row.end_width = max(0, s.now_t - s.left_last_t)
    row.lat, row.lon = lat, lon
    row.fixes, row.accuracy_cm, row.uncertainty_cm = fixes, acc, unc
    row.start_width = width
    row.radius_cm = cm(s.left_walked)
    row.speed_before = before
    row.speed_after = cm(v)
    row.motion_before = motion
    row.motion_after = s.motion
    row.reasons = R_RESUMED
    emit(s, row, out, PROVISIONAL)
    enqueue(s, SLOT_LEFT)


@njit()
def _fast(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, v: float, moved: float) -> None:
    """A fix at vehicle speed."""
    if s.leg == NO_LEG:
        _set_out(s, rule, t, moved)
    s.leg_path += moved
    s.leg_n += 1
    s.leg_speed = max(s.leg_speed, v)
    if v >= rule.vehicle_mps:
        s.leg_strong += 2 if moved >= rule.vehicle_m and t - s.t >= rule.sparse_ms else 1
    row = s.work[SLOT_LEFT]
    closing = False
    from_lat, from_lon = s.leg_lat, s.leg_lon
    if s.leg == MAYBE:
        far = distance(s.leg_lat, s.leg_lon, lat, lon)
        # Soon after a candidate nobody's own motion confirmed, less is enough: it may have been a slow roll.
        again = s.left == CONFIRMED and s.motion != A_FOOT and t - heard(s, row) <= 2 * rule.settle_ms
        if (s.leg_strong >= 2 and far >= rule.vehicle_m) or (again and s.leg_n >= 2 and far >= rule.again_m):
            s.leg = IN_LEG
            closing = s.left != NOTHING
    elif s.left == UNCONFIRMED or s.left == SAID:
        # Against a word that the phone did not say of the drive it takes what makes a leg: jitter is fast, too.
        believed = s.left == SAID and s.leg_motion[A_VEHICLE] > s.leg_motion[A_FOOT]
        far = rule.vehicle_m if believed else rule.resume_m
        if distance(row.lat, row.lon, lat, lon) < far + min(50.0, s.acc):
            return
        stood = s.left_last_t - heard(s, row)
        if stood < rule.resume_ms:
            evidence(s, row)
            emit(s, row, out, RETRACTED)
            s.left = NOTHING
            if stood >= rule.halt_ms:
                s.leg_halts += 1
                _halt(s, out, v)
        else:
            # Stood long, nobody seen to walk off: the leg ended here and another begins (drop-off, fuel, long jam).
            closing = True
            at, from_lat, from_lon = s.left_last_t, row.lat, row.lon
            if t - s.t >= rule.silence_ms:
                at = max(at, t - int(moved / rule.travel_mps * 1000.0))
            _start(s, at, t - s.left_last_t, from_lat, from_lon)
            s.leg = IN_LEG
            s.leg_speed = v
            s.leg_strong = 2
            s.leg_n = 1
    if closing:
        _close(s, rule, out, from_lat, from_lon)
    s.fast_t = t
    s.fast_v = v
    s.slow_v = 1e9
    s.slow_t = NONE


@njit()
def _slow(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, v: float, moved: float) -> None:
    """A fix below vehicle speed, within a leg that has no candidate yet: is this where it ends?"""
    row = s.work[SLOT_LEFT]
    gap = t - s.t
    s.leg_path += moved
    s.leg_n += 1
    if v < s.slow_v:
        s.slow_v = v
        s.slow_t = t
        s.slow_lat = lat
        s.slow_lon = lon
        s.slow_acc = acc
        s.slow_gap = gap
    gone = gap if fell_silent(s, rule, t, moved) else 0
    if v <= rule.still_mps or gone > 0:
        s.slow_v, s.slow_t, s.slow_lat, s.slow_lon, s.slow_acc, s.slow_gap = v, t, lat, lon, acc, gap
        stand(s, rule, out, row, R_SPEED | (R_NO_PAUSE | R_GARAGE if gone > 0 else 0), gone)
    elif t - s.fast_t >= rule.roll_ms:
        stand(s, rule, out, row, R_SPEED | R_NO_PAUSE, 0)


@njit()
def silence_in_leg(s: Any, rule: Any, out: Any, t: int, moved: float) -> None:
    """A long gap that is not vehicle speed ends a leg at the last fix before it, or settles an open candidate."""
    gap = t - s.t
    if moved > rule.fast_mps * gap * 0.001:
        return
    if s.leg == MAYBE:
        # What was fast before the gap was no drive that lasts until after it.
        s.leg = NO_LEG
    row = s.work[SLOT_LEFT]
    why = R_SILENCE
    if s.leg == IN_LEG and s.left == NOTHING:
        vanish(s, rule, out, gap, why)
    if s.left == UNCONFIRMED or s.left == SAID:
        row.silence = gap
        confirm(s, rule, out, SILENCE, why)


@inlined()
def on_move(
    s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, v: float, reported: float, moved2: float
) -> None:
    """Legs and candidates at an accepted fix ``moved2`` square metres from the last: its speed is taken to be ``v``."""
    if s.left == SAID and s.work[SLOT_LEFT].reasons & R_GARAGE and t - s.t < rule.silence_ms:
        # Heard again so soon: its fixes tell better where the leg ends than the last one before the word did.
        unsay(s, out)
    fast = v >= rule.fast_mps
    sure = fast and (
        s.v >= rule.fast_mps
        or s.v1 >= rule.fast_mps
        or (moved2 >= rule.vehicle_m * rule.vehicle_m and t - s.t >= rule.sparse_ms)
    )
    if sure:
        _fast(s, rule, out, t, lat, lon, v, math.sqrt(moved2))
    elif s.leg == IN_LEG and s.left == NOTHING:
        _slow(s, rule, out, t, lat, lon, acc, v, math.sqrt(moved2))
    elif s.left == UNCONFIRMED or s.left == SAID:
        watch(s, rule, out, t, lat, lon, acc, v)
    if s.leg == MAYBE and t - s.fast_t > 60_000 and not sure:
        s.leg = NO_LEG
    if not fast:
        s.calm_t, s.calm_lat, s.calm_lon = t, lat, lon
        s.calm_at, s.calm_since = t, t
        measured = reported > 0.0 or (reported == 0.0 and s.mute == 0)
        room = rule.resume_m + min(50.0, acc)
        if t - s.t >= rule.silence_ms and not measured and moved2 > room * room:
            # Slow only on the mean of a silence: it may have been driving already.
            s.calm_at, s.calm_since = max(s.t, t - int(math.sqrt(moved2) / rule.travel_mps * 1000.0)), s.t
    s.v1 = s.v
    s.v = v


@njit()
def on_motion(s: Any, rule: Any, out: Any, t: int, activity: int, confidence: float) -> None:
    """The phone's own activity."""
    if activity == A_UNKNOWN or confidence < rule.motion_confidence:
        return
    s.motion = activity
    s.motion_t = t
    if s.leg != NO_LEG and s.left == NOTHING:
        s.leg_motion[activity] += 1
    if activity == A_VEHICLE and s.left == SAID:
        unsay(s, out)
    if activity != A_FOOT:
        return
    hushed = s.pend_n == 0 and t - s.t >= rule.sparse_ms
    deep = hushed and fell_silent(s, rule, t, 0.0)
    if s.leg == IN_LEG and s.left == NOTHING and s.slow_t != NONE and t - s.fast_t >= 15_000 and not deep:
        stand(s, rule, out, s.work[SLOT_LEFT], R_MOTION | R_NO_PAUSE, 0)
    elif s.leg == IN_LEG and s.left == NOTHING and hushed and (deep or s.slow_t == NONE):
        vanish(s, rule, out, t - s.t, R_MOTION | (R_GARAGE if deep else 0))
    if s.left == UNCONFIRMED:
        say(s, rule, out)
