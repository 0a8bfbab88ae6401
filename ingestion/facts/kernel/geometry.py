"""Distances for decisions: float64 with +, -, *, /, sqrt only, so every machine gives the same bits.

The plane at the mid-latitude of two points: below 0.1 % off the great circle for the distances decided on (< 10 km)
up to 85 degrees of latitude; within a degree of a pole the plane that touches there. Mirroring latitudes or shifting
longitudes changes no bit of a distance.
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
_POLE = 900_000_000
_POLAR = METRES_PER_E7 * 0.0174524
"""Longitude's scale a degree from a pole: where it is less, all longitudes are near each other."""


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


@inlined()
def eastward(dlon: int) -> int:
    """As ``unwrap``, but half a circle is half a circle east, never west: a mean of longitudes shifts as they do."""
    if dlon > _HALF:
        return dlon - _FULL
    if dlon <= -_HALF:
        return dlon + _FULL
    return dlon


@njit()
def _versine(dlon: int) -> float:
    """1 - cos of a longitude difference in 1e-7 degrees, up to 180 degrees; exact for small ones, too."""
    x = abs(dlon) * _RAD_PER_E7
    if x > 1.5707963267948966:
        return 1.0 + cosine(_HALF - abs(dlon))
    if x > 0.7853981633974483:
        return 1.0 - cosine(dlon)
    q = x * x
    return q / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0 * (1.0 - q / 56.0 * (1.0 - q / 90.0))))


@njit()
def _polar2(lat1: int, lon1: int, lat2: int, lon2: int) -> float:
    """Square metres between two points in the plane that touches the first one's pole: the law of cosines."""
    here = (_POLE - abs(lat1)) * METRES_PER_E7
    there = (_POLE - (lat2 if lat1 >= 0 else -lat2)) * METRES_PER_E7
    d = here - there
    return d * d + 2.0 * here * there * _versine(unwrap(lon2 - lon1))


@njit()
def distance(lat1: int, lon1: int, lat2: int, lon2: int) -> float:
    """Metres between two points in 1e-7 degrees."""
    shrink = cosine((lat1 + lat2) * 0.5)
    if METRES_PER_E7 * shrink < _POLAR:
        return math.sqrt(_polar2(lat1, lon1, lat2, lon2))
    dy = (lat2 - lat1) * METRES_PER_E7
    dx = unwrap(lon2 - lon1) * METRES_PER_E7 * shrink
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
    if scale < _POLAR:
        return _polar2(lat1, lon1, lat2, lon2)
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
