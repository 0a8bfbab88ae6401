"""Files: whole or not at all, the same bytes for the same scenario."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.simulator import (
    SIMULATION_FILES,
    Scenario,
    Simulation,
    simulate,
    simulate_devices,
    write_devices,
    write_simulation,
)
from parked.errors import ConflictError
from parked.files import sha256_of

SCENARIO = Scenario(devices=3, days=2, seed=1)


def test_a_written_simulation_reads_back_as_it_was(tmp_path: Path):
    made = simulate(SCENARIO)
    rows = write_simulation(made, tmp_path / "sim")
    assert {path.name for path in (tmp_path / "sim").iterdir()} == set(SIMULATION_FILES)
    for name in ("fixes", "motion", "labels", "coverage", "truth"):
        table = getattr(made, name)
        assert pq.read_table(tmp_path / "sim" / f"{name}.parquet").equals(table)
        assert rows[name] == table.num_rows


def test_the_scenario_file_gives_the_scenario_back(tmp_path: Path):
    write_devices(SCENARIO, simulate_devices(SCENARIO), tmp_path)
    assert Scenario.from_dict(json.loads((tmp_path / "scenario.json").read_text())) == SCENARIO


def test_writing_device_by_device_gives_the_same_tables_and_bytes_each_time(tmp_path: Path):
    for folder in ("one", "other"):
        write_devices(SCENARIO, simulate_devices(SCENARIO), tmp_path / folder)
    for name in SIMULATION_FILES:
        assert sha256_of(tmp_path / "one" / name) == sha256_of(tmp_path / "other" / name)
    assert pq.read_table(tmp_path / "one" / "fixes.parquet").equals(simulate(SCENARIO).fixes)


def test_a_failure_half_way_leaves_the_old_files_alone(tmp_path: Path):
    write_devices(SCENARIO, simulate_devices(SCENARIO), tmp_path)
    before = {name: sha256_of(tmp_path / name) for name in SIMULATION_FILES}

    def failing() -> Iterator[Simulation]:
        yield next(simulate_devices(replace(SCENARIO, seed=2)))
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_devices(replace(SCENARIO, seed=2), failing(), tmp_path)
    assert {path.name: sha256_of(path) for path in tmp_path.iterdir()} == before


def test_a_file_in_the_folders_place_is_refused_and_kept(tmp_path: Path):
    target = tmp_path / "sim"
    target.write_text("mine")
    with pytest.raises(ConflictError, match="sim"):
        write_devices(SCENARIO, simulate_devices(SCENARIO), target)
    assert target.read_text() == "mine"
