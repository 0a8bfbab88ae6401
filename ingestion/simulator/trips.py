"""How a person gets from one place to the next: the legs of a trip, appended to the track, and the car left behind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ingestion.simulator.days import DAY_S, Move
from ingestion.simulator.people import Person, Place, parking_spot
from ingestion.simulator.streets import Kerb, Point, StreetPlan
from ingestion.simulator.track import BIKE, BUS, FOOT, INDOOR, OPEN, STILL, UNDERGROUND, VEHICLE, Track
from ingestion.simulator.traffic import Ride, circle_block, ride

_ALIGHT_KINDS = {"taxi": "taxi_alight", "passenger": "passenger_alight"}


@dataclass
class _Car:
    """Where the car stands, and since which nodes."""

    spot: Kerb
    underground: bool
    left: int
    door: int
    place: str


class Traveller:
    """Carries a person (and the car) along. Appends to ``track``; ``rng`` may be exchanged between days."""

    def __init__(self, person: Person, plan: StreetPlan, rng: np.random.Generator) -> None:
        self.person = person
        self.plan = plan
        self.rng = rng
        self.at: Place = person.home
        self.track = Track(person.home.door, INDOOR)
        self._now_s = 0.0
        self.car: _Car | None = None
        if person.has_car:
            spot = parking_spot(person.home, plan, rng)
            self.car = _Car(spot, person.home.parking == "garage", 0, 0, "home")

    def go(self, move: Move) -> None:
        """Stay where one is until it is time, then go."""
        node = self.track.stay(move.at_least_s, move.leave_s, self._indoors(self.at))
        self.track.mark("stay", node, self.at.role)
        self._now_s = max(self._now_s + move.at_least_s, move.leave_s)
        if move.mode == "car" and self.car is not None:
            self._by_car(move, self.car)
        elif move.mode == "bus":
            self._by_bus(move.to)
        elif move.mode in _ALIGHT_KINDS:
            self._as_passenger(move.to, move.mode)
        elif move.mode == "bike":
            self._by_bike(move.to)
        else:
            self._walk(move.to.door)
        self.at = move.to
        self._now_s += 900.0

    def finish(self, until_s: float) -> Track:
        """Stay for good; the car stays as well. Returns the whole track."""
        node = self.track.stay(60.0, until_s, self._indoors(self.at))
        self.track.mark("stay", node, self.at.role)
        if self.car is not None and self.car.left:
            self.track.mark_parked(self.car.left, self.car.door, None, self.car.place)
        return self.track

    # --- by car

    def _by_car(self, move: Move, car: _Car) -> None:
        track, rng = self.track, self.rng
        self._walk_to_car(car)
        node = track.stop(
            float(np.clip(rng.lognormal(math.log(18.0), 0.7), 4.0, 150.0)), VEHICLE, _sky(car.underground)
        )
        if car.left:
            track.mark_parked(car.left, car.door, node, car.place)
        here = car.spot
        if car.underground:
            self._under_the_house(here, leaving=True)
        how = self._drive_style()
        for via in move.vias:
            here = self._happening(via, here, move.to, how)
        spot = parking_spot(move.to, self.plan, rng)
        underground = move.to.parking == "garage"
        self._drive_to_spot(here, spot, move.to, how, searching=move.to.parking == "street")
        if underground:
            self._under_the_house(spot, leaving=False)
        lingers = rng.random() < self.person.lingers_share
        sits = math.exp(rng.uniform(math.log(60.0), math.log(600.0))) if lingers else rng.lognormal(math.log(8.0), 0.7)
        left = track.stop(float(np.clip(sits, 2.0, 600.0)), STILL if lingers else VEHICLE, _sky(underground))
        if underground:
            self._up_from_garage(move.to)
        self._walk(move.to.door)
        self.car = _Car(spot, underground, left, track.last, move.to.role)

    def _drive_style(self) -> Ride:
        hour = self._now_s % DAY_S / 3600
        rush = 7.0 < hour < 9.3 or 16.2 < hour < 18.8
        traffic = self.rng.uniform(0.68, 0.95) if rush else self.rng.uniform(0.88, 1.05)
        jam = bool(self.rng.random() < self.plan.city.rush_jam * (1.0 if rush else 0.15))
        return Ride(factor=self.person.drive_factor * float(traffic), jam=jam)

    def _drive_to_spot(self, here: Kerb, spot: Kerb, place: Place, how: Ride, *, searching: bool) -> None:
        rng, plan = self.rng, self.plan
        if not searching or rng.random() >= plan.city.search_share:
            ride(self.track, plan.route(here, spot, rng.random()), how, plan, rng)
        elif rng.random() < 0.6:  # crawls up to the first free space
            how_slow = Ride(how.mode, how.factor, how.top_mps, how.jam, crawl_m=float(rng.uniform(60.0, 300.0)))
            ride(self.track, plan.route(here, spot, rng.random()), how_slow, plan, rng)
        else:  # passes the door, finds nothing, circles
            door = Kerb(*place.kerb.street, place.kerb.along_x, place.kerb.street)
            ride(self.track, plan.route(here, door, rng.random()), how, plan, rng)
            crawl = Ride(how.mode, 0.55, top_mps=5.5)
            if rng.random() < 0.45:
                ride(self.track, circle_block(door.street, plan.block), crawl, plan, rng)
            ride(self.track, plan.route(door, spot, rng.random()), crawl, plan, rng)

    def _happening(self, kind: str, here: Kerb, to: Place, how: Ride) -> Kerb:
        """Something on the way during which the car is not left; returns the kerb it happened at."""
        rng, track, plan = self.rng, self.track, self.plan
        share = float(rng.uniform(0.25, 0.75))
        x = here.x + share * (to.door[0] - here.x) + float(rng.normal(0.0, 400.0))
        y = here.y + share * (to.door[1] - here.y) + float(rng.normal(0.0, 400.0))
        side = {"fuel": 16.0, "drive_through": 14.0}.get(kind, 3.0)
        place = plan.kerb_near(x, y, side=side)
        if kind == "dropoff" and self.person.has_child:
            place = self.person.others[0].kerb
        ride(track, plan.route(here, place, rng.random()), how, plan, rng)
        if kind == "drive_through":
            first = track.stop(float(rng.uniform(15.0, 70.0)), VEHICLE)
            for _ in range(2):
                x, y = track.here
                track.move((x + 7.0, y) if place.along_x else (x, y + 7.0), 2.0, VEHICLE)
                track.stop(float(rng.uniform(20.0, 90.0)), VEHICLE)
            track.mark_span(kind, first, track.last)
            track.move((place.x, place.y), 3.0, VEHICLE)
            return place
        low, high = {"dropoff": (20.0, 180.0), "pickup": (60.0, 600.0), "fuel": (120.0, 360.0)}.get(
            kind, (120.0, 900.0)
        )
        node = track.stop(math.exp(rng.uniform(math.log(low), math.log(high))), STILL if kind == "wait" else VEHICLE)
        track.mark(kind, node)
        return place

    def _under_the_house(self, spot: Kerb, *, leaving: bool) -> None:
        """Ramp and lanes of a garage: a loop or two of 40 x 18 m, walking pace, no sky."""
        x, y = spot.x, spot.y
        if leaving and self.track.here != (x, y):
            self.track.move((x, y), 3.0, VEHICLE, UNDERGROUND)
        for _ in range(1 + int(self.rng.random() * 2)):
            for corner in ((x + 40.0, y), (x + 40.0, y + 18.0), (x, y + 18.0), (x, y)):
                self.track.move(corner, 3.2, VEHICLE, UNDERGROUND)

    def _up_from_garage(self, place: Place) -> None:
        """Stairs, a lift, the ticket machine: minutes without sky before one is out."""
        x, y = self.track.here
        self.track.move((x + 12.0, y + 20.0), self.person.walk_mps * 0.8, FOOT, UNDERGROUND)
        self.track.stop(float(self.rng.uniform(15.0, 120.0)), STILL, UNDERGROUND)
        if math.dist(self.track.here, place.door) < 90.0:
            self._walk(place.door, env=UNDERGROUND)

    def _walk_to_car(self, car: _Car) -> None:
        if not car.underground:
            self._walk((car.spot.x, car.spot.y))
            return
        close = math.dist(self.track.here, (car.spot.x, car.spot.y)) < 90.0
        self._walk((car.spot.x + 12.0, car.spot.y + 20.0), env=UNDERGROUND if close else OPEN)
        self.track.move((car.spot.x, car.spot.y), self.person.walk_mps * 0.8, FOOT, UNDERGROUND)

    # --- by other means

    def _by_bus(self, to: Place) -> None:
        rng, track, plan = self.rng, self.track, self.plan
        board = plan.kerb_near(*self.at.door, arterial=True)
        alight = plan.kerb_near(*to.door, arterial=True)
        if math.dist(board.street, alight.street) < 500.0:
            self._walk(to.door)
            return
        self._walk((board.x, board.y))
        track.stop(float(rng.uniform(40.0, 600.0)), STILL)
        style = self._drive_style()
        ride(
            track,
            plan.route(board, alight, rng.random()),
            Ride(BUS, style.factor * 0.85, top_mps=19.0, jam=style.jam),
            plan,
            rng,
        )
        track.mark("bus_alight", track.stop(float(rng.uniform(6.0, 25.0)), VEHICLE))
        self._walk(to.door)

    def _as_passenger(self, to: Place, mode: str) -> None:
        rng, track, plan = self.rng, self.track, self.plan
        board = self.at.kerb
        self._walk((board.x, board.y))
        track.stop(float(rng.uniform(30.0, 360.0) if mode == "taxi" else rng.uniform(5.0, 60.0)), STILL)
        x, y = rng.normal(0.0, 14.0, size=2)
        alight = plan.kerb_near(to.kerb.x + float(x), to.kerb.y + float(y))
        ride(track, plan.route(board, alight, rng.random()), self._drive_style(), plan, rng)
        sits = rng.uniform(20.0, 75.0) if mode == "taxi" else rng.uniform(6.0, 50.0)
        track.mark(_ALIGHT_KINDS[mode], track.stop(float(sits), VEHICLE))
        self._walk(to.door)

    def _by_bike(self, to: Place) -> None:
        rng, track, plan = self.rng, self.track, self.plan
        start, end = self.at.kerb, to.kerb
        self._walk((start.x, start.y))
        track.stop(float(rng.uniform(8.0, 30.0)), STILL)
        pace = Ride(BIKE, factor=0.6, top_mps=float(rng.uniform(3.6, 6.8)))
        ride(track, plan.route(start, end, rng.random()), pace, plan, rng)
        track.mark("bike_left", track.stop(float(rng.uniform(10.0, 45.0)), STILL))
        self._walk(to.door)

    def _walk(self, to: Point, env: int = OPEN) -> None:
        """On foot: straight on where it is near or nothing is in the way, else along the streets."""
        rng, track = self.rng, self.track
        here = track.here
        pace = float(np.clip(self.person.walk_mps * rng.normal(1.0, 0.07), 1.0, 1.8))
        if math.dist(here, to) > 60.0 and rng.random() < 0.65:
            corner = (to[0], here[1]) if rng.random() < 0.5 else (here[0], to[1])
            if math.dist(here, corner) > 1.0:
                track.move(corner, pace, FOOT, env)
            if env == OPEN and rng.random() < 0.3:
                track.stop(float(rng.uniform(4.0, 45.0)), STILL)  # a crossing
        track.move(to, pace, FOOT, env)

    def _indoors(self, place: Place) -> int:
        return OPEN if place.outdoors else INDOOR


def _sky(underground: bool) -> int:
    return UNDERGROUND if underground else OPEN
