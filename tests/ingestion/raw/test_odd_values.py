"""Whatever a field of a record holds, in any format: the record is taken or kept in quarantine, its neighbour is taken,
and retrying what was refused leaves every record accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingestion.raw import quarantine
from ingestion.raw.quarantine import Selection
from ingestion.raw.retry import retry
from ingestion.readers.port import CANDIDATE_FIXES, CANDIDATE_MOTION, Batch
from parked.clock import fixed_clock
from parked.schemas import TIME
from tests.ingestion.raw.conftest import NOW, Home, save

GOOD_ISO, GOOD_S = "2024-04-24T23:00:00Z", 1_713_999_600
Record = dict[str, Any]
"""What differs from a good record, by field."""


def csv(path: Path, odd: Record) -> None:
    good = {"device_id": "d", "event_time": GOOD_ISO, "lat": "50", "lon": "8", "received_at": "", "speed_mps": ""}
    cells = ['"' + str(value).replace('"', '""') + '"' if value else "" for value in (good | odd).values()]
    path.write_text(f"{','.join(good)}\n{','.join(good.values())}\n{','.join(cells)}\n", encoding="utf-8")


def start2park(path: Path, odd: Record) -> None:
    good = {"TripID": "d", "lon": "8", "lat": "50", "time": "2021-05-28 02:30:00", "speed_kmh": "5"}
    cells = ['"' + str(value).replace('"', '""') + '"' if value else "" for value in (good | odd).values()]
    path.write_text(f"{','.join(good)}\n{','.join(good.values())}\n{','.join(cells)}\n", encoding="utf-8")


def gpx(path: Path, odd: Record) -> None:
    def point(at: Record) -> str:
        place = f'lat="{escape(at["lat"])}" lon="{escape(at["lon"])}"'
        return f"<trkpt {place}><time>{escape(at['time'])}</time></trkpt>"

    good = {"lat": "50", "lon": "8", "time": GOOD_ISO}
    points = point(good) + point(good | odd)
    path.write_text(f'<?xml version="1.0"?><gpx><trk><trkseg>{points}</trkseg></trk></gpx>', encoding="utf-8")


def owntracks(path: Path, odd: Record) -> None:
    good = {"_type": "location", "tst": GOOD_S, "lat": 50, "lon": 8, "acc": 5, "topic": "o/u/d"}
    path.write_text("\n".join(json.dumps(record) for record in (good, good | odd)), encoding="utf-8")


def emission(path: Path, odd: Record) -> None:
    def record(of: Record) -> Record:
        metadata = {"key": "background/location", "platform": "ios", "write_ts": GOOD_S + 1}
        data = {"ts": GOOD_S, "latitude": 50, "longitude": 8, "accuracy": 5}
        for name, value in of.items():
            (metadata if name in ("platform", "write_ts") else data)[name] = value
        return {"metadata": metadata, "data": data, "user_id": {"$uuid": "d"}}

    path.write_text(json.dumps([record({}), record(odd)]), encoding="utf-8")


ISO = (
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2024-04-24T24:00:00Z",
    "2024-02-30T00:00:00Z", "2024-04-24T23:59:60Z", "2106-02-07T06:28:15Z", "1970-01-01T00:00:00Z", "", "x",
)  # fmt: skip
WALL = (
    "0000-01-01 00:00:00", "0001-01-01 00:00:00", "1600-12-31 23:59:59", "1893-04-01 00:03:00", "2300-01-01 00:00:00",
    "9999-12-31 23:59:59", "2021-03-28 02:30:00", "2021-10-31 02:30:00", "", "x",
)  # fmt: skip
NUMBERS = ("nan", "-inf", "1e400", "-1e308", "0", "90", "-180", "1_0", "0x10", "", "x")
JSON = (
    float("nan"), float("-inf"), 10**400, -(10**400), 1e18, -62_135_596_801, 253_402_300_800, -1, 0, True, None, "x",
    [], {},
)  # fmt: skip
TEXT = ("", "\u2028", "é", "x" * 200, "a\tb", "../x", "NULL")

FORMATS: dict[str, tuple[Callable[[Path, Record], None], dict[str, tuple[Any, ...]]]] = {
    "a.csv": (csv, {"event_time": ISO, "received_at": ISO, "lat": NUMBERS, "speed_mps": NUMBERS, "device_id": TEXT}),
    "s.csv": (start2park, {"time": WALL, "lat": NUMBERS, "speed_kmh": NUMBERS, "TripID": TEXT}),
    "a.gpx": (gpx, {"time": ISO, "lat": NUMBERS, "lon": NUMBERS}),
    "a.jsonl": (owntracks, {
        "tst": JSON, "created_at": JSON, "lat": JSON, "acc": JSON, "vel": JSON, "topic": (*JSON, *TEXT), "mock": JSON,
        "motionactivities": JSON, "_type": JSON,
    }),
    "a.json": (emission, {"ts": JSON, "write_ts": JSON, "platform": JSON, "latitude": JSON, "sensed_speed": JSON}),
}  # fmt: skip
FIELDS = [(name, field) for name, (_, fields) in FORMATS.items() for field in fields]


def take(home: Home, path: Path) -> None:
    """Ingest, then retry, and hold that every record is accounted for and the good one was taken."""
    (file,) = home.ingest(path).files
    counts = file.counts
    assert counts.read == counts.accepted + counts.duplicates + counts.quarantined
    assert counts.read + counts.ignored >= 2
    assert home.log.scan_fixes()["lat"].to_pylist().count(50.0) >= 1
    refused = quarantine.find(home.engine, Selection(run=file.run))
    assert len(refused) == counts.quarantined
    report = retry(home.log, Selection(run=file.run), clock=fixed_clock(NOW), who="test")
    assert sum(report.outcomes.values()) == 0
    assert sum(report.left.values()) == report.tried == len(refused)


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_one_odd_value_costs_at_most_its_record(tmp_path: Path, home: Home, name: str, field: str) -> None:
    write, fields = FORMATS[name]
    for number, value in enumerate(fields[field]):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        write(path, {field: value})
        take(home, path)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("field", ["event_time", "received_at"])
def test_a_timestamp_of_any_size_in_parquet_costs_at_most_its_record(
    tmp_path: Path, home: Home, unit: str, field: str
) -> None:
    times = {"event_time": [GOOD_S] * 4, "received_at": [None] * 4}
    for number, counts in enumerate([[0, -1, 2**63 - 1, -(2**63)], [-(2**63) + 1, 253_402_300_800, 10**15, -(10**15)]]):
        scale = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        columns = {name: [None if value is None else value * scale for value in of] for name, of in times.items()}
        columns[field] = [GOOD_S * scale, *counts[1:]]
        table = pa.table(
            {name: pa.array(of, pa.timestamp(unit, tz="UTC")) for name, of in columns.items()}
            | {"device_id": ["d"] * 4, "lat": [50.0] * 4, "lon": [8.0 + number] * 4}
        )
        take(home, save(table, tmp_path / f"{number}.parquet"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=st.integers(-(2**63), 2**63 - 1), received=st.none() | st.integers(-(2**63), 2**63 - 1))
@example(event=2**63 - 1, received=-(2**63))
@example(event=-62_135_596_800_000_001, received=None)
def test_records_handed_over_in_memory_may_say_any_time(home: Home, event: int, received: int | None) -> None:
    for schema, more in ((CANDIDATE_FIXES, {"lat": 50.0, "lon": 8.0}), (CANDIDATE_MOTION, {"activity": "still"})):
        row = {"device_id": "d", "source_offset": 0, **more}
        times = {"event_time": pa.array([event]).cast(TIME), "received_at": pa.array([received], pa.int64()).cast(TIME)}
        table = pa.table(
            [times.get(field.name, pa.array([row.get(field.name)], field.type)) for field in schema], schema=schema
        )
        batch = Batch(fixes=table) if schema is CANDIDATE_FIXES else Batch(motion=table)
        counts = home.log.append(batch, source="memory", reader="parquet", sha256="", clock=fixed_clock(NOW))
        assert counts.read == counts.accepted + counts.duplicates + counts.quarantined == 1
