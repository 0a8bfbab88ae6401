"""What a person does in a day, second by second: stays, walks, drives with lights, jams and drop-offs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

ACCELERATION = 2.0
"""m/s^2, everyday driving"""
WALK_MPS = 1.35
STAY, WALK, DRIVE, STAND = 0, 1, 2, 3
"""What a second is spent on; STAND: the vehicle stands (a light, a jam, a drop-off)."""


@dataclass
class Day:
    """A person's track: a sample a second. Metres east and north of the city's centre."""

    xy: list[F64] = field(default_factory=list)
    doing: list[npt.NDArray[np.int8]] = field(default_factory=list)
    seconds: int = 0
    stays: list[tuple[int, int, float, float]] = field(default_factory=list)
    """(arrival at the door, departure from it, x, y), s"""
    parked: list[tuple[int, float, float]] = field(default_factory=list)
    """(when the vehicle stood, x, y)"""

    def add(self, xy: F64, doing: int | npt.NDArray[np.int8]) -> None:
        """Go on along ``xy`` [n, 2], a second each."""
        self.xy.append(xy)
        self.doing.append(np.full(len(xy), doing, np.int8) if isinstance(doing, int) else doing)
        self.seconds += len(xy)

    @property
    def here(self) -> F64:
        """Where the person is now."""
        return np.asarray(self.xy[-1][-1])


def stay(day: Day, place: F64, seconds: int) -> None:
    """Stay at a place, wandering a few metres."""
    day.stays.append((day.seconds, day.seconds + seconds, float(place[0]), float(place[1])))
    day.add(np.repeat(place[None, :], seconds, axis=0), STAY)


def walk(day: Day, to: F64, rng: np.random.Generator) -> None:
    """Walk to ``to`` with a corner on the way."""
    corner = np.array([to[0], day.here[1]]) if rng.random() < 0.5 else np.array([day.here[0], to[1]])
    for target in (corner, to):
        way = target - day.here
        length = float(np.hypot(*way))
        steps = max(1, round(length / WALK_MPS))
        if length > 1:
            day.add(day.here + way * (np.arange(1, steps + 1) / steps)[:, None], WALK)


def drive(day: Day, to: F64, rng: np.random.Generator) -> None:
    """Drive to ``to`` over a grid of streets; lights of 15-90 s, now and then a jam or a drop-off; park there."""
    line = _streets(day.here, to, rng)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    speeds: list[F64] = []
    v = 0.0
    for i in range(len(line) - 1):
        block = along[i + 1] - along[i]
        limit = min(float(rng.choice([8.3, 13.9, 13.9, 19.4, 27.8])), max(5.0, np.sqrt(block * ACCELERATION)))
        last = i == len(line) - 2
        light = rng.random() < 0.35
        into = 0.0 if last or light else min(6.0, limit)
        speeds.append(_block(block, v, limit, into))
        v = into
        if light and not last:
            speeds.append(np.zeros(int(rng.integers(15, 91))))
        if rng.random() < 0.03:
            speeds.append(_jam(int(rng.integers(180, 720)), rng))
            v = 0.0
        if rng.random() < 0.02 and not last:
            speeds.append(np.zeros(int(rng.integers(30, 121))))
            v = 0.0
    pace = np.concatenate(speeds)
    way = np.cumsum(pace)
    way *= along[-1] / way[-1]
    xy = np.stack([np.interp(way, along, line[:, axis]) for axis in (0, 1)], axis=1)
    day.add(xy, np.where(pace < 0.3, STAND, DRIVE).astype(np.int8))
    day.parked.append((day.seconds, float(xy[-1, 0]), float(xy[-1, 1])))
    day.add(np.repeat(xy[-1:], int(rng.integers(5, 40)), axis=0), STAND)


def _streets(a: F64, b: F64, rng: np.random.Generator) -> F64:
    """Corners of a staircase way from a to b, blocks of 150-900 m."""
    points = [a]
    axis = int(rng.integers(2))
    while float(np.abs(b - points[-1]).sum()) > 250.0:
        left = b - points[-1]
        if abs(left[axis]) < 100.0:
            axis = 1 - axis
        step = min(abs(left[axis]), float(rng.uniform(150, 900)))
        corner = points[-1].copy()
        corner[axis] += np.sign(left[axis]) * step
        points.append(corner)
        if rng.random() < 0.6:
            axis = 1 - axis
    return np.array([*points, b])


def _block(length: float, v0: float, limit: float, v1: float) -> F64:
    """Speeds (m/s, a second each) over a block: up to the limit, along, down to v1."""
    up = np.arange(v0, limit, ACCELERATION) if v0 < limit else np.array([])
    down = np.arange(limit, v1, -ACCELERATION)
    rest = max(0.0, length - up.sum() - down.sum())
    return np.concatenate([up, np.full(max(1, round(rest / limit)), limit), down])


def _jam(seconds: int, rng: np.random.Generator) -> F64:
    """Stop and go: crawls at 1-4 m/s, stands of 5-40 s."""
    parts: list[F64] = []
    total = 0
    while total < seconds:
        parts += [
            np.full(int(rng.integers(8, 30)), rng.uniform(1, 4)),
            np.zeros(int(rng.integers(5, 40))),
        ]
        total += len(parts[-1]) + len(parts[-2])
    return np.concatenate(parts)


def day_of(rng: np.random.Generator, seconds: int) -> Day:
    """A person's span of ``seconds`` from local midnight: home, work, errands, by car and on foot."""
    home = rng.uniform(-8000, 8000, 2)
    work = home + _away(rng, 2500, 12000)
    day = Day()
    place, car = home, home + _away(rng, 20, 120)
    until = int(rng.normal(7.3, 0.8) * 3600)
    while day.seconds < seconds:
        clock = day.seconds % 86_400
        stay(day, place, max(300, until - day.seconds) if not day.stays else _stay_s(place is home, clock, rng))
        if rng.random() < 0.2:  # somewhere near, on foot, and the car stays
            place = place + _away(rng, 200, 800)
            walk(day, place, rng)
            continue
        evening = 15.5 * 3600 < clock < 23 * 3600
        if clock < 11 * 3600 and rng.random() < 0.7 and place is not work:
            goal = work
        elif (evening and rng.random() < 0.6) and place is not home:
            goal = home
        else:
            goal = day.here + _away(rng, 1200, 7000)
        walk(day, car, rng)
        if rng.random() < 0.5:
            day.add(np.repeat(car[None, :], int(rng.integers(5, 60)), axis=0), STAND)
        car = goal + _away(rng, 20, 300 if rng.random() < 0.3 else 110)
        drive(day, car, rng)
        place = goal
        walk(day, place, rng)
    return day


def _stay_s(at_home: bool, clock: float, rng: np.random.Generator) -> int:
    """How long somebody stays (s): the night at home, hours at work, minutes on errands."""
    if at_home and clock > 19 * 3600:
        return int(86_400 - clock + rng.normal(7.3, 0.8) * 3600)
    kind = rng.random()
    if kind < 0.25:
        return int(rng.uniform(310, 720))
    if kind < 0.65:
        return int(rng.uniform(900, 4500))
    return int(rng.uniform(4500, 4 * 3600))


def _away(rng: np.random.Generator, low: float, high: float) -> F64:
    """An offset of ``low`` to ``high`` m in any direction."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(rng.uniform(low, high) * np.array([np.cos(angle), np.sin(angle)]))
