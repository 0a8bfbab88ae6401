"""A small made-up world with known truth: candidate snapshots, labels, coverage and point-in-time features."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from parked.clock import to_us
from parked.geo import cell_of
from parked.schemas import COVERAGE, LABELS, TIME
from training.ports import Sources

START = datetime(2024, 3, 4, tzinfo=UTC)
DAYS = 21
AS_OF = START + timedelta(days=DAYS + 3)
"""Late enough that a silence of the labels speaks of every candidate (``labels.matured_h``)."""
CITIES = ((52.5, 13.4), (48.1, 11.6))


@dataclass
class World:
    snapshots: pd.DataFrame
    labels: pa.Table
    coverage: pa.Table
    noise: float
    """0: the features give the label away; large: they say nothing"""

    def write(self, home: Path, files: int = 3) -> None:
        folder = home / "features" / "candidate_state"
        folder.mkdir(parents=True, exist_ok=True)
        columns = {name: pa.array(self.snapshots[name]) for name in self.snapshots.columns if name != "signal"}
        columns["available_at"] = pa.array(self.snapshots["available_at"].to_numpy()).cast(TIME)
        columns["ended_at_us"] = pa.array(self.snapshots["ended_at_us"], pa.int64(), from_pandas=True)
        table = pa.table(columns)
        cuts = np.linspace(0, table.num_rows, files + 1).astype(int)
        for part, (a, b) in enumerate(pairwise(cuts)):
            pq.write_table(table.slice(a, b - a), folder / f"part-{part}.parquet")

    def retrieve(self, entities: pd.DataFrame, service: str) -> pd.DataFrame:  # noqa: ARG002
        """Point-in-time join by hand, rows in another order than asked."""
        asked = entities.assign(_us=entities["asked_at_us"]).sort_values("_us", kind="stable")
        states = self.snapshots[
            ["candidate_id", "available_at", "signal", "motion_after", "status", "uncertainty_m", "left_at_us"]
        ].sort_values("available_at", kind="stable")
        found = pd.merge_asof(asked, states, left_on="_us", right_on="available_at", by="candidate_id")
        found["age_s"] = (found["_us"] - found["left_at_us"]) / 1e6
        found["sends_motion"] = (found["motion_after"] != "").astype("boolean")
        found["leg_fixes"] = pd.array([7] * len(found), dtype="Int64")
        return found.drop(columns=["_us", "available_at", "left_at_us"]).sample(frac=1.0, random_state=5)

    def sources(self) -> Sources:
        return Sources(
            self.retrieve,
            lambda moment: self.labels.filter(pa.compute.less_equal(self.labels["known_at"], pa.scalar(moment, TIME))),
            lambda: self.coverage,
        )


def make_world(devices: int = 40, per_device: int = 24, seed: int = 1, noise: float = 1.0, flip: bool = False) -> World:
    """Half of the candidates are parkings; ``signal`` tells with ``noise``; ``flip`` turns its meaning round."""
    rng = np.random.default_rng(seed)
    start, rows, labels, spans = to_us(START), [], [], []
    for d in range(devices):
        device = f"phone-{d:03d}"
        lat0, lon0 = CITIES[d % len(CITIES)]
        left = np.sort(rng.uniform(0, DAYS * 86_400, per_device)) + np.arange(per_device) * 1800
        for k in range(per_device):
            parked = bool(rng.random() < 0.5)
            lat, lon = lat0 + rng.normal(0, 0.05), lon0 + rng.normal(0, 0.05)
            left_us = start + int(left[k] * 1e6)
            ended = start + int(left[k + 1] * 1e6) - 600_000_000 if k + 1 < per_device else None
            tell = (1.0 if parked else -1.0) * (-1.0 if flip else 1.0)
            for step, (delay, status) in enumerate([(60, "OPEN"), (700, "PROVISIONAL"), (2400, "FINAL")]):
                known = left_us + delay * 1_000_000
                rows.append(
                    {
                        "candidate_id": f"{device}-{k:03d}",
                        "device_id": device,
                        "cell": cell_of(lat, lon),
                        "available_at": known,
                        "left_at_us": left_us,
                        "lat": lat,
                        "lon": lon,
                        "status": status,
                        "ended_at_us": ended if ended is not None and ended <= known else None,
                        "return_m": 20.0 if ended is not None and ended <= known else None,
                        "motion_before": "in_vehicle" if d % 3 else "",
                        "motion_after": ("on_foot" if parked else "in_vehicle") if d % 3 and step else "",
                        "built_by": "v1/abc",
                        "uncertainty_m": float(rng.uniform(3, 60)),
                        "signal": tell + float(rng.normal(0, noise)),
                    }
                )
            if parked:
                at = left_us + int(rng.uniform(-30, 30) * 1e6)
                labels.append((device, at, lat + 1e-4, lon, "parked", "truth", 1.0, left_us + 3_600_000_000))
        spans.append((device, start - 10**9, start + (DAYS + 2) * 86_400_000_000, "truth"))
    return World(pd.DataFrame(rows), labels_table(labels), coverage_table(spans), noise)


def labels_table(rows: list[tuple[str, int, float | None, float | None, str, str, float, int]]) -> pa.Table:
    """LABELS of (device, at µs, lat, lon, verdict, source, weight, known_at µs)."""
    return _table(rows, LABELS)


def coverage_table(rows: list[tuple[str, int, int, str]]) -> pa.Table:
    """COVERAGE of (device, from µs, to µs, source)."""
    return _table(rows, COVERAGE)


def _table(rows: list, schema: pa.Schema) -> pa.Table:  # type: ignore[type-arg]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [
        pa.array(column, pa.int64()).cast(TIME) if pa.types.is_timestamp(field.type) else pa.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.table(arrays, schema=schema)
