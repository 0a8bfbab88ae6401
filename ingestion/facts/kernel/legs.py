"""Vehicle legs, halts within them, and where the vehicle was left."""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.geometry import apart, apart2, distance, eastward, mean_of, wrap
from ingestion.facts.kernel.jit import inlined, njit
from ingestion.facts.kernel.rows import clear, cm, emit, enqueue
from ingestion.facts.kernel.types import (
    A_CYCLING,
    A_FOOT,
    A_STILL,
    A_UNKNOWN,
    A_VEHICLE,
    FOOT,
    HALT,
    LEFT,
    NONE,
    OPEN,
    PROVISIONAL,
    R_GARAGE,
    R_MOTION,
    R_NO_PAUSE,
    R_RESUMED,
    R_SETTLED,
    R_SILENCE,
    R_SPARSE,
    R_SPEED,
    R_WALKED,
    REST,
    RETRACTED,
    RING,
    SILENCE,
    SLOT_LEFT,
    UNKNOWN,
    VEHICLE,
)

NO_LEG, MAYBE, IN_LEG = 0, 1, 2
CALM_MS = 120_000
NOTHING, UNCONFIRMED, SAID, CONFIRMED = 0, 1, 2, 3
"""Of a candidate: SAID is one that only the phone's word "on foot" speaks for; driving on takes it back."""


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


@njit()
def _stand(s: Any, out: Any, row: Any, why: int) -> None:
    """The vehicle stands (or was left without a pause) at the slowest fix since it was fast: a candidate opens."""
    t, lat, lon, acc = s.slow_t, s.slow_lat, s.slow_lon, s.slow_acc
    clear(row, LEFT, t)
    s.left = UNCONFIRMED
    _begin_place(s, t, lat, lon)
    row.start_width = s.slow_gap
    row.followed = UNKNOWN
    row.speed_before = cm(s.fast_v)
    row.leg_start = s.leg_t
    row.leg_cm = cm(s.leg_path)
    row.leg_speed = cm(s.leg_speed)
    row.leg_fixes = s.leg_n
    row.leg_halts = s.leg_halts
    row.reasons = why
    best, count = A_UNKNOWN, 0
    for a in (A_VEHICLE, A_CYCLING, A_FOOT, A_STILL):
        if s.leg_motion[a] > count:
            best, count = a, s.leg_motion[a]
    row.motion_before = best if count > 0 else -1
    _weigh(s, lat, lon, acc)
    row.uncertainty_cm = cm(acc + min(150.0, s.slow_v * s.slow_gap * 0.0005))
    _place(s, row)
    emit(s, row, out, OPEN)


@njit()
def _begin_place(s: Any, t: int, lat: int, lon: int) -> None:
    s.left_lat0 = lat
    s.left_lon0 = lon
    s.left_w = 0
    s.left_dlat = 0
    s.left_dlon = 0
    s.left_n = 0
    s.left_acc = 0.0
    s.left_walked = 0.0
    s.left_speed = 0.0
    s.left_rode = 0
    s.left_last_t = t


@njit()
def _weigh(s: Any, lat: int, lon: int, acc: float) -> None:
    """Add a standing fix to the place, weighted by 1 / (accuracy^2 + 25 m^2) in integers."""
    w = int(1e7 / (acc * acc + 25.0)) + 1
    s.left_w += w
    s.left_dlat += w * (lat - s.left_lat0)
    s.left_dlon += w * eastward(lon - s.left_lon0)
    s.left_n += 1
    s.left_acc += acc


@njit()
def _place(s: Any, row: Any) -> None:
    row.lat = s.left_lat0 + mean_of(s.left_dlat, s.left_w)
    row.lon = wrap(s.left_lon0 + mean_of(s.left_dlon, s.left_w))
    row.fixes = s.left_n
    row.accuracy_cm = cm(s.left_acc / s.left_n)


@njit()
def confirm(s: Any, out: Any, followed: int, why: int) -> None:
    """What followed is known well enough: the leg is over, the place is settled."""
    row = s.work[SLOT_LEFT]
    _place(s, row)
    row.followed = FOOT if s.left == SAID else followed
    row.reasons |= why
    row.walked_cm = cm(s.left_walked)
    row.motion_after = s.motion if s.motion_t >= row.start else -1
    s.left = CONFIRMED
    s.leg = NO_LEG
    emit(s, row, out, PROVISIONAL)


@njit()
def _say(s: Any, out: Any) -> None:
    """The phone says on foot: known at once, settled by what follows, as its word may be wrong."""
    row = s.work[SLOT_LEFT]
    _place(s, row)
    row.followed = FOOT
    row.reasons |= R_MOTION
    row.walked_cm = cm(s.left_walked)
    row.motion_after = s.motion
    s.left = SAID
    emit(s, row, out, PROVISIONAL)


@njit()
def _unsay(s: Any, out: Any) -> None:
    """The phone takes its word back, or is heard again: a candidate that nothing else speaks for goes."""
    row = s.work[SLOT_LEFT]
    if row.reasons & R_GARAGE:
        emit(s, row, out, RETRACTED)
        s.left = NOTHING
        s.slow_v, s.slow_t = 1e9, NONE
    else:
        row.followed = UNKNOWN
        s.left = UNCONFIRMED


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
def _close(s: Any, out: Any, lat: int, lon: int) -> None:
    """A new vehicle leg began: the open candidate ends with its start."""
    row = s.work[SLOT_LEFT]
    _place(s, row)
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
    start, lat, lon = row.start, row.lat, row.lon
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
        again = s.left == CONFIRMED and s.motion != A_FOOT and t - row.start <= 2 * rule.settle_ms
        if (s.leg_strong >= 2 and far >= rule.vehicle_m) or (again and s.leg_n >= 2 and far >= rule.again_m):
            s.leg = IN_LEG
            closing = s.left != NOTHING
    elif s.left == UNCONFIRMED or s.left == SAID:
        # Against a word that the phone did not say of the drive it takes what makes a leg: jitter is fast, too.
        believed = s.left == SAID and s.leg_motion[A_VEHICLE] > s.leg_motion[A_FOOT]
        far = rule.vehicle_m if believed else rule.resume_m
        if distance(row.lat, row.lon, lat, lon) < far + min(50.0, s.acc):
            return
        stood = s.left_last_t - row.start
        if stood < rule.resume_ms:
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
        _close(s, out, from_lat, from_lon)
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
    if v <= rule.still_mps:
        s.slow_v, s.slow_t, s.slow_lat, s.slow_lon, s.slow_acc, s.slow_gap = v, t, lat, lon, acc, gap
        _stand(s, out, row, R_SPEED)
    elif t - s.fast_t >= rule.roll_ms:
        _stand(s, out, row, R_SPEED | R_NO_PAUSE)


@njit()
def _watch(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, v: float) -> None:
    """A slow fix after the vehicle came to stand: standing on, walking off, or nothing new."""
    row = s.work[SLOT_LEFT]
    d = distance(row.lat, row.lon, lat, lon)
    s.left_walked = max(s.left_walked, d)
    s.left_speed = max(s.left_speed, v)
    if v > rule.foot_mps and s.v > rule.foot_mps:
        s.left_rode = 1
    since = t - row.start
    poor = row.accuracy_cm > 3000 and acc * 200.0 < row.accuracy_cm
    # The phone's word lags and may be stuck: of a vehicle that came to stand it counts for as long as the longest lag,
    # and only with what nobody does on foot.
    rides = s.motion == A_VEHICLE and t - s.fast_t <= rule.motion_ms and s.left_rode == 1
    if rides and d > max(20.0, 0.3 * acc) and (v <= rule.still_mps or poor):
        # It crept on and stands here now.
        _begin_place(s, t, lat, lon)
        s.left = UNCONFIRMED
        row.start = t
        row.start_width = t - s.t
        row.followed = UNKNOWN
        row.uncertainty_cm = cm(acc + min(150.0, v * (t - s.t) * 0.0005))
        _weigh(s, lat, lon, acc)
        _place(s, row)
        emit(s, row, out, OPEN)
        return
    near = d <= rule.resume_m + min(acc, 50.0) and since <= rule.resume_ms
    if v <= rule.still_mps and near and s.left != SAID:  # on foot it stands still somewhere else
        _weigh(s, lat, lon, acc)
        _place(s, row)
    if d <= rule.settle_m:
        s.left_last_t = t
    # Half as far is enough where the phone says so too.
    foot_m = 0.5 * rule.foot_m if s.left == SAID else rule.foot_m
    walked = d >= foot_m + 0.5 * acc and since >= rule.foot_ms and d <= rule.foot_mps * since * 0.001
    on_foot = walked and s.left_speed <= rule.fast_mps and not rides
    if on_foot or (since >= rule.settle_ms and d <= rule.settle_m + 0.5 * acc):
        confirm(s, out, FOOT if on_foot else REST, R_WALKED if on_foot else R_SETTLED)


@njit()
def _vanish(s: Any, rule: Any, out: Any, gap: int, why: int) -> None:
    """The leg ends at the last fix, ``gap`` ms ago: how far it went on unheard is a guess by its speed."""
    s.slow_v, s.slow_t, s.slow_lat, s.slow_lon, s.slow_acc, s.slow_gap = s.v, s.t, s.lat, s.lon, s.acc, gap
    _stand(s, out, s.work[SLOT_LEFT], why | (R_GARAGE if s.v > rule.fast_mps else 0))
    s.work[SLOT_LEFT].uncertainty_cm = cm(s.acc + min(150.0, s.v * 15.0))


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
        _vanish(s, rule, out, gap, why)
    if s.left == UNCONFIRMED or s.left == SAID:
        row.silence = gap
        confirm(s, out, SILENCE, why)


@inlined()
def on_move(
    s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, v: float, reported: float, moved2: float
) -> None:
    """Legs and candidates at an accepted fix ``moved2`` square metres from the last: its speed is taken to be ``v``."""
    if s.left == SAID and s.work[SLOT_LEFT].reasons & R_GARAGE and t - s.t < rule.silence_ms:
        # Heard again so soon: its fixes tell better where the leg ends than the last one before the word did.
        _unsay(s, out)
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
        _watch(s, rule, out, t, lat, lon, acc, v)
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
        _unsay(s, out)
    if activity != A_FOOT:
        return
    if s.leg == IN_LEG and s.left == NOTHING and s.slow_t != NONE and t - s.fast_t >= 15_000:
        _stand(s, out, s.work[SLOT_LEFT], R_MOTION | R_NO_PAUSE)
    elif s.leg == IN_LEG and s.left == NOTHING and s.slow_t == NONE and s.pend_n == 0 and t - s.t >= rule.sparse_ms:
        _vanish(s, rule, out, t - s.t, R_MOTION)
    if s.left == UNCONFIRMED:
        _say(s, out)


@njit()
def on_rest(s: Any, out: Any) -> None:
    """A stop opened: an unconfirmed candidate nearby was followed by rest."""
    if s.left == UNCONFIRMED or s.left == SAID:
        confirm(s, out, REST, R_SETTLED | (R_SPARSE if s.ring_n < 4 else 0))
