"""A raw log that was damaged on its disk is found out, and what is not known to be a dead run's is never removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingestion.raw.log import RUNNING
from parked.clock import fixed_clock
from parked.errors import InternalError
from parked.opsdb.engine import open_database, transaction
from parked.opsdb.tables import IngestionRun
from tests.ingestion.raw.conftest import NOW, Home, save, some_fixes
from tests.ingestion.raw.test_log import CLOCK, batch

READINGS: dict[str, Callable[[Home], object]] = {
    "scan": lambda home: home.log.scan_fixes(),
    "receipts": lambda home: list(home.log.receipts("fixes", columns=["device_id", "lat", "lon"], rows=10)),
    "append": lambda home: home.log.append(batch(8), source="b", reader="test", sha256="2", clock=CLOCK),
}


def segment(home: Home) -> Path:
    return home.settings.raw_dir / home.log.segments()[0].path


def flipped(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ 1 << (at % 8)]) + whole[at + 1 :]


@pytest.mark.parametrize("reading", READINGS)
def test_a_bit_that_changed_is_our_fault_and_said_so(home: Home, reading: str) -> None:
    home.log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK)
    file = segment(home)
    whole = file.read_bytes()
    for at in np.random.default_rng(1).integers(0, len(whole), 30).tolist():
        file.write_bytes(flipped(whole, at))
        with pytest.raises(InternalError, match="not readable"):
            READINGS[reading](home)


@pytest.mark.parametrize("reading", ["scan", "receipts"])
def test_a_bit_that_changed_among_many_values_is_never_another_value(
    home: Home, reading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.raw.segments.SMALL", 0)
    home.log.append(batch(20_000), source="a", reader="test", sha256="1", clock=CLOCK)
    file = segment(home)
    whole = file.read_bytes()
    column = pq.ParquetFile(file).metadata.row_group(0).column(2)  # lat
    begin = column.dictionary_page_offset or column.data_page_offset
    for at in np.random.default_rng(1).integers(begin, begin + column.total_compressed_size, 30).tolist():
        file.write_bytes(flipped(whole, at))
        with pytest.raises(InternalError, match="not readable"):
            READINGS[reading](home)


@pytest.mark.parametrize("reading", READINGS)
def test_another_file_in_a_segments_place_is_said_so(home: Home, tmp_path: Path, reading: str) -> None:
    home.log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK)
    save(some_fixes(5).select(["device_id", "accuracy_m"]), tmp_path / "other.parquet")
    segment(home).write_bytes((tmp_path / "other.parquet").read_bytes())
    with pytest.raises(InternalError, match="not readable"):
        READINGS[reading](home)


def test_raw_files_that_another_database_lists_outlive_a_dead_run_of_this_one(home: Home, tmp_path: Path) -> None:
    home.log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK)
    before = (NOW.timestamp() - 3600,) * 2
    os.utime(segment(home), before)
    other = Home(home.settings, open_database(f"sqlite:///{tmp_path / 'other.db'}"))
    with transaction(other.engine) as session:
        session.add(IngestionRun(source="b", reader="test", sha256="2", status=RUNNING, started_at=NOW))
    dead = home.settings.raw_dir / "fixes" / "dead.parquet"
    dead.write_bytes(b"half")
    os.utime(dead, (NOW.timestamp(),) * 2)
    other.log.append(batch(2, first=100), source="c", reader="test", sha256="3", clock=fixed_clock(NOW))
    assert not dead.exists()
    assert home.log.scan_fixes().num_rows == 5
