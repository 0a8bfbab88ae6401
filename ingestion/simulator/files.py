"""Writing a simulation: Parquet files that grow device by device and appear whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from ingestion.simulator.scenario import Scenario
from ingestion.simulator.truth import TRUTH
from ingestion.simulator.world import SIM_FIXES, SIM_MOTION, Simulation
from parked.errors import ConflictError
from parked.files import atomic_path, write_text
from parked.schemas import COVERAGE, LABELS

_SCHEMAS: Final = {"fixes": SIM_FIXES, "motion": SIM_MOTION, "labels": LABELS, "coverage": COVERAGE, "truth": TRUTH}
SIMULATION_FILES: Final = (*(f"{name}.parquet" for name in _SCHEMAS), "scenario.json")
"""What a simulation's folder holds."""


def write_simulation(simulation: Simulation, out: Path) -> dict[str, int]:
    """Write the simulation's tables and scenario into the folder ``out``; see ``write_devices``."""
    return write_devices(simulation.scenario, [simulation], out)


def write_devices(scenario: Scenario, devices: Iterable[Simulation], out: Path) -> dict[str, int]:
    """Write devices as they come, a row group each, and ``scenario.json`` last. Holds one device in memory.

    Returns the number of rows by table. Files already there are replaced, each when it is whole. Raises ConflictError
    where ``out`` is not a folder.
    """
    if out.exists() and not out.is_dir():
        raise ConflictError(f"{out}: is a file", mend="give a folder with --out")
    rows = dict.fromkeys(_SCHEMAS, 0)
    with ExitStack() as whole:
        writers = {}
        for name, schema in _SCHEMAS.items():
            path = whole.enter_context(atomic_path(out / f"{name}.parquet"))
            writers[name] = whole.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
        for device in devices:
            for name, writer in writers.items():
                table = getattr(device, name)
                writer.write_table(table)
                rows[name] += table.num_rows
    write_text(out / "scenario.json", json.dumps(scenario.as_dict(), indent=2) + "\n")
    return rows
