"""The street plan of a city: where streets run, how one drives from here to there, what that is in lat/lon.

Plans are made in *grid metres*: streets are the lines x = i * block_x and y = j * block_y. ``bend`` curves
and turns the grid, ``to_lat_lon`` lays it on the sphere, right across the antimeridian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ingestion.simulator.cities import City
from parked.geo import EARTH_RADIUS_M

Array = npt.NDArray[np.float64]
Point = tuple[float, float]

KERB_M: Final = 3.0
"""A parked car stands this far from the middle of its street."""
_BEND_M: Final = 35.0
_BEND_WAVES_M: Final = (2_150.0, 2_750.0)
"""Amplitude and wavelengths of the bend: lengths change by at most 2π * 35 / 2150 = 10 %."""


@dataclass(frozen=True)
class Kerb:
    """A place at the side of a street: where a vehicle can stand."""

    x: float
    y: float
    along_x: bool
    """The street runs along the grid's x axis (y is its line)."""
    street: Point
    """The nearest point in the middle of the street."""


class StreetPlan:
    """Geometry and routes of one city."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.block = city.block_m
        angle = math.radians(city.rotation_deg)
        self._cos, self._sin = math.cos(angle), math.sin(angle)

    def bend(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Grid metres to metres east and north of the centre: bent, then turned. Any one shape, float64."""
        bent_x = x + _BEND_M * np.sin(y * (2 * math.pi / _BEND_WAVES_M[0]))
        bent_y = y + _BEND_M * np.sin(x * (2 * math.pi / _BEND_WAVES_M[1]) + 1.0)
        return bent_x * self._cos - bent_y * self._sin, bent_x * self._sin + bent_y * self._cos

    def to_lat_lon(self, east: Array, north: Array) -> tuple[Array, Array]:
        """Metres east and north of the centre to degrees; longitudes in [-180, 180)."""
        lat = self.city.lat + np.degrees(north / EARTH_RADIUS_M)
        lon = self.city.lon + np.degrees(east / (EARTH_RADIUS_M * math.cos(math.radians(self.city.lat))))
        return lat, (lon + 180.0) % 360.0 - 180.0

    def kerb_near(self, x: float, y: float, *, side: float = KERB_M, arterial: bool = False) -> Kerb:
        """The kerb on the street nearest to (x, y), or on the nearest arterial; ``side`` metres off its middle."""
        every = self.city.arterial_every if arterial else 1
        line_x = _nearest(x, self.block[0] * every)
        line_y = _nearest(y, self.block[1] * every)
        if abs(y - line_y) <= abs(x - line_x):
            return Kerb(x, line_y + (side if y >= line_y else -side), True, (x, line_y))
        return Kerb(line_x + (side if x >= line_x else -side), y, False, (line_x, y))

    def route(self, start: Kerb, end: Kerb, pick: float) -> list[Point]:
        """Corner points of a drive from kerb to kerb, along streets; ``pick`` in [0, 1) chooses among ways.

        Short ways use any street; longer ones an arterial; beyond ~4 km a motorway where one helps.
        """
        (x0, y0), (x1, y1) = start.street, end.street
        span = abs(x1 - x0) + abs(y1 - y0)
        if start.along_x == end.along_x and (y0 == y1 if start.along_x else x0 == x1):
            return [(start.x, start.y), (x0, y0), (x1, y1), (end.x, end.y)]
        every = 1 if span < 900.0 else self.city.arterial_every
        step_x, step_y = self.block[0] * every, self.block[1] * every
        points: list[Point] = [(start.x, start.y), (x0, y0)]
        # from a street along x we leave on a street along y, and the other way round
        a = (_towards(x0, x1, step_x), y0) if start.along_x else (x0, _towards(y0, y1, step_y))
        b = (_towards(x1, x0, step_x), y1) if end.along_x else (x1, _towards(y1, y0, step_y))
        points.append(a)
        if start.along_x == end.along_x:
            if start.along_x:
                row = self._middle(a[1], b[1], step_y, self.block[1], span, pick)
                points += [(a[0], row), (b[0], row)]
            else:
                column = self._middle(a[0], b[0], step_x, self.block[0], span, pick)
                points += [(column, a[1]), (column, b[1])]
        else:
            points.append((a[0], b[1]) if start.along_x else (b[0], a[1]))
        points += [b, (x1, y1), (end.x, end.y)]
        return _without_repeats(points)

    def _middle(self, one: float, other: float, step: float, block: float, span: float, pick: float) -> float:
        """The line on which the long part of a way runs."""
        if span > 4_000.0:
            motorway = block * self.city.arterial_every * self.city.motorway_every
            line = _nearest((one + other) / 2, motorway)
            if min(one, other) - span / 4 <= line <= max(one, other) + span / 4:
                return line
        return _nearest(one + pick * (other - one), step)

    def cruise_mps(self, start: Point, end: Point) -> float:
        """What one drives on the street from ``start`` to ``end`` when nothing is in the way (m/s)."""
        along_x = abs(start[1] - end[1]) < 1e-6
        line, block = (start[1], self.block[1]) if along_x else (start[0], self.block[0])
        index = round(line / block)
        if abs(line - index * block) > 1e-6:
            return 4.0  # off the street: a kerb, a yard, a ramp
        if index % (self.city.arterial_every * self.city.motorway_every) == 0:
            return 29.0
        return 15.0 if index % self.city.arterial_every == 0 else 10.0


def _nearest(value: float, step: float) -> float:
    return round(value / step) * step


def _towards(value: float, goal: float, step: float) -> float:
    """The next line from ``value`` in the direction of ``goal``."""
    return (math.ceil(value / step) if goal >= value else math.floor(value / step)) * step


def _without_repeats(points: list[Point]) -> list[Point]:
    kept = points[:1]
    for point in points[1:]:
        if abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) > 1e-6:
            kept.append(point)
    return kept
