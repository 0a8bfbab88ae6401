"""Carried with a candidate for the answer and for request-time features; the model does not eat these."""

from __future__ import annotations

from feature_repo.declare import CANDIDATE, FLOAT64, INT64, LEFT_AND_STOPS, STRING, feature
from feature_repo.fact import Fact
from feature_repo.known import Known


@feature(view=CANDIDATE, dtype=INT64)
def left_at_us(candidate: Fact) -> int:
    """When the vehicle was left, microseconds since the epoch."""
    return candidate.started_at


@feature(view=CANDIDATE, dtype=FLOAT64)
def lat(candidate: Fact) -> float:
    """Where the vehicle was left, degrees WGS84."""
    return candidate.lat


@feature(view=CANDIDATE, dtype=FLOAT64)
def lon(candidate: Fact) -> float:
    """Where the vehicle was left, degrees WGS84."""
    return candidate.lon


@feature(view=CANDIDATE, dtype=INT64)
def ended_at_us(candidate: Fact) -> int | None:
    """When a vehicle leg next began, microseconds since the epoch; null while none has."""
    return candidate.ended_at


@feature(view=CANDIDATE, dtype=INT64, reads=LEFT_AND_STOPS)
def rest_from_us(candidate: Fact, known: Known) -> int | None:
    """When the stop that followed began, microseconds since the epoch."""
    stop = known.stop_after(candidate)
    return None if stop is None else stop.started_at


@feature(view=CANDIDATE, dtype=INT64, reads=LEFT_AND_STOPS)
def rest_until_us(candidate: Fact, known: Known) -> int | None:
    """When the stop that followed ended, microseconds since the epoch; null while it goes on."""
    stop = known.stop_after(candidate)
    return None if stop is None else stop.ended_at


@feature(view=CANDIDATE, dtype=STRING)
def reasons(candidate: Fact) -> str:
    """Reason codes of the fact rules, comma-separated."""
    return candidate.reasons
