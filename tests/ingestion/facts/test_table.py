"""Kernel rows as columns: each value is its field in the column's unit, each null the field's null."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ingestion.facts.kernel.types import NONE, NONE32, ROW
from ingestion.facts.table import to_table
from parked.schemas import ACTIVITIES, FACTS, FOLLOWED, KINDS, STATUSES, TIME


def random_rows(count: int, seed: int) -> np.ndarray:
    """Rows of distinct facts of three devices, about a third of what may be null is."""
    random = np.random.default_rng(seed)
    rows = np.zeros(count, ROW)
    for name in ROW.names or ():
        size = rows[name].itemsize
        values = random.integers(0, {8: 1 << 40, 4: 1 << 10, 1: 3}[size], count)
        if name not in ("device", "known", "anchor", "start", "lat", "lon", "kind", "status", "fixes", "reasons"):
            values = np.where(random.random(count) < 0.3, {8: NONE, 4: NONE32, 1: -1}[size], values)
        rows[name] = values
    for name in ("uncertainty_cm", "start_width", "accuracy_cm", "silence"):
        rows[name] = random.integers(0, 1 << 10, count)
    rows["device"] = np.sort(random.integers(0, 3, count))
    rows["anchor"] = rows["start"] = np.arange(count) * 1000
    rows["known"] = np.arange(count) * 1_000_000
    return rows


@pytest.mark.parametrize("count", [0, 1, 7, 8, 63, 64, 65, 1000])
def test_each_column_is_its_field_in_its_unit(count: int) -> None:
    rows = random_rows(count, seed=count)
    table = to_table(rows.copy(), ["a", "b", "c"], np.array([0, 1 << 60, 500_000_000]), "v1")
    assert table.schema == FACTS
    table.validate(full=True)

    def field(name: str) -> list[int | None]:
        null = {8: NONE, 4: NONE32, 1: -1}[rows[name].itemsize]
        return [None if value == null else value for value in rows[name].tolist()]

    scaled = {
        "lat": ("lat", 1e7),
        "uncertainty_m": ("uncertainty_cm", 100),
        "ended_uncertainty_s": ("end_width", 1000),
        "silence_s": ("silence", 1000),
        "speed_after_mps": ("speed_after", 100),
        "return_m": ("return_cm", 100),
        "next_leg_lon": ("next_lon", 1e7),
    }
    for name, (of, scale) in scaled.items():
        assert table[name].to_pylist() == [None if v is None else v / scale for v in field(of)], name
    for name, of, times in (
        ("ended_at", "end", 1000),
        ("available_at", "known", 1),
        ("leg_started_at", "leg_start", 1000),
    ):
        wanted = pa.array([None if v is None else v * times for v in field(of)], pa.int64()).view(TIME)
        assert table[name].combine_chunks().equals(wanted), name
    for name in ("fixes", "leg_fixes", "leg_halts"):
        assert table[name].to_pylist() == field(name), name
    words = {"kind": ("kind", KINDS), "status": ("status", STATUSES), "motion_after": ("motion_after", ACTIVITIES),
             "followed_by": ("followed", FOLLOWED)}  # fmt: skip
    for name, (of, spelled) in words.items():
        assert table[name].to_pylist() == [None if v is None else spelled[v] for v in field(of)], name
    assert table["device_id"].to_pylist() == ["abc"[device] for device in rows["device"]]
    names = table["fact_id"].to_pylist()
    halves = {(device, name[:16]) for device, name in zip(table["device_id"].to_pylist(), names, strict=True)}
    assert len(halves) == len({half for _, half in halves}) == len(set(rows["device"].tolist())), "a device's are near"
    assert len(set(names)) == count
    known, since = rows["known"], np.array([0, 1 << 60, 500_000_000])[rows["device"]]
    assert table["as_if_live"].to_pylist() == (known >= since).tolist()
