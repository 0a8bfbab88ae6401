"""Named cities: synthetic street grids at real places, each with its own habits.

Only the centre and the UTC offset are a real city's; block sizes, shares and lengths are plausible, not surveyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parked.errors import NotFoundError


@dataclass(frozen=True)
class City:
    """A grid of streets around a centre, and what parking and traffic are like there."""

    name: str
    lat: float
    lon: float
    utc_offset_h: float
    """Fixed offset of local time (no daylight saving)."""
    block_m: tuple[float, float]
    """Distance between parallel streets, along the grid's own x and y (m)."""
    rotation_deg: float
    """Of the grid against east, counter-clockwise."""
    radius_m: float
    """Homes lie within this distance of the centre."""
    core_m: float
    """Within this distance of the centre the sky is narrow (urban canyon)."""
    arterial_every: int
    """Every n-th street is an arterial: faster, with lights and buses."""
    motorway_every: int
    """Every n-th arterial is a motorway."""
    walk_scale: float
    """Multiplies the distance between parking place and door."""
    search_share: float
    """Share of parkings that begin with a search."""
    garage_share: float
    """Share of places whose parking is an underground garage."""
    carless_share: float
    """Share of people without a car."""
    red_mean_s: float
    """Mean wait at a red light (s)."""
    rush_jam: float
    """Chance of a jam on a rush-hour drive."""


CITIES: Final[dict[str, City]] = {
    city.name: city
    for city in (
        City("lisbon", 38.7223, -9.1393, 0.0, (90.0, 130.0), 24.0, 8_000.0, 2_200.0, 4, 8, 1.0, 0.7, 0.12, 0.25, 26.0, 0.25),
        City("berlin", 52.5200, 13.4050, 1.0, (140.0, 190.0), 8.0, 10_000.0, 2_600.0, 3, 9, 1.05, 0.68, 0.10, 0.32, 30.0, 0.22),
        City("san_jose", 37.3382, -121.8863, -8.0, (170.0, 230.0), 31.0, 13_000.0, 1_500.0, 4, 5, 0.9, 0.5, 0.06, 0.12, 34.0, 0.3),
        City("auckland", -36.8509, 174.7645, 12.0, (130.0, 210.0), -14.0, 10_000.0, 1_600.0, 4, 6, 0.95, 0.55, 0.08, 0.2, 28.0, 0.3),
        City("taveuni", -16.8100, 179.9950, 12.0, (120.0, 160.0), 41.0, 6_000.0, 400.0, 5, 40, 0.8, 0.3, 0.01, 0.3, 18.0, 0.05),
        City("tokyo", 35.6762, 139.6503, 9.0, (70.0, 95.0), 12.0, 11_000.0, 4_500.0, 5, 9, 1.15, 0.6, 0.2, 0.4, 38.0, 0.3),
        City("sao_paulo", -23.5505, -46.6333, -3.0, (110.0, 120.0), -33.0, 12_000.0, 3_600.0, 4, 10, 1.0, 0.65, 0.15, 0.3, 36.0, 0.4),
        City("cape_town", -33.9249, 18.4241, 2.0, (100.0, 180.0), 19.0, 11_000.0, 1_800.0, 4, 7, 0.95, 0.55, 0.07, 0.22, 27.0, 0.25),
    )
}  # fmt: skip
"""By name. ``auckland``, ``cape_town``, ``sao_paulo`` lie south of the equator; ``taveuni`` straddles the antimeridian."""


def city_named(name: str) -> City:
    """The city of that name.

    Raises NotFoundError naming the known ones.
    """
    try:
        return CITIES[name]
    except KeyError:
        raise NotFoundError(f"city {name!r} is not known", mend=f"choose one of {', '.join(sorted(CITIES))}") from None
