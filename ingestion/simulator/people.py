"""Who carries a phone: home, work, other places, habits. Drawn once per device from its own stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingestion.simulator.cities import City
from ingestion.simulator.streets import KERB_M, Kerb, StreetPlan
from ingestion.simulator.track import Point

WALK_MEDIAN_M: Final = 104.0
WALK_SIGMA: Final = 0.72
"""Log-normal of the distance from car to destination: DESIGN.md §5.7 gives median 104 m and p90 247 m, that is
sigma = ln(247 / 104) / 1.2816 = 0.675; a little wider here because distances are clipped to 20-350 m."""
WALK_RANGE_M: Final = (20.0, 350.0)

ROLES: Final = ("shop", "supermarket", "gym", "school", "friend", "restaurant", "doctor", "park", "family", "bakery")


@dataclass(frozen=True)
class Place:
    """Somewhere a person goes. ``parking``: street (another spot each time), lot (about the same), garage."""

    role: str
    door: Point
    kerb: Kerb
    parking: str
    walk_m: float
    """Typical straight distance from car to door (m)."""
    walk_angle: float
    outdoors: bool = False

    def distance_m(self, other: Place) -> float:
        """Straight distance between doors (m, in the grid)."""
        return math.dist(self.door, other.door)


@dataclass(frozen=True)
class Person:
    """Fixed for the whole simulation."""

    home: Place
    work: Place
    others: list[Place]
    far: Place
    has_car: bool
    has_bike: bool
    has_child: bool
    job: str
    """commuter, part_time, at_home, free"""
    bus_share: float
    """Share of a car owner's days on which the bus is taken."""
    leaves_at_s: float
    returns_at_s: float
    walk_mps: float
    drive_factor: float
    lingers_share: float
    """Share of parkings after which the person stays in the car for 1-10 min."""
    errands_per_day: float


def draw_person(city: City, plan: StreetPlan, rng: np.random.Generator) -> Person:
    """A person living in ``city``."""
    home = _place("home", _somewhere(city.radius_m, rng), city, plan, rng)
    work = _place("work", _work_near(city, home, rng), city, plan, rng)
    others = [
        _place(
            ROLES[int(rng.random() * len(ROLES))],
            _around(home if rng.random() < 0.7 else work, city, rng),
            city,
            plan,
            rng,
        )
        for _ in range(5 + int(rng.random() * 8))
    ]
    angle = rng.random() * 2 * math.pi
    away = city.radius_m * rng.uniform(1.2, 1.9)
    far = _place("excursion", (away * math.cos(angle), away * math.sin(angle)), city, plan, rng)
    draw = rng.random()
    return Person(
        home=home,
        work=work,
        others=others,
        far=far,
        has_car=bool(rng.random() >= city.carless_share),
        has_bike=bool(rng.random() < 0.4),
        has_child=bool(rng.random() < 0.25),
        job="commuter" if draw < 0.58 else "part_time" if draw < 0.74 else "at_home" if draw < 0.87 else "free",
        bus_share=float(rng.random() ** 3 * 0.25),
        leaves_at_s=float(rng.normal(7.75, 0.7)) * 3600,
        returns_at_s=float(rng.normal(17.2, 0.8)) * 3600,
        walk_mps=float(np.clip(rng.normal(1.35, 0.14), 1.0, 1.75)),
        drive_factor=float(np.clip(rng.normal(1.0, 0.07), 0.8, 1.12)),
        lingers_share=float(rng.beta(1.2, 7.0)),
        errands_per_day=float(rng.gamma(3.0, 0.35)),
    )


def parking_spot(place: Place, plan: StreetPlan, rng: np.random.Generator) -> Kerb:
    """Where the car is put this time on a visit to ``place``. Straight distances follow the module's log-normal."""
    if place.parking == "garage":
        return _spot_at(place, place.walk_m, place.walk_angle, plan, side=25.0)
    if place.parking == "lot":
        spot = _spot_at(place, place.walk_m, place.walk_angle, plan, side=18.0)
        slide = float(rng.normal(0.0, 12.0))
        return _slid(spot, slide)
    distance = float(np.clip(place.walk_m * math.exp(rng.normal(0.0, 0.45)), *WALK_RANGE_M))
    tries = [_spot_at(place, distance, float(angle), plan) for angle in rng.random(5) * 2 * math.pi]
    return min(tries, key=lambda spot: abs(math.dist((spot.x, spot.y), place.door) - distance))


def _spot_at(place: Place, distance: float, angle: float, plan: StreetPlan, side: float = KERB_M) -> Kerb:
    x, y = place.door[0] + distance * math.cos(angle), place.door[1] + distance * math.sin(angle)
    return plan.kerb_near(x, y, side=side)


def _slid(spot: Kerb, by: float) -> Kerb:
    east, north = (by, 0.0) if spot.along_x else (0.0, by)
    street = (spot.street[0] + east, spot.street[1] + north)
    return Kerb(spot.x + east, spot.y + north, spot.along_x, street)


def _place(role: str, near: Point, city: City, plan: StreetPlan, rng: np.random.Generator) -> Place:
    """A place by the street nearest to ``near``: its door lies 12-35 m off the middle of the street."""
    kerb = plan.kerb_near(*near)
    door = plan.kerb_near(*near, side=float(rng.uniform(12.0, 35.0)))
    draw = rng.random()
    lot_share = {"supermarket": 0.75, "shop": 0.3, "gym": 0.4, "work": 0.3, "home": 0.15, "excursion": 0.5}.get(
        role, 0.12
    )
    parking = "garage" if draw < city.garage_share else "lot" if draw < city.garage_share + lot_share else "street"
    walk = city.walk_scale * WALK_MEDIAN_M * math.exp(rng.normal(0.0, math.sqrt(WALK_SIGMA**2 - 0.45**2)))
    if role == "home" and parking == "lot":
        walk = float(rng.uniform(20.0, 40.0))  # a drive of one's own
    return Place(
        role=role,
        door=(door.x, door.y),
        kerb=kerb,
        parking=parking,
        walk_m=float(np.clip(walk, *WALK_RANGE_M)),
        walk_angle=float(rng.random() * 2 * math.pi),
        outdoors=role == "park" or (role == "excursion" and bool(rng.random() < 0.5)),
    )


def _somewhere(radius: float, rng: np.random.Generator) -> Point:
    distance, angle = radius * math.sqrt(rng.random()), rng.random() * 2 * math.pi
    return distance * math.cos(angle), distance * math.sin(angle)


def _work_near(city: City, home: Place, rng: np.random.Generator) -> Point:
    """Half of the jobs are in the core, the rest anywhere; none next door."""
    for _ in range(8):
        place = _somewhere(city.core_m * 1.2 if rng.random() < 0.5 else city.radius_m, rng)
        if math.dist(place, home.door) > 900.0:
            return place
    return place


def _around(centre: Place, city: City, rng: np.random.Generator) -> Point:
    """Most errands are 0.3-4 km from home or work."""
    distance = min(city.radius_m, 1_300.0 * math.exp(rng.normal(0.0, 0.8)))
    angle = rng.random() * 2 * math.pi
    return centre.door[0] + distance * math.cos(angle), centre.door[1] + distance * math.sin(angle)
