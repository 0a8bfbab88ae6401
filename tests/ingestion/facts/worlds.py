"""Small random worlds for property tests: drives, lights, walks, rests, silences, jumps, copies and late arrivals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from parked.schemas import ACTIVITIES, FIXES, MOTION

START_US = 1_767_600_000_000_000  # 2026-01-05 08:00 UTC
METRE = 1 / 111_195.08  # degrees of latitude


def world(
    seed: int, *, devices: int = 2, late: float = 0.0, copies: float = 0.0, centre: tuple[float, float] = (50.1, 8.6)
) -> tuple[pa.Table, pa.Table]:
    """FIXES and MOTION of some devices. ``late``: share received up to 2 h late; ``copies``: re-sent share."""
    rng = np.random.default_rng(seed)
    fixes, motion = [], []
    for d in range(devices):
        f, m = _device(rng, f"phone-{d}", centre)
        fixes.append(f)
        motion.append(m)
    out = []
    for table in (pa.concat_tables(fixes), pa.concat_tables(motion)):
        n = table.num_rows
        delay = np.where(rng.random(n) < late, rng.integers(1, 7200, n), 0) * 1_000_000
        event = np.asarray(table["event_time"].cast(pa.int64()))
        received = pa.array(event + delay).cast(table.schema.field("received_at").type)
        table = table.set_column(table.schema.get_field_index("received_at"), "received_at", received)
        again = rng.random(n) < copies
        out.append(pa.concat_tables([table, table.filter(pa.array(again))]))
    return out[0], out[1]


def _device(rng: np.random.Generator, name: str, centre: tuple[float, float]) -> tuple[pa.Table, pa.Table]:
    t, x, y = 0.0, 0.0, 0.0
    rows: list[tuple[float, float, float, float, float]] = []
    activity: list[tuple[float, str, float]] = []
    for _ in range(int(rng.integers(4, 9))):
        kind = rng.choice(["drive", "walk", "rest", "light", "silence"], p=[0.35, 0.2, 0.2, 0.15, 0.1])
        heading = rng.uniform(0, 2 * np.pi)
        speed, seconds, step = {
            "drive": (rng.uniform(6, 25), rng.uniform(60, 400), 6.0),
            "walk": (rng.uniform(1, 1.7), rng.uniform(30, 300), 5.0),
            "rest": (0.0, rng.uniform(240, 2400), 30.0),
            "light": (0.0, rng.uniform(10, 120), 5.0),
            "silence": (rng.uniform(0, 1), np.exp(rng.uniform(np.log(45), np.log(3000))), 1e9),
        }[kind]
        if rng.random() < 0.8 and kind != "silence":
            word = {"drive": "in_vehicle", "walk": "on_foot"}.get(kind, "still")
            activity.append((t + rng.uniform(0, 60), word, rng.uniform(0.3, 1.0)))
        end = t + seconds
        while t < end:
            dt = min(step * rng.uniform(0.5, 1.5), end - t + 0.5)
            t += dt
            x += speed * dt * np.cos(heading)
            y += speed * dt * np.sin(heading)
            if kind == "silence":
                continue
            noise = rng.normal(0, 5, 2)
            if rng.random() < 0.01:
                noise = rng.normal(0, 2000, 2)
            said = speed + rng.normal(0, 0.3) if rng.random() < 0.8 else np.nan
            rows.append((t, x + noise[0], y + noise[1], abs(rng.normal(8, 3)) + 1, max(0.0, said)))
    lat0, lon0 = centre
    a = np.array(rows).reshape(-1, 5)  # a phone may be silent all day
    lat = lat0 + a[:, 2] * METRE
    lon = lon0 + a[:, 1] * METRE / max(0.02, np.cos(np.radians(lat0)))
    event = START_US + (a[:, 0] * 1e6).astype(np.int64)
    fixes = pa.table(
        {
            "device_id": [name] * len(a),
            "event_time": pa.array(event, FIXES.field("event_time").type),
            "lat": np.round(lat, 7),
            "lon": np.round((lon + 180) % 360 - 180, 7),
            "accuracy_m": a[:, 3],
            "speed_mps": pa.array(a[:, 4], mask=np.isnan(a[:, 4])),
            "received_at": pa.array(event, FIXES.field("received_at").type),
        },
        schema=FIXES,
    )
    when = [START_US + int(t * 1e6) for t, _, _ in activity]
    motion = pa.table(
        {
            "device_id": [name] * len(activity),
            "event_time": pa.array(when, MOTION.field("event_time").type),
            "received_at": pa.array(when, MOTION.field("received_at").type),
            "activity": [word for _, word, _ in activity],
            "confidence": [c for _, _, c in activity],
        },
        schema=MOTION,
    )
    assert set(motion["activity"].to_pylist()) <= set(ACTIVITIES)
    return fixes, motion
