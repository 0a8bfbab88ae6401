"""A stored revision log, read piece by piece: memory holds a piece, not the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from parked.errors import InputError
from parked.files import PARQUET_DAMAGE, least_and_greatest, unreadable

PIECE = 262_144
"""Revisions of a piece, at least (a device is never cut)."""


@dataclass(frozen=True)
class Stored:
    """A revision log as stored. Reading it raises InputError where it is damaged."""

    path: Path
    position: int
    """how far of the raw log it is made from"""

    @property
    def rows(self) -> int:
        """How many revisions."""
        return int(opened(self.path).metadata.num_rows)

    def devices(self) -> int:
        """How many devices have any."""
        last, count = None, 0
        for batch in batches(self.path, opened(self.path), ["device_id"]):
            for device in pc.unique(batch["device_id"]).to_pylist():
                count += device != last
                last = device
        return count

    def of(self, device: str) -> pa.Table:
        """The revisions of one device (FACTS)."""
        return of_devices(self.path, opened(self.path), [device])

    def changed(self, change: Callable[[pa.Table, str | None, str | None], pa.Table]) -> Iterator[pa.Table]:
        """The log as ``change(piece, after, upto)`` makes each piece of it, which is all there is of the devices after
        one (None: from the first) and up to another (None: to the last).
        """
        parts = pieces(self.path)
        part, after = next(parts), None
        for following in parts:
            upto = part["device_id"][-1].as_py()
            yield change(part, after, upto)
            part, after = following, upto
        yield change(part, after, None)


def pieces(path: Path, file: pq.ParquetFile | None = None, *, rows: int | None = None) -> Iterator[pa.Table]:
    """A log file in tables of whole devices, in its order (an empty one is one table). Raises InputError for damage.

    ``file``: where it is open already; ``rows``: of a table, at least (default: PIECE).
    """
    file, rows = file or opened(path), rows or PIECE
    held: list[pa.Table] = [file.schema_arrow.remove_metadata().empty_table()]
    for batch in batches(path, file, rows=rows // 2):
        held.append(batch)
        if sum(table.num_rows for table in held) < rows:
            continue
        whole = pa.concat_tables(held)
        going = pc.sum(pc.equal(whole["device_id"], whole["device_id"][-1])).as_py()  # it may go on
        if going < whole.num_rows:
            yield whole.slice(0, whole.num_rows - going)
            held = [whole.slice(whole.num_rows - going)]
    yield pa.concat_tables(held)


def of_devices(
    path: Path, file: pq.ParquetFile, devices: Collection[str], columns: list[str] | None = None
) -> pa.Table:
    """The revisions of some devices in an open log file, in its order. Raises InputError for damage.

    Row groups of other devices are not read, or of them no more than their ``device_id``.
    """
    names = pa.array(sorted(devices), pa.string())

    def own(part: pa.Table) -> pa.ChunkedArray:
        return pc.is_in(part["device_id"].cast(pa.string()), value_set=names)

    empty = file.schema_arrow.remove_metadata().empty_table()
    found = [empty if columns is None else empty.select(columns)]
    for group in range(file.metadata.num_row_groups):
        if not _may_hold(file, group, devices):
            continue
        if any(pc.any(own(part)).as_py() for part in batches(path, file, ["device_id"], group=group)):
            found += [part.filter(own(part)) for part in batches(path, file, columns, group=group)]
    return pa.concat_tables(found)


def _may_hold(file: pq.ParquetFile, group: int, devices: Collection[str]) -> bool:
    """Whether a row group's statistics leave it open that it holds one of some devices."""
    told = least_and_greatest(file, "device_id", group)
    return told is None or any(told[0] <= device <= told[1] for device in devices)


def batches(
    path: Path,
    file: pq.ParquetFile,
    columns: list[str] | None = None,
    *,
    rows: int | None = None,
    group: int | None = None,
) -> Iterator[pa.Table]:
    """A log file, or a row group of it, so many rows at a time (None: half a PIECE). Raises InputError for damage."""
    size, groups = max(1, PIECE // 2 if rows is None else rows), None if group is None else [group]
    try:
        for batch in file.iter_batches(size, row_groups=groups, columns=columns):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
    except PARQUET_DAMAGE as error:
        raise unreadable(path, "facts", error) from None


def opened(path: Path) -> pq.ParquetFile:
    """A log file. Raises InputError where it is absent or damaged."""
    try:
        return pq.ParquetFile(path, pre_buffer=False)  # it would keep all that it has read
    except FileNotFoundError:
        raise InputError(f"{path}: no such facts file", mend="check the path") from None
    except PARQUET_DAMAGE as error:
        raise unreadable(path, "facts", error) from None
