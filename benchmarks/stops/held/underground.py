"""Days whose car is left in underground garages: no sky from the ramp on until the driver is out, or up in the house.

Beside them silences that are no garage: fixes lost at red lights, in tunnels, and around where a car is left in the
street.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.stops.held.days import DAY_S, FOOT, VEHICLE, Day, Left, Writer, cut, log_uniform, pause, writer_at
from benchmarks.stops.held.faults import drift
from benchmarks.stops.held.kinematics import Floats, along, drive, length_of, street_way, walk
from benchmarks.stops.held.sampling import Fixes
from benchmarks.stops.held.world import Held, Phone

REACH_M: Final = 5000.0
APART_M: Final = 900.0
LANES_MPS: Final = (2.2, 3.8)
WALK_MPS: Final = 1.3
ROLLED_M: Final = (2.0, 12.0)
"""The brake's way that is left at the ramp: who is in it rolls at 10-25 km/h."""
STAYS, WALKS_ON = "stays", "walks on"
SHORTEST_S: Final = 900.0
LONGEST_S: Final = 5400.0

Mask = npt.NDArray[np.bool_]


@dataclass
class Dark(Day):
    """A day and the seconds of it (n,) that no sky is seen in."""

    dark: Mask


def _lanes(ramp: Floats, ahead: Floats, metres: float, rng: np.random.Generator) -> Floats:
    """Corners (n, 2) of a way of ``metres`` under ground: ramp and lanes of 12-40 m with a turn after each."""
    corners, way, done = [ramp], ahead, 0.0
    side = 1.0 if rng.random() < 0.5 else -1.0
    while done < metres:
        step = min(float(rng.uniform(12.0, 40.0)), metres - done)
        corners.append(corners[-1] + step * way)
        done += step
        # Mostly on round the same way, as ramps and lanes wind.
        turn = side if rng.random() < 0.75 else -side
        way = turn * np.array([-way[1], way[0]])
    return np.array(corners)


@dataclass
class _Garages:
    """Writes a day of drives into garages that take ``silent_s`` from the last sky to the first."""

    writer: Writer
    silent_s: float
    then: str
    dark: list[Mask]

    def _mark(self, dark: bool) -> None:
        done = sum(map(len, self.dark))
        self.dark.append(np.full(self.writer.now - done, dark, bool))

    def go(self, out: Floats | None) -> Floats:
        """Drive out along ``out`` (the lanes the car came in by, None: from the street) and into the next garage."""
        w, rng = self.writer, self.writer.rng
        w.add(walk(w.door, w.car if out is None else out[0], rng), FOOT)
        self._mark(False)
        w.stand(w.car, rng.uniform(5.0, 30.0), VEHICLE)
        start = w.car
        if out is not None:
            pace = float(rng.uniform(*LANES_MPS))
            way = np.arange(pace, length_of(out), pace)
            w.add(along(out[::-1], way), VEHICLE)
            start = out[0]
        self._mark(out is not None)
        ramp = rng.uniform(-REACH_M, REACH_M, 2)
        while np.hypot(*(ramp - w.door)) < APART_M:
            ramp = rng.uniform(-REACH_M, REACH_M, 2)
        corners = street_way(start, ramp, w.grid, rng)
        metres = length_of(corners)
        way = drive(metres + float(rng.uniform(*ROLLED_M)), rng)
        w.add(along(corners, way[way < metres]), VEHICLE)
        self._mark(False)
        return self._under(ramp, (ramp - corners[-2]) / max(1e-9, float(np.hypot(*(ramp - corners[-2])))))

    def _under(self, ramp: Floats, ahead: Floats) -> Floats:
        w, rng = self.writer, self.writer.rng
        began, pace = w.now, float(rng.uniform(*LANES_MPS))
        lanes = _lanes(ramp, ahead, float(rng.uniform(30.0, min(150.0, 0.5 * self.silent_s * pace))), rng)
        w.add(along(lanes, np.arange(pace, length_of(lanes), pace)), VEHICLE)
        w.stand(lanes[-1], rng.uniform(3.0, 10.0), VEHICLE)
        w.car = lanes[-1]
        left = self.silent_s * float(rng.uniform(0.95, 1.05)) - (w.now - began)
        angle = rng.uniform(0.0, 2.0 * np.pi)
        metres = float(rng.uniform(5.0, max(6.0, min(60.0, WALK_MPS * 0.8 * left))))
        exit_at = w.car + metres * np.array([np.cos(angle), np.sin(angle)])
        w.left.append(Left(w.now, float(w.car[0]), float(w.car[1]), metres))
        w.stand(w.car, max(0.0, left - metres / WALK_MPS), FOOT)  # the boot, the lift, the ticket machine
        w.add(along(np.stack([w.car, exit_at]), np.arange(0.0, metres, WALK_MPS)), FOOT)
        self._mark(True)
        w.door = exit_at
        if self.then == WALKS_ON:
            angle, metres = rng.uniform(0.0, 2.0 * np.pi), log_uniform(rng, 80.0, 400.0)
            w.on_foot(exit_at + metres * np.array([np.cos(angle), np.sin(angle)]))
        pause(w, str(rng.choice(["home", "work", "cafe"])), SHORTEST_S, LONGEST_S)
        self._mark(False)
        return lanes


def in_garages(silent_s: float, then: str) -> Callable[[np.random.Generator], Dark]:
    """A day from garage to garage, each silent for about ``silent_s`` s; ``then``: STAYS in the house or WALKS_ON."""

    def life(rng: np.random.Generator) -> Dark:
        day = _Garages(writer_at(rng, rng.uniform(-REACH_M, REACH_M, 2), (20.0, 100.0)), silent_s, then, [])
        writer = day.writer
        writer.stay("home", rng.uniform(6.0, 8.0) * 3600.0)
        until, lanes = rng.uniform(19.0, 22.0) * 3600.0, None
        while writer.now < until:
            lanes = day.go(lanes)
        writer.stay("home", DAY_S)
        day._mark(False)
        made = cut(writer)
        return Dark(made.xy, made.state, made.stays, made.left, np.concatenate(day.dark)[: len(made.xy)])

    return life


def in_the_dark(day: Day, _: np.random.Generator) -> Mask:
    """The seconds without sky of a day that has such."""
    return day.dark if isinstance(day, Dark) else np.zeros(len(day.xy), bool)


def _runs(mask: Mask) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _pace(day: Day) -> Floats:
    """Way (m) from each second of a day to the next; none from the last one."""
    pace: Floats = np.hypot(*np.diff(day.xy, axis=0, append=day.xy[-1:]).T)
    return pace


def at_lights(day: Day, rng: np.random.Generator) -> Mask:
    """Wherever the vehicle stands on its way: from shortly before until about when it goes on."""
    dark = np.zeros(len(day.xy), bool)
    pace = _pace(day)
    parked = {left.at for left in day.left}
    for a, b in _runs((day.state == VEHICLE) & (pace < 0.05)):
        if not any(a <= at <= b + 1 for at in parked):
            dark[max(0, a - int(rng.uniform(2, 8))) : max(a, b - int(rng.uniform(-5, 10)))] = True
    return dark


def in_tunnels(day: Day, rng: np.random.Generator) -> Mask:
    """60-150 s within each drive of 5 min or more."""
    dark = np.zeros(len(day.xy), bool)
    for a, b in _runs(day.state == VEHICLE):
        if b - a >= 300:
            begin, length = int(rng.uniform(a + 60, b - 210)), int(rng.uniform(60, 150))
            dark[begin : begin + length] = True
    return dark


def around_the_end(day: Day, rng: np.random.Generator) -> Mask:
    """60-150 s without a fix, begun 2-30 s before the car comes to stand."""
    dark = np.zeros(len(day.xy), bool)
    pace = _pace(day)
    for left in day.left:
        stood = left.at - 1
        while stood > 0 and pace[stood] < 0.05:
            stood -= 1
        begin = stood - int(rng.uniform(2, 30))
        dark[begin : begin + int(rng.uniform(60, 150))] = True
    return dark


def without(held: Held, where: Callable[[Day, np.random.Generator], Mask], *, indoors: bool = False) -> Held:
    """The same phones without the fixes of the seconds that ``where`` names; ``indoors``: theirs drift there."""

    def seen(phone: Phone) -> Fixes:
        rng = np.random.default_rng([*held.root, phone.number, 55])
        fixes = drift(phone.fixes, phone.day, rng) if indoors else phone.fixes
        return fixes.take(~where(phone.day, rng)[fixes.at_ms // 1000])

    return replace(held, phones=[replace(phone, fixes=seen(phone)) for phone in held.phones])
