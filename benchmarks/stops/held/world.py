"""Phones with known truth that nothing was tuned on: other people, streets and troubles than ``stops/world.py``.

>>> made = make("sleep", phones=2, seed=5)
>>> made.stays["device_id"].tolist() == sorted(made.stays["device_id"]), len(made.parked) > 3
(True, True)

Phone ``i`` of a seed is the same whatever the number of phones and the variant. A seed with ``tune`` makes other
phones, in other cities, than the same seed without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.stops.held.cities import MEASURE, TUNE
from benchmarks.stops.held.days import DAY_S, FOOT, VEHICLE, Day, live
from benchmarks.stops.held.faults import VARIANTS
from benchmarks.stops.held.sampling import USUAL_S, Fixes, sample
from benchmarks.stops.world import World
from parked.geo import EARTH_RADIUS_M
from parked.schemas import FIXES, MOTION, TIME

FIRST_DAY_US = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC


@dataclass(frozen=True)
class Phone:
    """One phone's day in local metres and where on Earth it lies."""

    name: str
    lat: float
    lon: float
    midnight_us: int
    day: Day
    fixes: Fixes
    number: int

    def degrees(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude (n,) of local metres (n, 2), in a plane that touches at the city."""
        lat = self.lat + np.degrees(xy[:, 1] / EARTH_RADIUS_M)
        lon = self.lon + np.degrees(xy[:, 0] / (EARTH_RADIUS_M * np.cos(np.radians(self.lat))))
        return lat, (lon + 180.0) % 360.0 - 180.0

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Latitude and longitude of one place."""
        lat, lon = self.degrees(np.array([[x, y]]))
        return float(lat[0]), float(lon[0])


def make(variant: str, *, phones: int, seed: int, tune: bool = False) -> World:
    """A day of ``phones`` phones in a variant (``faults.VARIANTS``). Raises KeyError for no such variant."""
    held = people(phones, seed, tune=tune)
    return World(held.fixes(variant), held.motion(), held.stays(), held.parked())


@lru_cache(maxsize=1)
def people(phones: int, seed: int, *, tune: bool = False) -> Held:
    """Their days and what their phones measured before anything went amiss."""
    return Held.make(phones, seed, tune=tune)


@dataclass(frozen=True)
class Held:
    """Phones, and the root of every random number in them."""

    phones: list[Phone]
    root: tuple[int, int]

    @staticmethod
    def make(
        phones: int,
        seed: int,
        *,
        tune: bool = False,
        life: Callable[[np.random.Generator], Day] = live,
        every_s: tuple[float, float] = USUAL_S,
    ) -> Held:
        """``phones`` days of 24 h, lived as ``life`` says, a fix every ``every_s`` s; ``tune`` for seeds to tune on."""
        root = (1 if tune else 0, seed)
        cities = TUNE if tune else MEASURE
        made = []
        for i in range(phones):
            rng = np.random.default_rng([*root, i])
            city, lat, lon = cities[i % len(cities)]
            day = life(rng)
            midnight = FIRST_DAY_US + int(rng.integers(0, 365)) * DAY_S * 1_000_000
            name = f"{city.lower().replace(' ', '-')}-{i:05d}"
            made.append(Phone(name, lat, lon, midnight, day, sample(day, rng, every_s), i))
        return Held(made, root)

    def fixes(self, variant: str) -> pa.Table:
        """FIXES of a variant, phone by phone; ``received_at`` is null (as if live). Raises KeyError for no variant."""
        fault = VARIANTS[variant]
        which = list(VARIANTS).index(variant)
        parts = []
        for phone in self.phones:
            got = phone.fixes
            if fault is not None:
                got = fault(got, phone.day, np.random.default_rng([*self.root, phone.number, 1 + which]))
            parts.append(_table(phone, got))
        table = pa.concat_tables(parts).combine_chunks()
        if variant in ("shuffled", "all"):
            order = np.random.default_rng([*self.root, 99]).permutation(table.num_rows)
            table = table.take(pa.array(order))
        return table

    def stays(self) -> pd.DataFrame:
        """The true stays, by phone and time: device_id, arrived, left (s since the epoch), lat, lon."""
        rows = [
            (p.name, p.midnight_us / 1e6 + s.arrived, p.midnight_us / 1e6 + s.left, *p.place(s.x, s.y))
            for p in self.phones
            for s in p.day.stays
        ]
        return pd.DataFrame(rows, columns=["device_id", "arrived", "left", "lat", "lon"])

    def parked(self) -> pd.DataFrame:
        """Where and when the car was left, by phone and time: device_id, at (s since the epoch), lat, lon, walk_m."""
        rows = [
            (p.name, p.midnight_us / 1e6 + s.at, *p.place(s.x, s.y), s.walk_m) for p in self.phones for s in p.day.left
        ]
        return pd.DataFrame(rows, columns=["device_id", "at", "lat", "lon", "walk_m"])

    def motion(self) -> pa.Table:
        """MOTION as every second phone sends it: each change of activity, 18-31 s late."""
        parts = [_motion(p, np.random.default_rng([*self.root, p.number, 77])) for p in self.phones[::2]]
        return pa.concat_tables(parts).combine_chunks()


def _times(us: list[int]) -> pa.Array:
    return pa.array(us, pa.int64()).cast(TIME)


def _table(phone: Phone, fixes: Fixes) -> pa.Table:
    lat, lon = phone.degrees(fixes.xy)
    n = len(lat)
    columns = [
        pa.array([phone.name], pa.string()).take(pa.array(np.zeros(n, np.int64))),
        pa.array(phone.midnight_us + fixes.at_ms * 1000, pa.int64()).cast(TIME),
        pa.array(np.round(lat, 7)),
        pa.array(np.round(lon, 7)),
        pa.array(fixes.accuracy, mask=np.isnan(fixes.accuracy)),
        pa.array(fixes.speed, mask=np.isnan(fixes.speed)),
        pa.nulls(n, TIME),
    ]
    return pa.table(columns, schema=FIXES)


def _motion(phone: Phone, rng: np.random.Generator) -> pa.Table:
    state = phone.day.state
    change = np.flatnonzero(np.append(True, state[1:] != state[:-1]))
    words = np.where(state[change] == VEHICLE, "in_vehicle", np.where(state[change] == FOOT, "on_foot", "still"))
    at = _times(
        (phone.midnight_us + ((change + rng.uniform(18.0, 31.0, len(change))) * 1e3).astype(np.int64) * 1000).tolist()
    )
    n = len(change)
    confidence = np.round(rng.uniform(0.6, 1.0, n), 2)
    return pa.table([[phone.name] * n, at, pa.nulls(n, TIME), words.tolist(), confidence], schema=MOTION)
