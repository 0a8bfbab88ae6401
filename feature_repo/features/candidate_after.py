"""What followed a candidate: rest, a walk, silence, or the vehicle going on?"""

from __future__ import annotations

from feature_repo.declare import BOOL, CANDIDATE, FLOAT64, LEFT, LEFT_AND_HALTS, LEFT_AND_STOPS, STRING, feature
from feature_repo.fact import SECOND_US, Fact
from feature_repo.known import Known
from parked.geo import distance_m


@feature(view=CANDIDATE, dtype=STRING)
def followed_by(candidate: Fact) -> str | None:
    """What followed as far as known: unknown, rest, foot, vehicle or silence."""
    return candidate.followed_by


@feature(view=CANDIDATE, dtype=STRING)
def motion_after(candidate: Fact) -> str | None:
    """The phone's own activity after; null where it sends none."""
    return candidate.motion_after


@feature(view=CANDIDATE, dtype=FLOAT64)
def speed_after_mps(candidate: Fact) -> float | None:
    """Speed away from the candidate, m/s."""
    return candidate.speed_after_mps


@feature(view=CANDIDATE, dtype=FLOAT64)
def silence_s(candidate: Fact) -> float:
    """Longest gap without a fix right after, seconds."""
    return candidate.silence_s


@feature(view=CANDIDATE, dtype=FLOAT64)
def walked_m(candidate: Fact) -> float | None:
    """Farthest seen on foot from the vehicle so far, metres."""
    return candidate.walked_m


@feature(view=CANDIDATE, dtype=BOOL)
def ended(candidate: Fact) -> bool:
    """Whether a vehicle leg has begun since."""
    return candidate.ended_at is not None


@feature(view=CANDIDATE, dtype=FLOAT64)
def away_s(candidate: Fact) -> float | None:
    """Time until a vehicle leg next began, seconds; null while none has. Half a minute is a red light or a bus stop."""
    return candidate.lasted_s


@feature(view=CANDIDATE, dtype=FLOAT64)
def return_m(candidate: Fact) -> float | None:
    """Distance from here to where the next vehicle leg began, metres: small for a parked car, large after a taxi or a
    bus ride; null until one began."""
    return candidate.return_m


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT)
def next_ride_s(candidate: Fact, known: Known) -> float | None:
    """From this candidate to the next one, seconds; null while there is none."""
    following = known.next(candidate)
    return None if following is None else (following.started_at - candidate.started_at) / SECOND_US


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT_AND_STOPS)
def rest_delay_s(candidate: Fact, known: Known) -> float | None:
    """From leaving the vehicle to the stop that followed, seconds; negative where the stop had begun."""
    stop = known.stop_after(candidate)
    return None if stop is None else (stop.started_at - candidate.started_at) / SECOND_US


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT_AND_STOPS)
def rest_s(candidate: Fact, known: Known) -> float | None:
    """How long the stop that followed lasted, seconds; null while it goes on."""
    stop = known.stop_after(candidate)
    return None if stop is None else stop.lasted_s


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT_AND_STOPS)
def rest_radius_m(candidate: Fact, known: Known) -> float | None:
    """Radius of the stop that followed, metres."""
    stop = known.stop_after(candidate)
    return None if stop is None else stop.radius_m


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT_AND_STOPS)
def rest_distance_m(candidate: Fact, known: Known) -> float | None:
    """Distance from the vehicle to the stop that followed, metres."""
    stop = known.stop_after(candidate)
    return None if stop is None else distance_m(stop.lat, stop.lon, candidate.lat, candidate.lon)


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT_AND_HALTS)
def halt_s(candidate: Fact, known: Known) -> float | None:
    """Length of the short halt at the candidate's place and time, seconds; null where there was none."""
    halt = known.halt_at(candidate)
    return None if halt is None else halt.lasted_s
