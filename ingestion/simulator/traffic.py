"""What holds a vehicle up on its way: lights, crossings, jams, bus stops; and how it crawls while searching."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ingestion.simulator.cities import City
from ingestion.simulator.streets import Point, StreetPlan
from ingestion.simulator.track import BIKE, BUS, OPEN, VEHICLE, Track


@dataclass(frozen=True)
class Ride:
    """How one drives along a way."""

    mode: int = VEHICLE
    factor: float = 1.0
    """Multiplies the cruising speed (driver, traffic)."""
    top_mps: float = 33.0
    jam: bool = False
    crawl_m: float = 0.0
    """The last so many metres are driven at searching speed."""


@dataclass
class _Way:
    """A polyline with halts upon it, by distance from its start."""

    points: list[Point]
    at: list[float] = field(default_factory=list)
    halts: dict[float, tuple[float, str]] = field(default_factory=dict)
    breaks: set[float] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.at = [0.0]
        for one, other in pairwise(self.points):
            self.at.append(self.at[-1] + math.dist(one, other))

    @property
    def length(self) -> float:
        return self.at[-1]


def ride(track: Track, points: list[Point], how: Ride, plan: StreetPlan, rng: np.random.Generator) -> None:
    """Append the drive along ``points`` (from where the track is), with what holds it up, and mark that."""
    way = _Way(points)
    cruise = [min(how.top_mps, how.factor * plan.cruise_mps(a, b)) for a, b in pairwise(points)]
    _add_lights(way, cruise, how, plan.city, rng)
    if how.mode == BUS:
        _add_bus_stops(way, rng)
    jam = _add_jam(way, rng) if how.jam and way.length > 1_200.0 else (math.inf, -math.inf)
    crawl_from = way.length - how.crawl_m
    if how.crawl_m:
        way.breaks.add(max(1.0, crawl_from))
    jam_nodes: list[int] = []
    edge = 0
    marks = sorted(m for m in {*way.at, *way.halts, *way.breaks} if 0.0 < m <= way.length)
    for mark in marks:
        while way.at[edge + 1] < mark:
            edge += 1
        speed = cruise[edge]
        in_jam = jam[0] < mark <= jam[1]
        if in_jam:
            speed = min(speed, 3.8)
        if mark > crawl_from + 0.5:
            speed = min(speed, 4.6)
        share = (mark - way.at[edge]) / (way.at[edge + 1] - way.at[edge])
        a, b = points[edge], points[edge + 1]
        track.move((a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])), speed, how.mode, OPEN)
        if in_jam:
            jam_nodes.append(track.last)
        if mark in way.halts:
            seconds, kind = way.halts[mark]
            node = track.stop(seconds, how.mode)
            if kind:
                track.mark(kind, node)
    if len(jam_nodes) > 1:
        track.mark_span("jam", jam_nodes[0], jam_nodes[-1])


def _add_lights(way: _Way, cruise: list[float], how: Ride, city: City, rng: np.random.Generator) -> None:
    """Red lights and stop signs by street class; now and then a closed railway crossing."""
    ease = 0.5 if how.mode == BIKE else 1.0
    for edge, speed in enumerate(cruise):
        start, end = way.at[edge], way.at[edge + 1]
        if end - start < 60.0 or speed > 20.0:
            continue
        every, share = (420.0, 0.36) if speed > 11.5 else (260.0, 0.16)
        for light in np.arange(start + every, end + every / 2, every):
            at = float(min(light, end)) - 5.0 - 30.0 * float(rng.random()) ** 2
            if rng.random() < share * ease and at > start + 20.0:
                if speed <= 11.5 and rng.random() < 0.4:
                    way.halts[at] = (float(rng.uniform(1.0, 6.0)), "")  # a stop sign, a pedestrian
                else:
                    wait = min(110.0, 10.0 + float(rng.exponential(city.red_mean_s - 10.0 + 6.0)))
                    way.halts[at] = (wait, "red_light")
    if rng.random() < 0.02 and way.length > 1_000.0:
        way.halts[way.length * float(rng.uniform(0.2, 0.8))] = (float(rng.uniform(40.0, 180.0)), "rail_crossing")


def _add_bus_stops(way: _Way, rng: np.random.Generator) -> None:
    """A bus stops each 300-450 m when someone wants it to, for 15-40 s."""
    at = float(rng.uniform(250.0, 450.0))
    while at < way.length - 150.0:
        if rng.random() < 0.75:
            way.halts[at] = (float(rng.uniform(15.0, 40.0)), "bus_stop")
        at += float(rng.uniform(300.0, 450.0))


def _add_jam(way: _Way, rng: np.random.Generator) -> tuple[float, float]:
    """Stop and go over 200-1,200 m; returns where it starts and ends along the way."""
    length = min(way.length * 0.5, float(rng.uniform(200.0, 1_200.0)))
    start = float(rng.uniform(0.1, 0.9)) * (way.length - length)
    way.breaks |= {max(1.0, start), start + length}
    for at in [key for key in way.halts if start <= key <= start + length]:
        del way.halts[at]
    at = start + 15.0
    while at < start + length:
        way.halts[at] = (float(np.clip(rng.lognormal(math.log(14.0), 0.9), 3.0, 200.0)), "")
        at += float(rng.uniform(30.0, 130.0))
    return max(1.0, start), start + length


def circle_block(around: Point, block: tuple[float, float]) -> list[Point]:
    """Once around the block at a point in the middle of a street, back to it (grid metres)."""
    x0 = math.floor(around[0] / block[0]) * block[0]
    y0 = math.floor(around[1] / block[1]) * block[1]
    if abs(around[1] / block[1] - round(around[1] / block[1])) < 1e-6:
        y = around[1]
        return [around, (x0 + block[0], y), (x0 + block[0], y + block[1]), (x0, y + block[1]), (x0, y), around]
    x = around[0]
    return [around, (x, y0 + block[1]), (x + block[0], y0 + block[1]), (x + block[0], y0), (x, y0), around]
