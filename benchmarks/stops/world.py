"""Phones with known stays, in variants: what the stop engine and its peers are scored on.

>>> made = make("clean", phones=1, seed=5)
>>> made.fixes.num_rows > 5_000, len(made.stays) > 3
(True, True)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.stops.journeys import DRIVE, STAND, STAY, WALK, Day, day_of
from parked import libm
from parked.schemas import FIXES, MOTION, TIME

VARIANTS: Final = ("clean", "duplicates", "shuffled", "jumps", "drift", "gaps", "sleep", "all")
CITIES: Final = ((52.5, 13.4), (-33.9, 18.4), (37.3, -121.9), (-36.8, 174.7), (60.2, 24.9), (-16.8, 179.98))
"""Degrees; the last lies at the antimeridian."""
START_US: Final = 1_767_571_200_000_000
"""2026-01-05 UTC, a Monday"""
METRE: Final = 1 / 111_195.08
"""Degrees of latitude"""


@dataclass(frozen=True)
class World:
    """Input and truth. ``stays``: device_id, arrived, left (s since the epoch), lat, lon; only those of >= 5 min."""

    fixes: pa.Table
    motion: pa.Table
    stays: pd.DataFrame
    parked: pd.DataFrame
    """device_id, at (s since the epoch), lat, lon: where and when a vehicle was left"""


def make(variant: str, *, phones: int, seed: int, days: int = 1) -> World:
    """``phones`` phones over ``days`` days. The same people whatever the variant; the seed gives the same bytes.

    clean: GPS error of ~4 m, a fix each 5-10 s; duplicates: 10 % sent again; shuffled: rows in no order, 5 % doubled;
    jumps: 1 % of fixes 1-5 km off, half of them claiming to be good, runs of 1-3; drift: indoors 30-80 m off for
    minutes; gaps: 60-600 s without a fix, about one an hour; sleep: silent from 2 min after an arrival until the
    departure; all: everything together (every other phone sleeps).
    """
    if variant not in VARIANTS:
        raise ValueError(f"{variant}: one of {', '.join(VARIANTS)}")
    fixes, motion, stays, parked = [], [], [], []
    for phone in range(phones):
        people, noise = np.random.default_rng([seed, phone, 1]), np.random.default_rng([seed, phone, 2])
        name = f"phone-{seed}-{phone:05d}"
        centre = CITIES[phone % len(CITIES)]
        day = day_of(people, days * 86_400)
        seen = _observe(day, variant, sleeps=variant == "sleep" or (variant == "all" and phone % 2 == 0), rng=noise)
        fixes.append(_fixes(name, centre, *seen))
        motion.append(_motion(name, day, noise))
        first, last = seen[0][0], seen[0][-1]
        for a, b, x, y in day.stays:
            if min(b, last) - max(a, first) >= 300:
                lat, lon = _degrees(np.array([x]), np.array([y]), centre)
                stays.append((name, START_US / 1e6 + max(a, first), START_US / 1e6 + min(b, last), lat[0], lon[0]))
        for at, x, y in day.parked:
            if at < last:
                lat, lon = _degrees(np.array([x]), np.array([y]), centre)
                parked.append((name, START_US / 1e6 + at, lat[0], lon[0]))
    table = pa.concat_tables(fixes)
    rng = np.random.default_rng([seed, 3])
    share = {"duplicates": 0.1, "all": 0.1, "shuffled": 0.05}.get(variant, 0.0)
    if share:
        again = table.filter(pa.array(rng.random(table.num_rows) < share))
        table = pa.concat_tables([table, again])
        if variant == "duplicates":
            table = table.sort_by([("device_id", "ascending"), ("event_time", "ascending")])
    if variant in ("shuffled", "all"):
        table = table.take(pa.array(rng.permutation(table.num_rows)))
    return World(
        table.combine_chunks(),
        pa.concat_tables(motion).combine_chunks(),
        pd.DataFrame(stays, columns=["device_id", "arrived", "left", "lat", "lon"]),
        pd.DataFrame(parked, columns=["device_id", "at", "lat", "lon"]),
    )


Seen = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""times (s), x, y (m), accuracy (m), speed (m/s, NaN where none)"""


def _observe(day: Day, variant: str, *, sleeps: bool, rng: np.random.Generator) -> Seen:
    xy, doing = np.concatenate(day.xy), np.concatenate(day.doing)
    step = rng.uniform(5, 10)
    t = np.cumsum(step * rng.uniform(0.8, 1.2, int(len(xy) / step * 1.3)))
    t = t[t < len(xy) - 1]
    if variant in ("gaps", "all"):
        starts = np.cumsum(rng.exponential(3600, int(len(xy) / 1800) + 5))
        for begin, length in zip(starts, libm.exp(rng.uniform(math.log(60), math.log(600), len(starts))), strict=True):
            t = t[(t < begin) | (t > begin + length)]
    if sleeps:
        for arrived, left, _, _ in day.stays:
            t = t[(t < arrived + 120) | (t > left + rng.uniform(0, 30))]
    second = t.astype(np.int64)
    kind = doing[second]
    true = xy[second] + (xy[np.minimum(second + 1, len(xy) - 1)] - xy[second]) * (t - second)[:, None]
    noise = _wander(t, 4.0, 60.0, rng) + rng.normal(0, 1.0, (len(t), 2))
    accuracy = np.abs(rng.normal(8, 3, len(t))) + 3
    if variant in ("drift", "all"):
        indoors = kind == STAY
        noise = np.where(indoors[:, None], _wander(t, rng.uniform(18, 32), 240.0, rng), noise)
        accuracy = np.where(indoors, accuracy + rng.uniform(10, 40, len(t)), accuracy)
    pace = np.hypot(*(xy[np.minimum(second + 1, len(xy) - 1)] - xy[second]).T)
    speed = np.maximum(0.0, pace + rng.normal(0, 0.3, len(t)))
    speed[(speed < 0.4) | (kind == STAY)] = 0.0
    speed[rng.random(len(t)) < 0.1] = np.nan
    if rng.random() < 0.15:
        speed[:] = np.nan
    seen = true + noise
    if variant in ("jumps", "all"):
        starts = np.flatnonzero(rng.random(len(t)) < 0.01 / 1.3)
        for at, run in zip(starts, 1 + (rng.random(len(starts)) < 0.2) + (rng.random(len(starts)) < 0.1), strict=True):
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(1000, 5000)
            seen[at : at + run] += far * np.array([np.cos(angle), np.sin(angle)])
            if rng.random() < 0.5:
                accuracy[at : at + run] = rng.uniform(400, 3000)
    return t, seen[:, 0], seen[:, 1], accuracy, speed


def _wander(t: np.ndarray, sigma: float, correlation_s: float, rng: np.random.Generator) -> np.ndarray:
    """First-order Gauss-Markov error [n, 2] of ``sigma`` m an axis at irregular times ``t``."""
    keep = libm.exp(-np.diff(t, prepend=t[0]) / correlation_s)
    out = rng.normal(0, sigma, (len(t), 2))
    push = np.sqrt(1 - keep**2)[:, None] * out
    for i in range(1, len(t)):
        out[i] = keep[i] * out[i - 1] + push[i]
    return out


def _degrees(x: np.ndarray, y: np.ndarray, centre: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    lat = centre[0] + y * METRE
    lon = centre[1] + x * METRE / np.cos(np.radians(centre[0]))
    return np.round(lat, 7), np.round((lon + 180) % 360 - 180, 7)


def _fixes(
    name: str, centre: tuple[float, float], t: np.ndarray, x: np.ndarray, y: np.ndarray, acc: np.ndarray, v: np.ndarray
) -> pa.Table:
    lat, lon = _degrees(x, y, centre)
    event = START_US + np.round(t * 1000).astype(np.int64) * 1000
    columns = [
        pa.array([name]).take(pa.array(np.zeros(len(t), np.int8))),
        pa.array(event).cast(TIME),
        pa.array(lat),
        pa.array(lon),
        pa.array(np.round(acc, 2)),
        pa.array(np.round(v, 2), mask=np.isnan(v)),
        pa.array(event + 2_000_000).cast(TIME),
    ]
    return pa.table(columns, schema=FIXES)


def _motion(name: str, day: Day, rng: np.random.Generator) -> pa.Table:
    """The phone's own activity, late by 18-60 s; every third phone sends none."""
    doing = np.concatenate(day.doing)
    change = np.flatnonzero(np.diff(doing)) + 1
    words = {STAY: "still", WALK: "on_foot", DRIVE: "in_vehicle", STAND: "in_vehicle"}
    rows = [(int(i) + rng.uniform(18, 60), words[int(doing[i])]) for i in change]
    if rng.random() < 0.33:
        rows = []
    rows = [row for i, row in enumerate(rows) if i == 0 or row[1] != rows[i - 1][1]]
    when = pa.array([START_US + int(t * 1000) * 1000 for t, _ in rows], pa.int64()).cast(TIME)
    confidence = pa.array(np.round(rng.uniform(0.5, 1.0, len(rows)), 2))
    columns = [pa.array([name] * len(rows), pa.string()), when, when, pa.array([w for _, w in rows], pa.string())]
    return pa.table([*columns, confidence], schema=MOTION)
