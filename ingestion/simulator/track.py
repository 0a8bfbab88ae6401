"""The plan of a person's movement before time is put to it: nodes, segments between them, and marked episodes.

A track is one unbroken line through the whole span: every leg starts where the last one ended. Trips append to
it; ``kinematics`` then times all of it at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

Point = tuple[float, float]

STILL: Final = 0
FOOT: Final = 1
BIKE: Final = 2
VEHICLE: Final = 3
BUS: Final = 4
"""Ways of moving. BUS is a vehicle with gentler acceleration. 0-3 are the codes of ``parked.schemas.ACTIVITIES``."""

OPEN: Final = 0
CANYON: Final = 1
INDOOR: Final = 2
UNDERGROUND: Final = 3
"""What the antenna sees. Tracks say OPEN; which open places are canyons follows from where they are."""


@dataclass(frozen=True)
class Marked:
    """An episode between two nodes' arrivals or departures. ``end`` None: not over when the track ends."""

    kind: str
    start: int
    start_leaving: bool
    end: int | None
    end_leaving: bool
    place: str
    stopped: int
    """Node of the position; its arrival is when the vehicle came to rest."""
    door: int | None = None
    """Node at which the walk from the vehicle ended."""


class Track:
    """A growing list of nodes. Segment i leads *to* node i; segment 0 is unused."""

    def __init__(self, at: Point, env: int) -> None:
        self.x: list[float] = [at[0]]
        self.y: list[float] = [at[1]]
        self.speed: list[float] = [1.0]
        self.mode: list[int] = [STILL]
        self.env: list[int] = [env]
        self.dwell: list[float] = [0.0]
        self.until: list[float] = [-math.inf]
        self.halts: list[bool] = [True]
        self.rest_mode: list[int] = [STILL]
        self.rest_env: list[int] = [env]
        self.stays: list[int] = []
        """Nodes at which the person is at a place (not merely halting)."""
        self.marked: list[Marked] = []

    @property
    def last(self) -> int:
        """Index of the node where the track ends so far."""
        return len(self.x) - 1

    @property
    def here(self) -> Point:
        """Where the track ends so far (grid metres)."""
        return self.x[-1], self.y[-1]

    def move(self, to: Point, speed_mps: float, mode: int, env: int = OPEN) -> None:
        """Go straight to a point, at most at ``speed_mps`` (m/s)."""
        self._append(to, speed_mps, mode, env, False)

    def stop(self, seconds: float, mode: int, env: int = OPEN) -> int:
        """Come to rest here for ``seconds``; returns the node. ``mode``: what the person is doing (STILL, VEHICLE)."""
        if self.halts[-1]:
            self._append(self.here, 1.0, mode, env, True)
        self.halts[-1] = True
        self.dwell[-1] = seconds
        self.rest_mode[-1] = mode
        self.rest_env[-1] = env
        return self.last

    def stay(self, at_least_s: float, until_s: float, env: int) -> int:
        """Be at a place for at least ``at_least_s`` and until ``until_s`` (seconds since the start of the span)."""
        node = self.stop(at_least_s, STILL, env)
        self.until[node] = until_s
        self.stays.append(node)
        return node

    def mark(self, kind: str, node: int, place: str = "") -> None:
        """An episode that is the rest at one node, from arrival to departure."""
        self.marked.append(Marked(kind, node, False, node, True, place, node))

    def mark_span(self, kind: str, first: int, last: int) -> None:
        """An episode from arrival at one node to departure from another."""
        self.marked.append(Marked(kind, first, False, last, True, "", first))

    def mark_parked(self, left: int, door: int, back: int | None, place: str) -> None:
        """A car left when node ``left`` is departed from on foot, until node ``back`` is departed from by car."""
        self.marked.append(Marked("parked", left, True, back, True, place, left, door))

    def _append(self, to: Point, speed: float, mode: int, env: int, halts: bool) -> None:
        self.x.append(to[0])
        self.y.append(to[1])
        self.speed.append(speed)
        self.mode.append(mode)
        self.env.append(env)
        self.dwell.append(0.0)
        self.until.append(-math.inf)
        self.halts.append(halts)
        self.rest_mode.append(mode)
        self.rest_env.append(env)
