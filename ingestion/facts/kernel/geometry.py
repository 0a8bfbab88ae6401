"""Distances for decisions: float64 with +, -, *, /, sqrt only, so every machine gives the same bits.

The plane at the mid-latitude of two points: below 0.1 % off the great circle for the distances decided on (< 10 km)
up to 85 degrees of latitude. Mirroring latitudes or shifting longitudes changes no bit of a distance.
"""

from __future__ import annotations

import math
from typing import Any

from ingestion.facts.kernel.jit import inlined, njit

METRES_PER_E7 = 0.011119508023353292
"""Metres per 1e-7 degree of latitude on the sphere of R1 = 6 371 008.8 m (IUGG): R1 * pi / 180 * 1e-7."""
_RAD_PER_E7 = 1.7453292519943296e-09
_FULL = 3_600_000_000
_HALF = 1_800_000_000


@njit()
def cosine(lat_e7: float) -> float:
    """cos of a latitude in 1e-7 degrees (float64, may be a half); |error| < 1e-9. Taylor about 0 or 90 degrees."""
    x = abs(lat_e7) * _RAD_PER_E7
    if x > 0.7853981633974483:
        y = 1.5707963267948966 - x
        q = y * y
        return y * (1.0 - q / 6.0 * (1.0 - q / 20.0 * (1.0 - q / 42.0 * (1.0 - q / 72.0 * (1.0 - q / 110.0)))))
    q = x * x
    return 1.0 - q / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0 * (1.0 - q / 56.0 * (1.0 - q / 90.0))))


@inlined()
def unwrap(dlon: int) -> int:
    """A longitude difference in 1e-7 degrees brought into (-180, 180] degrees, symmetric about 0."""
    if dlon > _HALF:
        return dlon - _FULL
    if dlon < -_HALF:
        return dlon + _FULL
    return dlon


@njit()
def distance(lat1: int, lon1: int, lat2: int, lon2: int) -> float:
    """Metres between two points in 1e-7 degrees."""
    dy = (lat2 - lat1) * METRES_PER_E7
    dx = unwrap(lon2 - lon1) * METRES_PER_E7 * cosine((lat1 + lat2) * 0.5)
    return math.sqrt(dx * dx + dy * dy)


@njit()
def scale_at(lat: float) -> float:
    """Metres per 1e-7 degree of longitude at a latitude in 1e-7 degrees."""
    return METRES_PER_E7 * cosine(lat)


@inlined()
def rescale(s: Any, lat: int) -> None:
    """Renew the state's longitude scale where ``lat`` is 1e-4 relative off: a cosine every kilometre, not every fix."""
    if abs(lat - s.scale_lat) > s.scale_room:
        c = cosine(lat)
        s.scale_lat = lat
        s.scale = METRES_PER_E7 * c
        s.scale_room = int(57_296.0 * c)


@inlined()
def apart2(lat1: int, lon1: int, lat2: int, lon2: int, scale: float) -> float:
    """Square metres between two near points: ``apart`` squared, without the root."""
    dy = (lat2 - lat1) * METRES_PER_E7
    dx = unwrap(lon2 - lon1) * scale
    return dx * dx + dy * dy


@njit()
def apart(lat1: int, lon1: int, lat2: int, lon2: int, scale: float) -> float:
    """Metres between two near points in 1e-7 degrees, with the longitude scale of their latitude."""
    return math.sqrt(apart2(lat1, lon1, lat2, lon2, scale))


@inlined()
def mean_of(total: int, count: int) -> int:
    """total / count rounded half away from zero: mirror-symmetric, unlike floor division."""
    if total >= 0:
        return (2 * total + count) // (2 * count)
    return -((-2 * total + count) // (2 * count))


@inlined()
def wrap(lon: int) -> int:
    """A longitude in 1e-7 degrees brought into [-180, 180)."""
    if lon >= _HALF:
        return lon - _FULL
    if lon < -_HALF:
        return lon + _FULL
    return lon
