"""A phone's habits and how it reports, over its newest candidates. All are null for a phone without history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from feature_repo.declare import BOOL, DEVICE, FLOAT64, INT64, LEFT, feature
from feature_repo.fact import DAY_US, SECOND_US, Fact
from feature_repo.known import Known

HABIT_LENGTH: Final = 50
"""Newest candidates that make a habit: about two weeks of a commuter."""
QUICK_US: Final = 180 * SECOND_US
"""A vehicle leg that begins again within this time: a bus stop, a light, a drop-off."""
WEEK_US: Final = 7 * DAY_US


def median(values: Iterable[float | None]) -> float | None:
    """Median of the known values (mean of the middle two); None where none is known.

    >>> median([3.0, None, 1.0])
    2.0
    """
    known = sorted([value for value in values if value is not None])
    if not known:
        return None
    middle = len(known) // 2
    return known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2


@feature(view=DEVICE, dtype=INT64, reads=LEFT)
def candidates_7d(known: Known) -> int:
    """Candidates in the 7 days up to the newest one."""
    newest = known.newest(1)
    return 0 if newest is None else known.candidates_since(newest.started_at - WEEK_US)


@feature(view=DEVICE, dtype=FLOAT64, reads=LEFT)
def median_leg_m(known: Known) -> float | None:
    """Median path length of the newest vehicle legs, metres."""
    return median([candidate.leg_distance_m for candidate in known.recent(HABIT_LENGTH)])


@feature(view=DEVICE, dtype=FLOAT64, reads=LEFT)
def quick_again_share(known: Known) -> float | None:
    """Share of the newest candidates that have ended from which a vehicle leg began again within 3 minutes."""
    lasted = [c.ended_at - c.started_at for c in known.recent(HABIT_LENGTH) if c.ended_at is not None]
    return sum([away <= QUICK_US for away in lasted]) / len(lasted) if lasted else None


@feature(view=DEVICE, dtype=FLOAT64, reads=LEFT)
def median_accuracy_m(known: Known) -> float | None:
    """Median reported accuracy at the newest candidates, metres."""
    return median([candidate.accuracy_m for candidate in known.recent(HABIT_LENGTH)])


@feature(view=DEVICE, dtype=FLOAT64, reads=LEFT)
def median_cadence_s(known: Known) -> float | None:
    """Median over the newest vehicle legs of the mean time between fixes, seconds."""
    return median(
        [
            (candidate.started_at - candidate.leg_started_at) / SECOND_US / candidate.leg_fixes
            for candidate in known.recent(HABIT_LENGTH)
            if candidate.leg_started_at is not None and candidate.leg_fixes
        ]
    )


@feature(view=DEVICE, dtype=FLOAT64)
def days_known(known: Known) -> float | None:
    """From the first to the last fact of the phone, days."""
    span = known.span_us()
    return None if span is None else span / DAY_US


@feature(view=DEVICE, dtype=BOOL, reads=LEFT)
def sends_motion(known: Known) -> bool | None:
    """Whether the phone sent its own motion activity around any of the newest candidates."""
    recent = known.recent(HABIT_LENGTH)
    if not recent:
        return None
    return any(candidate.motion_before is not None or candidate.motion_after is not None for candidate in recent)


def _long_stays(known: Known) -> list[Fact]:
    """The newest candidates that were left for more than a few minutes: where riders and drivers differ."""
    return [c for c in known.recent(HABIT_LENGTH) if c.ended_at is not None and c.ended_at - c.started_at > QUICK_US]


@feature(view=DEVICE, dtype=FLOAT64, reads=LEFT)
def usual_return_m(known: Known) -> float | None:
    """Median distance from a long-left candidate to where the next vehicle leg began, metres: a driver comes back."""
    return median([candidate.return_m for candidate in _long_stays(known)])


@feature(view=DEVICE, dtype=FLOAT64, reads=LEFT)
def usual_halts_per_km(known: Known) -> float | None:
    """Median of halts per kilometre over the legs that ended in a long stay: a bus halts more often than a car."""
    return median(
        [
            1000.0 * c.leg_halts / c.leg_distance_m
            for c in _long_stays(known)
            if c.leg_halts is not None and c.leg_distance_m is not None and c.leg_distance_m > 0.0
        ]
    )


@feature(view=DEVICE, dtype=FLOAT64, reads=LEFT)
def usual_leg_speed_mps(known: Known) -> float | None:
    """Median of the mean speeds over the legs that ended in a long stay, m/s."""
    return median(
        [
            c.leg_distance_m / ((c.started_at - c.leg_started_at) / SECOND_US)
            for c in _long_stays(known)
            if c.leg_distance_m is not None and c.leg_started_at is not None and c.started_at > c.leg_started_at
        ]
    )
