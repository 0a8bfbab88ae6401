"""Writing a simulation: Parquet files that grow device by device and appear whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pyarrow as pa
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

ROW_GROUP: Final = 100_000


def write_simulation(simulation: Simulation, out: Path) -> dict[str, int]:
    """Write the simulation's tables and scenario into the folder ``out``; see ``write_devices``."""
    return write_devices(simulation.scenario, [simulation], out)


def write_devices(scenario: Scenario, devices: Iterable[Simulation], out: Path) -> dict[str, int]:
    """Write devices as they come, in row groups of some 100,000 rows, and ``scenario.json`` last; memory is bounded.

    Returns the number of rows by table. Files already there are replaced, each when it is whole. Raises ConflictError
    where ``out`` is not a folder.
    """
    if out.exists() and not out.is_dir():
        raise ConflictError(f"{out}: is a file", mend="give a folder with --out")
    with ExitStack() as whole:
        sinks = {
            name: whole.enter_context(_Sink(whole.enter_context(atomic_path(out / f"{name}.parquet")), schema))
            for name, schema in _SCHEMAS.items()
        }
        for device in devices:
            for name, sink in sinks.items():
                sink.add(getattr(device, name))
    write_text(out / "scenario.json", json.dumps(scenario.as_dict(), indent=2) + "\n")
    return {name: sink.rows for name, sink in sinks.items()}


class _Sink:
    """One Parquet file that gathers small tables into row groups."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._waiting: list[pa.Table] = []
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def add(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self._waiting.append(table)
        if sum(part.num_rows for part in self._waiting) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting = []

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self._flush()
        self._writer.close()
