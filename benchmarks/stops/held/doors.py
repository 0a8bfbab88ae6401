"""Days whose car is always left a few steps from the door: what a fix at the door can be taken for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.stops.held.days import DAY_S, Day, cut, pause, writer_at

SHORT_S: Final = (360.0, 900.0)
LONG_S: Final = (5400.0, 14_400.0)
"""How long people stay behind the door (s), log-uniform."""
REACH_M: Final = 6000.0
APART_M: Final = 900.0


def behind_doors(door_m: float, stay_s: tuple[float, float]) -> Callable[[np.random.Generator], Day]:
    """A day of drives from door to door, the car left ``door_m`` m from each; every stay as long as ``stay_s`` says."""

    def life(rng: np.random.Generator) -> Day:
        writer = writer_at(rng, rng.uniform(-REACH_M, REACH_M, 2), (door_m, door_m))
        writer.stay("home", rng.uniform(6.0, 9.5) * 3600.0)
        until = rng.uniform(19.0, 22.0) * 3600.0
        while writer.now < until:
            door = rng.uniform(-REACH_M, REACH_M, 2)
            if np.hypot(*(door - writer.door)) < APART_M:
                continue
            writer.by_car(door)
            pause(writer, str(rng.choice(["home", "work", "cafe"])), *stay_s)
        writer.stay("home", DAY_S)
        return cut(writer)

    return life
