"""A person's true day: where they stayed, how they went, where the car was left; one point a second."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.stops.held.kinematics import Floats, along, drive, length_of, street_way, walk, wander

DAY_S = 86_400
REST, FOOT, VEHICLE = 0, 1, 2
SHORTEST_S = 360.0
"""No stay lasts between 2 min (the longest drop-off) and this: the definition's own border, 5 min, is not measured."""
NEAR_M = (20.0, 300.0)
"""How far from a door the car is left (m), log-uniform."""
ROOMS = {"home": (8.0, 900.0), "work": (15.0, 1200.0), "shop": (22.0, 70.0), "cafe": (6.0, 1500.0)}
"""Per kind of place: how far inside people move (m), and how often (s)."""


@dataclass(frozen=True)
class Stay:
    """At a place from its door at ``arrived`` to its door at ``left`` (s of the day), in local metres."""

    arrived: int
    left: int
    x: float
    y: float


@dataclass(frozen=True)
class Left:
    """The car was left at ``at`` (s of the day), in local metres, ``walk_m`` from the door gone to."""

    at: int
    x: float
    y: float
    walk_m: float


@dataclass
class Day:
    """A track: ``xy`` (n, 2) m and ``state`` (n,) of each second, and its truth."""

    xy: Floats
    state: npt.NDArray[np.int8]
    stays: list[Stay]
    left: list[Left]


@dataclass
class Writer:
    """A day as it is written: at ``door``, the car at ``car``, ``now`` seconds after midnight."""

    rng: np.random.Generator
    grid: float
    door: Floats
    car: Floats
    near_m: tuple[float, float]
    parts: list[Floats] = field(default_factory=list)
    states: list[npt.NDArray[np.int8]] = field(default_factory=list)
    now: int = 0
    stays: list[Stay] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def add(self, points: Floats, state: int) -> None:
        self.parts.append(points)
        self.states.append(np.full(len(points), state, np.int8))
        self.now += len(points)

    def stand(self, at: Floats, seconds: float, state: int) -> None:
        self.add(np.repeat(at[None, :], int(seconds), axis=0), state)

    def stay(self, kind: str, until: float) -> None:
        seconds = int(min(until, DAY_S) - self.now)
        if seconds <= 0:
            return
        began = self.now
        if self.stays and self.stays[-1].left == began:  # nobody left: one stay, decided on twice
            began = self.stays.pop().arrived
        self.stays.append(Stay(began, self.now + seconds, float(self.door[0]), float(self.door[1])))
        self.add(self.door + wander(seconds, *ROOMS[kind], self.rng), REST)

    def on_foot(self, door: Floats) -> None:
        self.add(walk(self.door, door, self.rng), FOOT)
        self.door = door

    def by_car(self, door: Floats) -> None:
        rng = self.rng
        self.add(walk(self.door, self.car, rng), FOOT)
        self.stand(self.car, rng.uniform(5.0, 40.0), VEHICLE)
        metres, angle = log_uniform(rng, *self.near_m), rng.uniform(0.0, 2.0 * np.pi)
        spot = door + metres * np.array([np.cos(angle), np.sin(angle)])
        corners = street_way(self.car, spot, self.grid, rng)
        way = drive(length_of(corners), rng)
        self.add(along(corners, way), VEHICLE)
        self.stand(spot, rng.uniform(3.0, 45.0), VEHICLE)
        self.left.append(Left(self.now, float(spot[0]), float(spot[1]), metres))
        self.car = spot
        self.add(walk(spot, door, rng), FOOT)
        self.door = door


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def writer_at(rng: np.random.Generator, home: Floats, near_m: tuple[float, float]) -> Writer:
    """A day that begins at home, the car ``near_m`` m (log-uniform) from it, as from every door of the day."""
    angle, metres = rng.uniform(0.0, 2.0 * np.pi), log_uniform(rng, *near_m)
    car = home + metres * np.array([np.cos(angle), np.sin(angle)])
    return Writer(rng, float(rng.uniform(0.0, np.pi / 2.0)), home, car, near_m)


def live(rng: np.random.Generator) -> Day:
    """A day of 24 h: a commuter's (3 of 5) or one full of errands."""
    reach = 9000.0

    def somewhere() -> Floats:
        angle, radius = rng.uniform(0.0, 2.0 * np.pi), reach * np.sqrt(rng.uniform(0.02, 1.0))
        return np.array([radius * np.cos(angle), radius * np.sin(angle)])

    def far_from(*others: Floats) -> Floats:
        while True:
            place = somewhere()
            if all(np.hypot(*(place - o)) > 900.0 for o in others):
                return place

    def near(place: Floats) -> Floats:
        angle, radius = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(220.0, 900.0)
        return place + radius * np.array([np.cos(angle), np.sin(angle)])

    home = somewhere()
    writer = writer_at(rng, home, NEAR_M)
    writer.stay("home", rng.uniform(6.0, 9.5) * 3600.0)
    if rng.random() < 0.6:
        _commute(writer, home, far_from, near)
    else:
        _errands(writer, home, far_from, near)
    writer.stay("home", DAY_S)
    return cut(writer)


def pause(writer: Writer, kind: str, shortest_s: float, longest_s: float) -> None:
    """A stay whose length is log-uniform."""
    writer.stay(kind, writer.now + log_uniform(writer.rng, max(SHORTEST_S, shortest_s), longest_s))


def _commute(writer, home, far_from, near) -> None:  # type: ignore[no-untyped-def]
    rng = writer.rng
    work = far_from(home)
    if rng.random() < 0.4:
        writer.by_car(far_from(home, work))
        pause(writer, "shop", SHORTEST_S, 900.0)
    writer.by_car(work)
    writer.stay("work", writer.now + rng.uniform(2.5, 4.0) * 3600.0)
    if rng.random() < 0.6:
        writer.on_foot(near(work))
        pause(writer, "cafe", 900.0, 3600.0)
        writer.on_foot(work)
        writer.stay("work", writer.now + rng.uniform(2.5, 4.0) * 3600.0)
    for _ in range(int(rng.integers(0, 4))):
        writer.by_car(far_from(writer.door, home))
        pause(writer, "shop", SHORTEST_S, 2400.0)
    writer.by_car(home)
    if rng.random() < 0.4:
        pause(writer, "home", 1200.0, 3600.0)
        writer.by_car(far_from(home))
        pause(writer, "cafe", 3000.0, 6000.0)
        writer.by_car(home)


def _errands(writer, home, far_from, near) -> None:  # type: ignore[no-untyped-def]
    rng = writer.rng
    until = rng.uniform(17.0, 22.0) * 3600.0
    while writer.now < until:
        place = far_from(writer.door, home)
        writer.by_car(place)
        pause(writer, str(rng.choice(["shop", "shop", "cafe"])), SHORTEST_S, 3600.0)
        if rng.random() < 0.3:
            writer.on_foot(near(place))
            pause(writer, "shop", SHORTEST_S, 1800.0)
        if rng.random() < 0.3:
            writer.by_car(home)
            pause(writer, "home", 1200.0, 7200.0)
    if not np.array_equal(writer.door, home):
        writer.by_car(home)


def cut(writer: Writer) -> Day:
    """What happened until midnight; a stay cut to less than the shortest did not happen."""
    xy, state = np.concatenate(writer.parts)[:DAY_S], np.concatenate(writer.states)[:DAY_S]
    stays = [Stay(s.arrived, min(s.left, DAY_S), s.x, s.y) for s in writer.stays]
    kept = [s for s in stays if s.left - s.arrived >= SHORTEST_S]
    end = len(xy)
    if stays and stays[-1] not in kept and stays[-1].left == end:
        end = stays[-1].arrived
    return Day(xy[:end], state[:end], kept, [p for p in writer.left if p.at < end])
