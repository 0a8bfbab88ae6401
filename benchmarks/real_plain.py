"""The plain rule a first version of any app would use: where the phone was last fast, there the car is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import pyarrow as pa

from benchmarks.real_truth import Spot
from parked.geo import distance_m

FAST_MPS = 10.0 / 3.6


def plain_errors(fixes: pa.Table, spots: Sequence[Spot]) -> tuple[list[float], list[float]]:
    """Metres and seconds between each spot and the last fix whose median-of-3 speed exceeds 10 km/h; one trip a device.

    ``fixes``: FIXES. Infinite where a trip was never fast.
    """
    trips: dict[str, list[tuple[int, float, float, float]]] = defaultdict(list)
    columns = [fixes[c] for c in ("device_id", "event_time", "lat", "lon", "speed_mps")]
    columns[1] = columns[1].cast(pa.int64())
    for device, at, lat, lon, speed in zip(*(c.to_pylist() for c in columns), strict=True):
        trips[device].append((at, lat, lon, speed or 0.0))
    metres, seconds = [], []
    for spot in spots:
        rows = sorted(trips[spot.device])
        fast = [row for k, row in enumerate(rows) if median(r[3] for r in rows[max(0, k - 2) : k + 1]) > FAST_MPS]
        if not fast:
            metres.append(float("inf"))
            seconds.append(float("inf"))
            continue
        at, lat, lon, _ = fast[-1]
        metres.append(distance_m(spot.lat, spot.lon, lat, lon))
        seconds.append(abs(at - spot.at_us) / 1e6)
    return metres, seconds
