"""Where the stop engine's measurements are read from, piece by piece: a Parquet file, or whatever else has tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.facts.ahead import one_ahead
from ingestion.facts.canonical import Places, Records, Taker, check_columns, ids_as_text
from parked.errors import InputError
from parked.files import PARQUET_DAMAGE, check_regular, least_and_greatest, unreadable
from parked.schemas import FIXES, MOTION

BATCH = 131_072
"""Rows read at once: their columns stay in the cache."""
LARGEST_GROUP = 12_000_000
"""Rows of a group, at most, for a source to count as one in order of device: a group is read as one."""

Progress = Callable[..., None]


class Source(ABC):
    """Measurements of one kind, in groups of rows. One that is not ``by_device`` has no groups to ask for."""

    name: str
    """for errors"""
    what: str
    """fixes or motion"""
    rows: int
    """how many, at most"""
    sizes: Sequence[int] = ()
    """rows of each group"""
    by_device: bool = False
    """whether its groups, none too large, are known to hold ascending ranges of devices"""

    @property
    def largest(self) -> int:
        """Rows of the largest group."""
        return max(self.sizes, default=0)

    @property
    def schema(self) -> pa.Schema:
        """FIXES or MOTION."""
        return FIXES if self.what == "fixes" else MOTION

    @abstractmethod
    def tables(self, columns: list[str] | None = None, group: int | None = None) -> Iterator[pa.Table]:
        """The rows (of a group), about BATCH at a time: all that ``schema`` names and as_if_live, or some columns."""

    def records(
        self, taker: Taker, progress: Progress, group: int | None = None, out: Records | None = None
    ) -> Iterator[Records]:
        """The usable rows (of a group) as records, table by table; one after another in ``out`` if given."""
        take, n = self._take(taker), 0
        for table in self.tables(group=group):
            part = take(table, self.name, None if out is None else out[n:])
            n += len(part)
            yield part
            progress(table.num_rows)

    def place(self, taker: Taker, progress: Progress, out: Records, at: Places, pool: Executor) -> None:
        """Put the usable rows as records where ``at`` has their devices' places in ``out``; ``pool`` reads ahead."""
        take = self._take(taker)
        for table in one_ahead(self.tables(), pool):
            take(table, self.name, out, at)
            progress(table.num_rows)

    def _take(self, taker: Taker) -> Callable[..., Records]:
        return taker.fixes if self.what == "fixes" else taker.motion


class ParquetSource(Source):
    """A Parquet file of measurements; its row groups are the groups."""

    def __init__(self, path: Path, what: str) -> None:
        """Open and check the columns. Raises InputError naming the file."""
        check_regular(path)
        try:
            self._file = pa.OSFile(str(path))
            self._metadata = pq.read_metadata(self._file)
            self._columns = self._metadata.schema.to_arrow_schema().names
            self._words = [name for name in ("device_id", "activity") if name in self._columns]
            file = self._reader()
        except FileNotFoundError:
            raise InputError(f"{path}: no such {what} file", mend="check the path") from None
        except PARQUET_DAMAGE as error:
            raise unreadable(path, what, error) from None
        self.name, self.what, self._path = str(path), what, path
        check_columns(file.schema_arrow.empty_table(), self.schema, self.name)
        self.sizes = [int(file.metadata.row_group(i).num_rows) for i in range(file.metadata.num_row_groups)]
        self.rows = int(file.metadata.num_rows)
        self.by_device = self.largest <= LARGEST_GROUP and _ascending(file)

    def tables(self, columns: list[str] | None = None, group: int | None = None) -> Iterator[pa.Table]:
        """The rows (of a row group), BATCH at a time. Raises InputError where the file turns out to be damaged.

        Each call has a reader of its own, for they may be used in several threads.
        """
        names = [n for n in columns or [*self.schema.names, "as_if_live"] if n in self._columns]
        words = [name for name in self._words if name in names]
        groups = None if group is None else [group]
        claimed = self.rows if group is None else self.sizes[group]
        left = claimed
        try:
            for batch in self._reader().iter_batches(BATCH, row_groups=groups, columns=names, use_threads=False):
                left -= batch.num_rows
                if left < 0:
                    raise ValueError(f"more rows than the {claimed} it says it holds")
                for name in words:
                    batch.column(name).validate(full=True)  # text in UTF-8
                table = pa.Table.from_batches([batch])
                at = table.schema.get_field_index("device_id")
                yield table.set_column(at, "device_id", ids_as_text(table.column(at)))
        except PARQUET_DAMAGE as error:
            raise unreadable(self._path, self.what, error) from None

    def _reader(self) -> pq.ParquetFile:
        # Of what was read ahead it would keep all until it goes.
        return pq.ParquetFile(self._file, metadata=self._metadata, read_dictionary=self._words, pre_buffer=False)


def _ascending(file: pq.ParquetFile) -> bool:
    """Whether a Parquet file's statistics say that its row groups hold ascending ranges of devices."""
    last = ""
    for group in range(file.metadata.num_row_groups):
        told = least_and_greatest(file, "device_id", group)
        if told is None or told[0] < last:
            return False
        last = told[1]
    return True
