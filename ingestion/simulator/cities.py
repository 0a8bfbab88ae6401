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
        City(
            name="lisbon",
            lat=38.7223,
            lon=-9.1393,
            utc_offset_h=0.0,
            block_m=(90.0, 130.0),
            rotation_deg=24.0,
            radius_m=8_000.0,
            core_m=2_200.0,
            arterial_every=4,
            motorway_every=8,
            walk_scale=1.0,
            search_share=0.7,
            garage_share=0.12,
            carless_share=0.25,
            red_mean_s=26.0,
            rush_jam=0.25,
        ),
        City(
            name="berlin",
            lat=52.5200,
            lon=13.4050,
            utc_offset_h=1.0,
            block_m=(140.0, 190.0),
            rotation_deg=8.0,
            radius_m=10_000.0,
            core_m=2_600.0,
            arterial_every=3,
            motorway_every=9,
            walk_scale=1.05,
            search_share=0.68,
            garage_share=0.10,
            carless_share=0.32,
            red_mean_s=30.0,
            rush_jam=0.22,
        ),
        City(
            name="san_jose",
            lat=37.3382,
            lon=-121.8863,
            utc_offset_h=-8.0,
            block_m=(170.0, 230.0),
            rotation_deg=31.0,
            radius_m=13_000.0,
            core_m=1_500.0,
            arterial_every=4,
            motorway_every=5,
            walk_scale=0.9,
            search_share=0.5,
            garage_share=0.06,
            carless_share=0.12,
            red_mean_s=34.0,
            rush_jam=0.3,
        ),
        City(
            name="auckland",
            lat=-36.8509,
            lon=174.7645,
            utc_offset_h=12.0,
            block_m=(130.0, 210.0),
            rotation_deg=-14.0,
            radius_m=10_000.0,
            core_m=1_600.0,
            arterial_every=4,
            motorway_every=6,
            walk_scale=0.95,
            search_share=0.55,
            garage_share=0.08,
            carless_share=0.2,
            red_mean_s=28.0,
            rush_jam=0.3,
        ),
        City(
            name="taveuni",
            lat=-16.8100,
            lon=179.9950,
            utc_offset_h=12.0,
            block_m=(120.0, 160.0),
            rotation_deg=41.0,
            radius_m=6_000.0,
            core_m=400.0,
            arterial_every=5,
            motorway_every=40,
            walk_scale=0.8,
            search_share=0.3,
            garage_share=0.01,
            carless_share=0.3,
            red_mean_s=18.0,
            rush_jam=0.05,
        ),
        City(
            name="tokyo",
            lat=35.6762,
            lon=139.6503,
            utc_offset_h=9.0,
            block_m=(70.0, 95.0),
            rotation_deg=12.0,
            radius_m=11_000.0,
            core_m=4_500.0,
            arterial_every=5,
            motorway_every=9,
            walk_scale=1.15,
            search_share=0.6,
            garage_share=0.2,
            carless_share=0.4,
            red_mean_s=38.0,
            rush_jam=0.3,
        ),
        City(
            name="sao_paulo",
            lat=-23.5505,
            lon=-46.6333,
            utc_offset_h=-3.0,
            block_m=(110.0, 120.0),
            rotation_deg=-33.0,
            radius_m=12_000.0,
            core_m=3_600.0,
            arterial_every=4,
            motorway_every=10,
            walk_scale=1.0,
            search_share=0.65,
            garage_share=0.15,
            carless_share=0.3,
            red_mean_s=36.0,
            rush_jam=0.4,
        ),
        City(
            name="cape_town",
            lat=-33.9249,
            lon=18.4241,
            utc_offset_h=2.0,
            block_m=(100.0, 180.0),
            rotation_deg=19.0,
            radius_m=11_000.0,
            core_m=1_800.0,
            arterial_every=4,
            motorway_every=7,
            walk_scale=0.95,
            search_share=0.55,
            garage_share=0.07,
            carless_share=0.22,
            red_mean_s=27.0,
            rush_jam=0.25,
        ),
    )
}
"""By name. ``auckland``, ``cape_town`` and ``sao_paulo`` are southern; ``taveuni`` straddles the antimeridian."""


def city_named(name: str) -> City:
    """The city of that name.

    Raises NotFoundError naming the known ones.
    """
    try:
        return CITIES[name]
    except KeyError:
        raise NotFoundError(f"city {name!r} is not known", mend=f"choose one of {', '.join(sorted(CITIES))}") from None
