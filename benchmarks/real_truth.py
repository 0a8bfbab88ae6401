"""True parking spots of the shared real data, read as ``shared/data/README.md`` says.

The data is not part of the product: it is looked for beside the checkout (or where PARKED_REAL_DATA says).
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

import pyarrow as pa

from parked.clock import to_us

CARS = ("freeway_driving_weekday", "suburb_city_driving_weekend")
"""MobilityNet sections driven by car; all others (walks, bicycle, scooter, bus) end in no parking."""
NEAR_US = 120_000_000
SHARP_US = 20_000_000
SHARP_M = 20.0


@dataclass(frozen=True)
class Spot:
    """A true parking as one device could have seen it."""

    device: str
    at_us: int
    lat: float
    lon: float


def real_data() -> Path | None:
    """The shared data folder, or None where it is absent."""
    named = os.environ.get("PARKED_REAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if (folder / "start2park").is_dir() and (folder / "mobilitynet").is_dir() else None


def start2park_spots(folder: Path) -> list[Spot]:
    """One spot a trip: time = the driver's tap (ParkingSearch_EndingTime), place = the waypoint nearest in time."""
    zone = ZoneInfo("Europe/Berlin")

    def moment(text: str) -> int:
        return to_us(datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC))

    points: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    with (folder / "waypoints.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            points[row["TripID"]].append((moment(row["time"]), float(row["lat"]), float(row["lon"])))
    spots = []
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["ParkingSearch_EndingTime"] or row["TripID"] not in points:
                continue
            at = moment(row["ParkingSearch_EndingTime"])
            _, lat, lon = min(points[row["TripID"]], key=lambda p: (abs(p[0] - at), p[0]))
            spots.append(Spot(row["TripID"], at, lat, lon))
    return spots


def mobilitynet_parkings(folder: Path) -> list[int]:
    """Moments (us) at which a car section was tapped as ended: one a drive, shared by all phones on it."""
    moments = set()
    for file in sorted(folder.glob("*/*/manual~evaluation_transition/*.json.gz")):
        for record in json.loads(gzip.decompress(file.read_bytes())):
            data = record["data"]
            if data["transition"] == "STOP_EVALUATION_SECTION" and data["trip_id"] in CARS:
                moments.add(round(data["ts"] * 1e6))
    return sorted(moments)


def mobilitynet_spots(moments: list[int], fixes: pa.Table) -> list[Spot]:
    """One spot per phone that has a fix within 2 min of the tap, where the place is known.

    Place = the median, over phones, of the fix nearest in time among those with accuracy <= 20 m and within 20 s.
    ``fixes``: RAW_FIXES of all phones.
    """
    by_device: dict[str, list[tuple[int, float, float, float]]] = defaultdict(list)
    columns = [fixes[c] for c in ("device_id", "event_time", "lat", "lon", "accuracy_m")]
    columns[1] = columns[1].cast(pa.int64())
    for device, at, lat, lon, accuracy in zip(*(c.to_pylist() for c in columns), strict=True):
        by_device[device].append((at, lat, lon, accuracy if accuracy is not None else 1e9))
    spots = []
    for moment in moments:
        sharp = []
        for rows in by_device.values():
            near = [r for r in rows if abs(r[0] - moment) <= SHARP_US and r[3] <= SHARP_M]
            if near:
                sharp.append(min(near, key=lambda r: (abs(r[0] - moment), r[0])))
        if not sharp:
            continue
        lat, lon = median(r[1] for r in sharp), median(r[2] for r in sharp)
        spots += [
            Spot(device, moment, lat, lon)
            for device, rows in sorted(by_device.items())
            if any(abs(r[0] - moment) <= NEAR_US for r in rows)
        ]
    return spots
