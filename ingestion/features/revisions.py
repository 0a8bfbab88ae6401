"""Fact revisions by ascending ranges of devices: memory holds a range, not the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.facts.stored import batches, pieces
from ingestion.features.fold import check_columns, in_order
from parked.errors import InputError, first_line
from parked.files import PARQUET_DAMAGE, check_once, check_regular
from parked.schemas import FACTS

RANGE = 32_768
"""Revisions of a range, at least (a device is never cut)."""

SPILLED: Final = 8
"""A temporary file, where they are needed, holds so many ranges, about."""


class Revisions(Protocol):
    """Fact revisions of any devices."""

    @property
    def rows(self) -> int:
        """How many."""

    @property
    def versions(self) -> list[str]:
        """The rules versions that made them, as they come."""

    def ranges(self, scratch: Path) -> Iterator[pa.Table]:
        """FACTS of whole devices, ascending, in the order they are folded in. ``scratch``: for temporary files."""


class InTable:
    """Revisions of a table, in any order."""

    def __init__(self, table: pa.Table) -> None:
        """Raises InputError where it lacks a column."""
        check_columns(table.column_names)
        self._table = table
        self.rows: int = table.num_rows

    @property
    def versions(self) -> list[str]:
        """See Revisions."""
        return list(pc.unique(self._table["rules_version"]).to_pylist())

    def ranges(self, scratch: Path) -> Iterator[pa.Table]:  # noqa: ARG002  it is in memory
        """See Revisions. Raises InputError for wrong columns."""
        yield in_order(self._table)


class InFile:
    """Revisions of a Parquet file, in any order: one that is not in order of device is cut by temporary files.

    The file may be replaced meanwhile: what was opened is read.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError where it is missing, no Parquet file, or lacks a column. Reading raises it for damage."""
        check_regular(path)
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False)  # it would keep all that it has read
        except FileNotFoundError:
            raise InputError(f"{path}: no such file", mend="run `parked facts build`") from None
        except PARQUET_DAMAGE as error:
            raise InputError(f"{path}: not a Parquet file ({first_line(error)})", mend="check the path") from None
        self._path = path
        self.rows: int = self._file.metadata.num_rows
        check_once(str(path), self._file.schema_arrow.names)
        in_order(self._file.schema_arrow.empty_table())  # columns that are not there, types that never fit

    @property
    def versions(self) -> list[str]:
        """See Revisions."""
        return self._looked_through[0]

    def ranges(self, scratch: Path) -> Iterator[pa.Table]:
        """See Revisions. Raises InputError for values that do not fit FACTS, or a revision of no device."""
        if self._looked_through[1]:
            for part in pieces(self._path, self._file, rows=RANGE):
                yield in_order(part)
            return
        for file in self._spilled(scratch):
            with pa.ipc.open_stream(file) as reader:
                part = reader.read_all()
            file.unlink()
            yield in_order(part)

    @cached_property
    def _looked_through(self) -> tuple[list[str], bool]:
        """(rules versions, whether devices come in ascending order)."""
        versions: dict[str, None] = {}
        ascending, last = True, pa.scalar("")
        for part in batches(self._path, self._file, ["device_id", "rules_version"]):
            versions |= dict.fromkeys(pc.unique(part["rules_version"]).to_pylist())
            devices = _devices(part)
            before = pa.concat_arrays([pa.array([last.as_py()], pa.string()), devices[:-1]])
            ascending = ascending and bool(pc.all(pc.less_equal(before, devices)).as_py())
            last = devices[-1]
        return list(versions), ascending

    def _spilled(self, scratch: Path) -> list[Path]:
        """Temporary files of ascending devices, each none too large."""
        counts: Counter[str] = Counter()
        for part in batches(self._path, self._file, ["device_id"]):
            told = pc.value_counts(_devices(part))
            counts.update(dict(zip(told.field(0).to_pylist(), told.field(1).to_pylist(), strict=True)))
        devices = sorted(counts)
        home = np.fromiter(accumulate(map(counts.__getitem__, devices)), np.int64, len(devices)) // (SPILLED * RANGE)
        known = pa.array(devices, pa.string())
        schema = pa.schema([self._file.schema_arrow.field(name) for name in FACTS.names])
        files = [scratch / f"revisions-{i:05d}" for i in range(int(home[-1]) + 1)]
        with ExitStack() as stack:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            writers = [stack.enter_context(pa.ipc.new_stream(file, schema, options=options)) for file in files]
            for part in batches(self._path, self._file, FACTS.names):
                homes = home[pc.index_in(_devices(part), value_set=known).to_numpy()]
                for i in np.unique(homes).tolist():
                    writers[i].write_table(part.filter(pa.array(homes == i)))
        return files


def _devices(part: pa.Table) -> pa.Array:
    """Their ids. Raises InputError where they are no text, or missing."""
    try:
        devices = part["device_id"].cast(pa.string()).combine_chunks()
    except pa.ArrowInvalid as error:
        raise InputError(f"facts: device_id: {error}", mend="make them with `parked facts build`") from None
    if devices.null_count:
        raise InputError("facts: a revision without device_id", mend="make them with `parked facts build`")
    return devices
