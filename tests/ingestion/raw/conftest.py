"""A home of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, select

from ingestion.raw.ingest import IngestReport, ingest_paths
from ingestion.raw.log import RawLog
from parked.clock import fixed_clock
from parked.opsdb.engine import open_database, transaction
from parked.opsdb.tables import IngestionRun
from parked.schemas import FIXES
from parked.settings import Settings, load_settings

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
START_US = 1_714_000_000_000_000
"""Some day before NOW."""


@dataclass
class Home:
    settings: Settings
    engine: Engine

    @property
    def log(self) -> RawLog:
        return RawLog(self.settings, self.engine)

    def ingest(self, *paths: Path, **options: Any) -> IngestReport:
        options = {"clock": fixed_clock(NOW)} | options
        return ingest_paths(paths, settings=self.settings, engine=self.engine, **options)

    def runs(self) -> list[IngestionRun]:
        with transaction(self.engine) as session:
            found = list(session.scalars(select(IngestionRun).order_by(IngestionRun.id)))
            session.expunge_all()
            return found

    def state(self) -> Any:
        """All that a failed ingest must leave as it was."""
        files = sorted(file.name for file in self.settings.raw_dir.rglob("*.parquet"))
        with self.engine.connect() as connection:
            rows = [
                connection.exec_driver_sql(f"SELECT * FROM {name}").all()
                for name in ("ingestion_run", "raw_segment", "quarantine")
            ]
        return files, rows


def open_home(folder: Path, database_url: str = "") -> Home:
    settings = load_settings(home=folder, database_url=database_url)
    return Home(settings, open_database(settings.database))


@pytest.fixture
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """On SQLite; for modules that use ``database_url``, on every kind of database."""
    url = request.getfixturevalue("database_url") if "database_url" in request.fixturenames else ""
    made = open_home(tmp_path / "home", url)
    yield made
    made.engine.dispose()


def some_fixes(count: int = 10, *, device: str = "a", received_us: int | None = None, first: int = 0) -> pa.Table:
    """``count`` different fixes, one a second."""
    numbers = range(first, first + count)
    received = [None if received_us is None else received_us] * count
    return pa.table(
        [
            [device] * count,
            pa.array([START_US + 1_000_000 * n for n in numbers], FIXES.field("event_time").type),
            [50.0 + n / 1e4 for n in numbers],
            [8.0] * count,
            [5.0] * count,
            pa.nulls(count, pa.float64()),
            pa.array(received, FIXES.field("received_at").type),
        ],
        schema=FIXES,
    )


def save(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path
