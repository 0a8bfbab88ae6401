"""What a phone did at a place (a cell and its neighbours), counting what goes on now. Zero at a new place."""

from __future__ import annotations

from typing import Final

from feature_repo.declare import FLOAT64, INT64, LEFT, PLACE, STOPS, feature
from feature_repo.fact import DAY_US, SECOND_US
from feature_repo.features.device_habits import QUICK_US
from feature_repo.known import Place

RETURN_NEAR_M: Final = 100.0
"""A vehicle leg that begins this near a candidate began at the parked car (radius of an at-rest place)."""

_SOLAR_US_PER_DEGREE: Final = 240 * SECOND_US
"""The sun crosses a degree of longitude in 4 minutes."""


@feature(view=PLACE, dtype=INT64, reads=STOPS)
def stays_here(place: Place) -> int:
    """Stops here that have ended (of the newest 50 stops)."""
    return sum([stop.ended_at is not None for stop in place.stops])


@feature(view=PLACE, dtype=FLOAT64, reads=STOPS)
def dwell_here_s(place: Place) -> float:
    """Total time of the stops here that have ended, seconds (of the newest 50 stops)."""
    return sum([stop.ended_at - stop.started_at for stop in place.stops if stop.ended_at is not None]) / SECOND_US


@feature(view=PLACE, dtype=INT64, reads=STOPS)
def days_here(place: Place) -> int:
    """Distinct days, by the sun, on which a stop here began (of the newest 50 stops)."""
    return len({int(stop.started_at + stop.lon * _SOLAR_US_PER_DEGREE) // DAY_US for stop in place.stops})


@feature(view=PLACE, dtype=INT64, reads=LEFT)
def candidates_here(place: Place) -> int:
    """Vehicle legs that ended here (at most the newest 50)."""
    return len(place.candidates)


@feature(view=PLACE, dtype=INT64, reads=LEFT)
def returns_here(place: Place) -> int:
    """Of those, how often the next vehicle leg began within 100 m: the vehicle had waited here."""
    return sum([c.return_m is not None and c.return_m <= RETURN_NEAR_M for c in place.candidates])


@feature(view=PLACE, dtype=INT64, reads=LEFT)
def quick_here(place: Place) -> int:
    """Of those, how often a vehicle leg began again within 3 minutes: a light, a bus stop."""
    lasted = [c.ended_at - c.started_at for c in place.candidates if c.ended_at is not None]
    return sum([away <= QUICK_US for away in lasted])


@feature(view=PLACE, dtype=INT64, reads=STOPS)
def last_stay_ended_us(place: Place) -> int | None:
    """When the last stop here that has ended did so, microseconds since the epoch."""
    return max((stop.ended_at for stop in place.stops if stop.ended_at is not None), default=None)
