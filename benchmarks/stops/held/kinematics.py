"""How people, cars and queues move: positions along a way, one a second (float64 metres)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LIGHT_EVERY_M = (180.0, 650.0)
RED_SHARE = 0.35
RED_S = (15.0, 90.0)
DROP_OFF_S = (30.0, 120.0)


def hop(distance: float, cruise: float, accel: float, brake: float) -> Floats:
    """Way done after 1, 2, ... s from standstill to standstill: a trapezoid of speed that ends at ``distance``."""
    top = min(cruise, (2.0 * distance * accel * brake / (accel + brake)) ** 0.5)
    rise, fall = top / accel, top / brake
    flat = max(0.0, distance - top * (rise + fall) / 2.0) / top
    t = np.arange(1.0, np.ceil(rise + flat + fall) + 1.0)
    up = np.minimum(t, rise)
    down = np.clip(t - rise - flat, 0.0, fall)
    way = accel * up**2 / 2.0 + top * np.clip(t - rise, 0.0, flat) + top * down - brake * down**2 / 2.0
    way[-1] = distance
    return np.minimum(way, distance)


def queue(distance: float, rng: np.random.Generator) -> Floats:
    """A jam: hops of 15-70 m at a crawl, standing 3-35 s between them; on average faster than people walk."""
    parts, done = [], 0.0
    while done < distance:
        step = min(float(rng.uniform(15.0, 70.0)), distance - done)
        if distance - done - step < 5.0:
            step = distance - done
        parts.append(done + hop(step, float(rng.uniform(2.0, 6.0)), 1.0, 1.5))
        done += step
        parts.append(np.full(int(rng.uniform(3.0, 35.0)), done))
    return np.concatenate(parts)


def drive(length: float, rng: np.random.Generator) -> Floats:
    """Way done each second of a drive of ``length`` m: red lights, maybe a jam, a fast road, a drop-off."""
    marks: list[tuple[float, float, float]] = []  # (where it stands next, for how long, cruise until there)
    at, fast = 0.0, (length * 0.3, length * 0.7) if length > 5000.0 else (np.inf, np.inf)
    while at < length:
        if fast[0] <= at < fast[1]:
            at = fast[1]
            marks.append((at, 0.0, float(rng.uniform(20.0, 30.0))))
            continue
        at += float(rng.uniform(*LIGHT_EVERY_M))
        if rng.random() < RED_SHARE:
            marks.append((at, float(rng.uniform(*RED_S)), float(rng.uniform(8.0, 16.0))))
    if rng.random() < 0.2:
        marks.append((float(rng.uniform(0.2, 0.8)) * length, float(rng.uniform(*DROP_OFF_S)), 11.0))
    marks = sorted(m for m in marks if m[0] < length - 60.0)
    jam = float(rng.uniform(0.2, 0.7)) * length if rng.random() < 0.3 else np.inf
    parts, done = [], 0.0
    for where, wait, cruise in [*marks, (length, 0.0, float(rng.uniform(7.0, 13.0)))]:
        if jam <= done:
            jammed = min(float(rng.uniform(300.0, 1200.0)), length - done - 100.0)
            jam = np.inf
            if jammed > 100.0:
                parts.append(done + queue(jammed, rng))
                done += jammed
        if where - done < 15.0:
            continue
        parts.append(done + hop(where - done, cruise, float(rng.uniform(1.0, 2.2)), float(rng.uniform(1.2, 2.5))))
        done = where
        if wait:
            parts.append(np.full(int(wait), done))
    return np.concatenate(parts)


def street_way(a: Floats, b: Floats, grid: float, rng: np.random.Generator) -> Floats:
    """Corners (n, 2) of a way over a street grid turned by ``grid`` rad, from ``a`` to ``b``."""
    turn = np.array([[np.cos(grid), -np.sin(grid)], [np.sin(grid), np.cos(grid)]])
    delta = (b - a) @ turn
    n = 1 + int(np.hypot(*delta) // 1500.0)
    u = np.sort(np.append(rng.random(n - 1), 1.0))
    v = np.sort(np.append(rng.random(n - 1), 1.0))
    corners = np.zeros((2 * n + 1, 2))
    corners[1::2, 0], corners[2::2, 0] = u, u
    corners[1::2, 1], corners[2::2, 1] = np.append(0.0, v[:-1]), v
    return np.asarray(a + (corners * delta) @ turn.T)


def along(corners: Floats, way: Floats) -> Floats:
    """Points (n, 2) at ``way`` metres along the corners."""
    marks = np.append(0.0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T)))
    return np.stack([np.interp(way, marks, corners[:, 0]), np.interp(way, marks, corners[:, 1])], axis=1)


def length_of(corners: Floats) -> float:
    """Metres from the first corner to the last."""
    return float(np.hypot(*np.diff(corners, axis=0).T).sum())


def walk(a: Floats, b: Floats, rng: np.random.Generator) -> Floats:
    """Points (n, 2), one a second, of a walk from ``a`` to ``b`` around one corner at 1.1-1.6 m/s."""
    middle = (a + b) / 2.0 + rng.normal(0.0, 0.12, 2) * np.hypot(*(b - a))
    corners = np.stack([a, middle, b])
    metres, pace = length_of(corners), float(rng.uniform(1.1, 1.6))
    return along(corners, np.minimum(np.arange(1.0, np.ceil(metres / pace) + 1.0) * pace, metres))


def wander(seconds: int, room_m: float, every_s: float, rng: np.random.Generator) -> Floats:
    """Offsets (n, 2) from the door of someone who changes seat every ``every_s`` s within ``room_m``."""
    n = int(seconds / every_s * 1.5) + 4
    holds = np.maximum(5, rng.exponential(every_s, n)).astype(np.int64)
    angle, radius = rng.uniform(0.0, 2.0 * np.pi, n), room_m * np.sqrt(rng.random(n))
    spots = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    spots[0] = 0.0
    spread = np.repeat(spots, holds, axis=0)[:seconds]
    if len(spread) < seconds:
        spread = np.concatenate([spread, np.zeros((seconds - len(spread), 2))])
    # Ten seconds to change seats, and back at the door to leave.
    spread[max(0, seconds - 10) :] = 0.0
    kernel = np.ones(10) / 10.0
    return np.stack([np.convolve(spread[:, k], kernel)[:seconds] for k in (0, 1)], axis=1)
