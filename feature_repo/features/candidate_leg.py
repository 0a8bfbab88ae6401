"""The vehicle leg that ended at a candidate: what kind of ride was it, and how well was it seen?"""

from __future__ import annotations

from feature_repo.declare import CANDIDATE, FLOAT64, INT64, LEFT, STRING, feature
from feature_repo.fact import SECOND_US, Fact
from feature_repo.known import Known
from parked.geo import distance_m


@feature(view=CANDIDATE, dtype=STRING)
def status(candidate: Fact) -> str:
    """How settled the fact is: OPEN, PROVISIONAL, FINAL; RETRACTED once it was withdrawn."""
    return candidate.status


@feature(view=CANDIDATE, dtype=FLOAT64)
def uncertainty_m(candidate: Fact) -> float:
    """Uncertainty of the place, metres."""
    return candidate.uncertainty_m


@feature(view=CANDIDATE, dtype=FLOAT64)
def left_uncertainty_s(candidate: Fact) -> float:
    """Width of the interval in which the vehicle was left, seconds."""
    return candidate.started_uncertainty_s


@feature(view=CANDIDATE, dtype=FLOAT64)
def accuracy_m(candidate: Fact) -> float | None:
    """Median reported accuracy of the fixes the candidate rests on, metres."""
    return candidate.accuracy_m


@feature(view=CANDIDATE, dtype=INT64)
def evidence_fixes(candidate: Fact) -> int:
    """Fixes the candidate rests on."""
    return candidate.fixes


@feature(view=CANDIDATE, dtype=FLOAT64)
def leg_duration_s(candidate: Fact) -> float | None:
    """How long the vehicle leg before took, seconds."""
    if candidate.leg_started_at is None:
        return None
    return (candidate.started_at - candidate.leg_started_at) / SECOND_US


@feature(view=CANDIDATE, dtype=FLOAT64)
def leg_distance_m(candidate: Fact) -> float | None:
    """Path length of the vehicle leg before, metres."""
    return candidate.leg_distance_m


@feature(view=CANDIDATE, dtype=FLOAT64)
def leg_max_speed_mps(candidate: Fact) -> float | None:
    """Top speed of the vehicle leg before, m/s."""
    return candidate.leg_max_speed_mps


@feature(view=CANDIDATE, dtype=FLOAT64)
def leg_mean_speed_mps(candidate: Fact) -> float | None:
    """Path length over duration of the vehicle leg before, m/s: a bus or a jam is slow."""
    duration = leg_duration_s(candidate)
    if not duration or duration < 0 or candidate.leg_distance_m is None:
        return None
    return candidate.leg_distance_m / duration


@feature(view=CANDIDATE, dtype=INT64)
def leg_fixes(candidate: Fact) -> int | None:
    """Fixes within the vehicle leg before."""
    return candidate.leg_fixes


@feature(view=CANDIDATE, dtype=FLOAT64)
def leg_cadence_s(candidate: Fact) -> float | None:
    """Mean time between fixes in the vehicle leg before, seconds."""
    duration = leg_duration_s(candidate)
    if duration is None or not candidate.leg_fixes:
        return None
    return duration / candidate.leg_fixes


@feature(view=CANDIDATE, dtype=INT64)
def leg_halts(candidate: Fact) -> int | None:
    """Short halts within the vehicle leg before: red lights, bus stops, jams."""
    return candidate.leg_halts


@feature(view=CANDIDATE, dtype=FLOAT64)
def leg_halts_per_km(candidate: Fact) -> float | None:
    """Short halts per kilometre of the vehicle leg before, 1/km: a bus halts often. Null below 100 m."""
    if candidate.leg_halts is None or candidate.leg_distance_m is None or candidate.leg_distance_m < 100.0:
        return None
    return candidate.leg_halts / (candidate.leg_distance_m / 1000.0)


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT)
def leg_net_m(candidate: Fact, known: Known) -> float | None:
    """Straight distance from where the vehicle leg before began to this candidate, metres."""
    previous = known.previous(candidate)
    if previous is None or previous.next_leg_lat is None or previous.next_leg_lon is None:
        return None
    return distance_m(previous.next_leg_lat, previous.next_leg_lon, candidate.lat, candidate.lon)


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT)
def leg_detour(candidate: Fact, known: Known) -> float | None:
    """Path length of the leg over its straight distance: circling for a space raises it. Null below 100 m."""
    net = leg_net_m(candidate, known)
    if net is None or net < 100.0 or candidate.leg_distance_m is None:
        return None
    return candidate.leg_distance_m / net


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT)
def from_previous_m(candidate: Fact, known: Known) -> float | None:
    """Distance from the previous candidate, metres: inching through a jam leaves candidates close together."""
    previous = known.previous(candidate)
    return None if previous is None else distance_m(previous.lat, previous.lon, candidate.lat, candidate.lon)


@feature(view=CANDIDATE, dtype=FLOAT64)
def speed_before_mps(candidate: Fact) -> float | None:
    """Approach speed, m/s."""
    return candidate.speed_before_mps


@feature(view=CANDIDATE, dtype=STRING)
def motion_before(candidate: Fact) -> str | None:
    """The phone's own activity before; null where it sends none."""
    return candidate.motion_before


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT)
def since_previous_s(candidate: Fact, known: Known) -> float | None:
    """Time since the previous candidate was left, seconds."""
    previous = known.previous(candidate)
    return None if previous is None else (candidate.started_at - previous.started_at) / SECOND_US


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT)
def previous_away_s(candidate: Fact, known: Known) -> float | None:
    """How long the previous candidate lasted until a vehicle leg began, seconds: a bus ride comes in short pieces."""
    previous = known.previous(candidate)
    return None if previous is None else previous.lasted_s


@feature(view=CANDIDATE, dtype=FLOAT64, reads=LEFT)
def previous_return_m(candidate: Fact, known: Known) -> float | None:
    """Distance from the previous candidate to where this leg began, metres: small for one's own car, which is fetched
    where it was left; large for a ride that began elsewhere."""
    previous = known.previous(candidate)
    return None if previous is None else previous.return_m
