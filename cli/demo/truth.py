"""What really happened in the simulated world, to hold answers against."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Parked:
    """A vehicle left by its driver."""

    since: datetime
    until: datetime | None
    lat: float
    lon: float


class TruthBook:
    """Every parking of every phone (``ingestion.simulator.TRUTH`` rows of kind ``parked``), by device and time."""

    def __init__(self, truth: pa.Table) -> None:
        self._by_device: dict[str, list[Parked]] = defaultdict(list)
        parked = truth.filter(pc.equal(truth["kind"], "parked")).sort_by("started_at")
        for row in parked.select(["device_id", "started_at", "ended_at", "lat", "lon"]).to_pylist():
            place = Parked(row["started_at"], row["ended_at"], row["lat"], row["lon"])
            self._by_device[row["device_id"]].append(place)

    def drivers(self) -> list[str]:
        """Devices that parked at least once, in order."""
        return sorted(self._by_device)

    def at(self, device: str, moment: datetime) -> Parked | None:
        """Where the device's vehicle stood parked at ``moment``; None while it moved or before it ever parked."""
        places = self._by_device.get(device, [])
        last = bisect_right([p.since for p in places], moment) - 1
        if last < 0:
            return None
        place = places[last]
        return place if place.until is None or moment < place.until else None
