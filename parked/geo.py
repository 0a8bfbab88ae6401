"""Distances and cells on the sphere. Vectorised where arrays come in; degrees in, metres out."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_M: Final = 6_371_008.8
"""Mean radius R1, IUGG."""

Array = npt.NDArray[np.float64]


def distance_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Great-circle distance in metres (haversine), right across the antimeridian and at the poles.

    >>> round(distance_m(0.0, 179.9995, 0.0, -179.9995))
    111
    """
    p1, p2 = math.radians(lat1), math.radians(lat2)
    half_lat = math.sin((p2 - p1) / 2)
    half_lon = math.sin(math.radians(lon2 - lon1) / 2)
    h = half_lat * half_lat + math.cos(p1) * math.cos(p2) * half_lon * half_lon
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, h)))


def distances_m(lat1: Array, lon1: Array, lat2: Array, lon2: Array) -> Array:
    """``distance_m`` over arrays, float64, any broadcastable shapes."""
    p1, p2 = np.radians(lat1), np.radians(lat2)
    half_lat = np.sin((p2 - p1) / 2)
    half_lon = np.sin(np.radians(np.asarray(lon2) - np.asarray(lon1)) / 2)
    h = half_lat**2 + np.cos(p1) * np.cos(p2) * half_lon**2
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, h))))


def offset_m(lat: float, lon: float, east_m: float, north_m: float) -> tuple[float, float]:
    """The point ``east_m``/``north_m`` metres away (local plane; for offsets far below the Earth's radius)."""
    new_lat = lat + math.degrees(north_m / EARTH_RADIUS_M)
    new_lon = lon + math.degrees(east_m / (EARTH_RADIUS_M * max(1e-9, math.cos(math.radians(lat)))))
    return new_lat, (new_lon + 180.0) % 360.0 - 180.0


CELL_RESOLUTION: Final = 10
"""H3 resolution of a place: mean edge 66 m, about a parking lot (h3geo.org, table of cell statistics)."""


def cell_of(lat: float, lon: float) -> str:
    """The H3 cell (hex string) of a place at CELL_RESOLUTION."""
    import h3

    return str(h3.latlng_to_cell(lat, lon, CELL_RESOLUTION))
