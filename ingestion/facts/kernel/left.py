"""Where the vehicle was left: a candidate from where it stands until what followed settles it."""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.garages import between, remember
from ingestion.facts.kernel.geometry import distance, eastward, mean_of, wrap
from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.rows import clear, cm, emit
from ingestion.facts.kernel.types import (
    A_CYCLING,
    A_FOOT,
    A_STILL,
    A_UNKNOWN,
    A_VEHICLE,
    FOOT,
    LEFT,
    NONE,
    OPEN,
    PROVISIONAL,
    R_GARAGE,
    R_MOTION,
    R_SETTLED,
    R_SPARSE,
    R_WALKED,
    REST,
    RETRACTED,
    SLOT_LEFT,
    UNKNOWN,
)

NO_LEG, MAYBE, IN_LEG = 0, 1, 2
"""Of a leg."""
NOTHING, UNCONFIRMED, SAID, CONFIRMED = 0, 1, 2, 3
"""Of a candidate: SAID is one that only the phone's word "on foot" speaks for; driving on takes it back."""
UNIT = 1e7
"""Weight of a fix of the variance 1 m^2."""
ERROR2 = 25.0
"""Variance (m^2) added to what a phone states: those that claim a few metres claim too much."""


@njit()
def stand(s: Any, rule: Any, out: Any, row: Any, why: int, gone: int) -> None:
    """The vehicle stands (or was left without a pause) at the slowest fix since it was fast: a candidate opens.

    ``gone``: how long (ms) the silence was that it was left in (``garages``), else 0.
    """
    _open(s, rule, out, row, why, unheard2(rule, s.slow_v, s.slow_gap), gone)


@njit()
def heard(s: Any, row: Any) -> int:
    """When (ms) the candidate's first fix was: its start, or the end of the silence it was left in."""
    return int(max(row.start, s.gone_t))


@njit()
def unheard2(rule: Any, v: float, gap: int) -> float:
    """How far (m^2) a fix may lie from where the vehicle stands by what went unheard in the ``gap`` ms before it.

    It rolled on for half of them at ``v``, or it stood already and its driver walked on.
    """
    rolled = min(150.0, v * gap * 0.0005)
    walked = rule.unseen_mps * min(gap, rule.silence_ms) * 0.001
    return rolled * rolled + walked * walked


@njit()
def _open(s: Any, rule: Any, out: Any, row: Any, why: int, unheard: float, gone: int) -> None:
    t, lat, lon, acc = s.slow_t, s.slow_lat, s.slow_lon, s.slow_acc
    clear(row, LEFT, t - gone)
    s.left = UNCONFIRMED
    _begin_place(s, rule, t, lat, lon, acc, unheard)
    if gone > 0:
        remember(s, rule, gone)
        row.start += gone // 2  # anywhen within: nothing tells
    row.start_width = s.slow_gap
    row.silence = gone
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
    tell(s, rule, row, rule.resume_m)
    emit(s, row, out, OPEN)
    place(s, row)


@njit()
def _begin_place(s: Any, rule: Any, t: int, lat: int, lon: int, acc: float, unheard: float) -> None:
    """The first fix that speaks for the place, ``unheard`` m^2 from it by what went unheard before."""
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
    s.gone_t = NONE
    _weigh(s, lat, lon, acc, UNIT / (acc * acc + ERROR2 + unheard / (rule.noise_share * rule.noise_share)))


@njit()
def _weigh(s: Any, lat: int, lon: int, acc: float, weight: float) -> None:
    """Add a standing fix to the place with the weight UNIT / its variance (m^2), an integer.

    So UNIT / left_w is the variance of the mean, were the fixes' errors as large as phones say and independent.
    """
    w = int(weight) + 1
    s.left_w += w
    s.left_dlat += w * (lat - s.left_lat0)
    s.left_dlon += w * eastward(lon - s.left_lon0)
    s.left_n += 1
    s.left_acc += acc


@njit()
def _later(rule: Any, since: int, gap: int, acc: float) -> float:
    """The weight of a fix ``since`` ms after the vehicle came to stand, ``gap`` ms after the last one.

    The first one's / (1 + (way^2 / variance)^2), by the way that its driver may have walked by then: at the door
    nothing tells a fix from one at the vehicle. Less soon after another: errors of fixes of one moment are one error.
    """
    variance = acc * acc + ERROR2
    way = rule.leave_mps * since * 0.001
    weight = UNIT * variance / (variance * variance + way * way * way * way)
    return weight if gap >= rule.memory_ms else weight * gap / rule.memory_ms


@njit()
def place(s: Any, row: Any) -> None:
    """The place, by the fixes that speak for it so far."""
    row.lat = s.left_lat0 + mean_of(s.left_dlat, s.left_w)
    row.lon = wrap(s.left_lon0 + mean_of(s.left_dlon, s.left_w))


@njit()
def evidence(s: Any, row: Any) -> None:
    """What speaks for the place: written where a row is, not with every fix."""
    row.fixes = s.left_n
    row.accuracy_cm = cm(s.left_acc / s.left_n)


@njit()
def tell(s: Any, rule: Any, row: Any, walked: float) -> None:
    """The place and its uncertainty as they are said: of one left in a silence, with the last fix before it."""
    place(s, row)
    _doubt(s, rule, row, walked)
    if s.gone_t != NONE:
        between(s, row)


@njit()
def _doubt(s: Any, rule: Any, row: Any, walked: float) -> None:
    """Within what the vehicle stands two times in three: the place's own error, and a share of the way ``walked`` (m).

    Of someone who walked off only a little it cannot be seen which fixes were still at the vehicle; whoever walked
    farther than fixes are taken for the vehicle's (``resume_m``) drew it along no more than that.
    """
    noise2 = rule.noise_share * rule.noise_share * UNIT / s.left_w
    walk = rule.walk_share * min(walked, rule.resume_m)
    evidence(s, row)
    row.uncertainty_cm = cm(math.sqrt(noise2 + walk * walk))


@njit()
def confirm(s: Any, rule: Any, out: Any, followed: int, why: int) -> None:
    """What followed is known well enough: the leg is over, the place is settled."""
    row = s.work[SLOT_LEFT]
    tell(s, rule, row, s.left_walked)
    row.followed = FOOT if s.left == SAID else followed
    row.reasons |= why
    row.walked_cm = cm(s.left_walked)
    row.motion_after = s.motion if s.motion_t >= row.start else -1
    s.left = CONFIRMED
    s.leg = NO_LEG
    emit(s, row, out, PROVISIONAL)


@njit()
def say(s: Any, rule: Any, out: Any) -> None:
    """The phone says on foot: known at once, settled by what follows, as its word may be wrong."""
    row = s.work[SLOT_LEFT]
    tell(s, rule, row, rule.resume_m)
    row.followed = FOOT
    row.reasons |= R_MOTION
    row.walked_cm = cm(s.left_walked)
    row.motion_after = s.motion
    s.left = SAID
    emit(s, row, out, PROVISIONAL)
    place(s, row)


@njit()
def unsay(s: Any, out: Any) -> None:
    """The phone takes its word back, or is heard again: a candidate that nothing else speaks for goes."""
    row = s.work[SLOT_LEFT]
    if row.reasons & R_GARAGE and s.gone_t == NONE:
        evidence(s, row)
        emit(s, row, out, RETRACTED)
        s.left = NOTHING
        s.slow_v, s.slow_t = 1e9, NONE
    else:
        row.followed = UNKNOWN
        s.left = UNCONFIRMED


@njit()
def watch(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, v: float) -> None:
    """A slow fix after the vehicle came to stand: standing on, walking off, or nothing new."""
    row = s.work[SLOT_LEFT]
    d = distance(row.lat, row.lon, lat, lon)
    s.left_walked = max(s.left_walked, d)
    s.left_speed = max(s.left_speed, v)
    if v > rule.foot_mps and s.v > rule.foot_mps:
        s.left_rode = 1
    since = t - heard(s, row)
    # The phone's word lags and may be stuck: of a vehicle that came to stand it counts for as long as the longest lag,
    # and only with what nobody does on foot.
    rides = s.motion == A_VEHICLE and t - s.fast_t <= rule.motion_ms and s.left_rode == 1
    poor = rides and s.left_acc > 30.0 * s.left_n and acc * 2.0 * s.left_n < s.left_acc
    if rides and d > max(20.0, 0.3 * acc) and (v <= rule.still_mps or poor):
        # It crept on and stands here now.
        _begin_place(s, rule, t, lat, lon, acc, unheard2(rule, v, t - s.t))
        s.left = UNCONFIRMED
        row.start = t
        row.start_width = t - s.t
        row.silence = 0
        row.reasons &= ~R_GARAGE
        row.followed = UNKNOWN
        tell(s, rule, row, rule.resume_m)
        emit(s, row, out, OPEN)
        return
    near = d <= rule.resume_m + min(acc, 50.0) and since <= rule.resume_ms
    if v <= rule.still_mps and near and s.left != SAID:  # on foot it stands still somewhere else
        _weigh(s, lat, lon, acc, _later(rule, since, t - s.t, acc))
        place(s, row)
    if d <= rule.settle_m:
        s.left_last_t = t
    # Half as far is enough where the phone says so too.
    foot_m = 0.5 * rule.foot_m if s.left == SAID else rule.foot_m
    walked = d >= foot_m + 0.5 * acc and since >= rule.foot_ms and d <= rule.foot_mps * since * 0.001
    on_foot = walked and s.left_speed <= rule.fast_mps and not rides
    if on_foot or (since >= rule.settle_ms and d <= rule.settle_m + 0.5 * acc):
        confirm(s, rule, out, FOOT if on_foot else REST, R_WALKED if on_foot else R_SETTLED)


@njit()
def vanish(s: Any, rule: Any, out: Any, gap: int, why: int) -> None:
    """The leg ends at the last fix, ``gap`` ms ago: how far it went on unheard is a guess by its speed."""
    s.slow_v, s.slow_t, s.slow_lat, s.slow_lon, s.slow_acc, s.slow_gap = s.v, s.t, s.lat, s.lon, s.acc, gap
    on = min(150.0, s.v * 15.0)
    if s.v > rule.fast_mps:
        why |= R_GARAGE
    if why & R_GARAGE:
        on = max(on, rule.garage_m)
    _open(s, rule, out, s.work[SLOT_LEFT], why, on * on, 0)


@njit()
def on_rest(s: Any, rule: Any, out: Any) -> None:
    """A stop opened: an unconfirmed candidate nearby was followed by rest."""
    if s.left == UNCONFIRMED or s.left == SAID:
        confirm(s, rule, out, REST, R_SETTLED | (R_SPARSE if s.ring_n < 4 else 0))
