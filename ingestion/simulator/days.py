"""What a person means to do: moves with planned times, day by day. Each day has its own random stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingestion.simulator.people import Person, Place

DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Move:
    """Go to ``to``: leave at ``leave_s`` (seconds since the start of the span) or later, if one has been here
    ``at_least_s``."""

    to: Place
    leave_s: float
    at_least_s: float
    mode: str
    """car, bus, bike, walk, taxi, passenger"""
    vias: tuple[str, ...] = ()
    """Happenings on the way by car: dropoff, pickup, fuel, drive_through, wait."""


def plan_day(person: Person, weekday: int, midnight_s: float, rng: np.random.Generator) -> list[Move]:
    """The moves of one day, beginning and ending at home. ``weekday`` 0 is Monday."""
    moves: list[Move] = []
    if weekday < 5 and _works(person, weekday, rng):
        moves = _working_day(person, midnight_s, rng)
    else:
        moves = _free_day(person, weekday, midnight_s, rng)
    if rng.random() < (0.16 if weekday < 4 else 0.32):
        leave = midnight_s + rng.normal(19.6, 0.7) * 3600
        moves += _tour(person, [_other(person, rng)], leave, rng, dwell_s=(3_600.0, 9_000.0))
    return moves


def _works(person: Person, weekday: int, rng: np.random.Generator) -> bool:
    if person.job == "commuter":
        return bool(rng.random() < 0.93)
    if person.job == "part_time":
        return weekday in (0, 1, 3)
    return person.job == "free" and bool(rng.random() < 0.45)


def _working_day(person: Person, midnight: float, rng: np.random.Generator) -> list[Move]:
    mode = _mode(person, person.home.distance_m(person.work), rng)
    leave = midnight + person.leaves_at_s + rng.normal(0, 600)
    vias = ["dropoff"] if person.has_child and rng.random() < 0.8 else []
    if rng.random() < 0.07:
        vias.append("drive_through")
    if rng.random() < 0.06:
        vias.append("fuel")
    moves = [Move(person.work, leave, 600.0, mode, tuple(vias))]
    until = person.returns_at_s if person.job != "part_time" else person.leaves_at_s + 4.6 * 3600
    if person.job != "part_time" and rng.random() < 0.35:
        lunch = min(person.others, key=lambda place: place.distance_m(person.work))
        on_foot = lunch.distance_m(person.work) < 900.0
        if on_foot or mode == "car":
            how = "walk" if on_foot else "car"
            start = midnight + rng.normal(12.4, 0.35) * 3600
            moves += [
                Move(lunch, start, 3_600.0, how),
                Move(person.work, 0.0, rng.uniform(1_300.0, 2_900.0), how),
            ]
    home_vias = [
        kind
        for kind, share in (("pickup", 0.11), ("wait", 0.09), ("fuel", 0.06), ("dropoff", 0.08))
        if rng.random() < share
    ]
    leave = midnight + until + rng.normal(0, 1_500)
    errands = min(2, int(rng.poisson(0.4 * person.errands_per_day)))
    for _ in range(errands):
        moves.append(Move(_other(person, rng), leave, 1_800.0 if leave else _errand_s(rng), mode))
        leave = 0.0
    moves.append(Move(person.home, leave, 1_800.0 if leave else _errand_s(rng), mode, tuple(home_vias)))
    return moves


def _free_day(person: Person, weekday: int, midnight: float, rng: np.random.Generator) -> list[Move]:
    moves: list[Move] = []
    if weekday >= 5 and person.has_car and rng.random() < 0.13:
        leave = midnight + rng.normal(9.8, 0.9) * 3600
        return _tour(person, [person.far], leave, rng, dwell_s=(5_400.0, 20_000.0))
    for hour in (10.3, 15.6):
        if rng.random() < 0.42 + 0.1 * person.errands_per_day:
            stops = [_other(person, rng) for _ in range(1 + int(rng.poisson(0.6)))][:3]
            leave = midnight + rng.normal(hour, 1.0) * 3600
            moves += _tour(person, stops, leave, rng, dwell_s=(300.0, 7_200.0))
    return moves


def _tour(
    person: Person, places: list[Place], leave: float, rng: np.random.Generator, dwell_s: tuple[float, float]
) -> list[Move]:
    """Out from home to ``places`` in turn and back, by one mode."""
    mode = _mode(person, max(place.distance_m(person.home) for place in places), rng)
    vias = tuple(
        kind
        for kind, share in (("fuel", 0.07), ("drive_through", 0.06), ("pickup", 0.1), ("dropoff", 0.1), ("wait", 0.07))
        if rng.random() < share
    )
    moves = [Move(places[0], leave, 900.0, mode, vias)]
    for place in [*places[1:], person.home]:
        dwell = (
            math.exp(rng.uniform(math.log(dwell_s[0]), math.log(dwell_s[1])))
            if place is person.home
            else _errand_s(rng)
        )
        moves.append(Move(place, 0.0, dwell, mode))
    return moves


def _mode(person: Person, distance: float, rng: np.random.Generator) -> str:
    """How a tour of that length is made."""
    draw = rng.random()
    if distance < 450.0 and draw < 0.85:
        return "walk"
    if person.has_car:
        if draw < person.bus_share:
            return "bus"
        draw = rng.random()
        return "taxi" if draw < 0.02 else "passenger" if draw < 0.055 else "car"
    if draw < 0.07:
        return "taxi"
    if draw < 0.16:
        return "passenger"
    if distance < 1_200.0:
        return "walk"
    return "bike" if person.has_bike and distance < 6_500.0 and draw < 0.75 else "bus"


def _other(person: Person, rng: np.random.Generator) -> Place:
    """One of the other places, the first ones more often."""
    return person.others[min(len(person.others) - 1, int(rng.exponential(len(person.others) / 2.5)))]


def _errand_s(rng: np.random.Generator) -> float:
    """Most errands take 5-60 min; some 2 min at the bakery."""
    return float(np.clip(math.exp(rng.normal(math.log(1_100.0), 0.85)), 120.0, 9_000.0))
