"""Where the vehicle was left: a candidate from where it stands until what followed settles it."""

from __future__ import annotations

from typing import Any

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


@njit()
def stand(s: Any, out: Any, row: Any, why: int) -> None:
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
    place(s, row)
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
def place(s: Any, row: Any) -> None:
    """The place, by what speaks for it so far."""
    row.lat = s.left_lat0 + mean_of(s.left_dlat, s.left_w)
    row.lon = wrap(s.left_lon0 + mean_of(s.left_dlon, s.left_w))
    row.fixes = s.left_n
    row.accuracy_cm = cm(s.left_acc / s.left_n)


@njit()
def confirm(s: Any, out: Any, followed: int, why: int) -> None:
    """What followed is known well enough: the leg is over, the place is settled."""
    row = s.work[SLOT_LEFT]
    place(s, row)
    row.followed = FOOT if s.left == SAID else followed
    row.reasons |= why
    row.walked_cm = cm(s.left_walked)
    row.motion_after = s.motion if s.motion_t >= row.start else -1
    s.left = CONFIRMED
    s.leg = NO_LEG
    emit(s, row, out, PROVISIONAL)


@njit()
def say(s: Any, out: Any) -> None:
    """The phone says on foot: known at once, settled by what follows, as its word may be wrong."""
    row = s.work[SLOT_LEFT]
    place(s, row)
    row.followed = FOOT
    row.reasons |= R_MOTION
    row.walked_cm = cm(s.left_walked)
    row.motion_after = s.motion
    s.left = SAID
    emit(s, row, out, PROVISIONAL)


@njit()
def unsay(s: Any, out: Any) -> None:
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
def watch(s: Any, rule: Any, out: Any, t: int, lat: int, lon: int, acc: float, v: float) -> None:
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
        place(s, row)
        emit(s, row, out, OPEN)
        return
    near = d <= rule.resume_m + min(acc, 50.0) and since <= rule.resume_ms
    if v <= rule.still_mps and near and s.left != SAID:  # on foot it stands still somewhere else
        _weigh(s, lat, lon, acc)
        place(s, row)
    if d <= rule.settle_m:
        s.left_last_t = t
    # Half as far is enough where the phone says so too.
    foot_m = 0.5 * rule.foot_m if s.left == SAID else rule.foot_m
    walked = d >= foot_m + 0.5 * acc and since >= rule.foot_ms and d <= rule.foot_mps * since * 0.001
    on_foot = walked and s.left_speed <= rule.fast_mps and not rides
    if on_foot or (since >= rule.settle_ms and d <= rule.settle_m + 0.5 * acc):
        confirm(s, out, FOOT if on_foot else REST, R_WALKED if on_foot else R_SETTLED)


@njit()
def vanish(s: Any, rule: Any, out: Any, gap: int, why: int) -> None:
    """The leg ends at the last fix, ``gap`` ms ago: how far it went on unheard is a guess by its speed."""
    s.slow_v, s.slow_t, s.slow_lat, s.slow_lon, s.slow_acc, s.slow_gap = s.v, s.t, s.lat, s.lon, s.acc, gap
    stand(s, out, s.work[SLOT_LEFT], why | (R_GARAGE if s.v > rule.fast_mps else 0))
    s.work[SLOT_LEFT].uncertainty_cm = cm(s.acc + min(150.0, s.v * 15.0))


@njit()
def on_rest(s: Any, out: Any) -> None:
    """A stop opened: an unconfirmed candidate nearby was followed by rest."""
    if s.left == UNCONFIRMED or s.left == SAID:
        confirm(s, out, REST, R_SETTLED | (R_SPARSE if s.ring_n < 4 else 0))
