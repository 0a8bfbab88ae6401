"""Facts, table after table, into one Parquet file whose bytes do not tell where one table ended and the next began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from parked.schemas import FACTS

CHUNK = 65_536
"""Rows of a chunk in a row group. Parquet is written 1,024 rows at a time: such chunks leave no trace."""


@dataclass(frozen=True)
class Layout:
    """How a facts file is laid out."""

    row_group: int
    """rows; a multiple of CHUNK"""
    dictionary: bool | tuple[str, ...]
    """columns that may be encoded as codes of a dictionary (True: all)"""


_WORDS = [name for name in FACTS.names if pa.types.is_string(FACTS.field(name).type) and name != "fact_id"]
FILE = Layout(CHUNK, (*_WORDS, "revision", "fixes", "leg_halts"))
"""Of a file that was asked for: small groups, and only columns that repeat few values are tried as a dictionary."""
STORED = Layout(16 * CHUNK, True)
"""Of the stored log."""


class FactsWriter:
    """Writes FACTS to ``path``, as row groups of one size. Holds the rows of one group."""

    def __init__(self, path: Path, layout: Layout, said: Mapping[bytes, bytes] | None = None) -> None:
        """``said``: what the file says of itself."""
        use = layout.dictionary if isinstance(layout.dictionary, bool) else list(layout.dictionary)
        self._schema = FACTS.with_metadata(said)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=use)
        self._size = layout.row_group
        self._full: list[pa.Table] = []
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._empty = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._take(self._rows)
                self._put(last=True)
        finally:
            self._writer.close()

    def add(self, table: pa.Table) -> None:
        """Write further rows, after those before."""
        self._waiting.append(table.replace_schema_metadata(self._schema.metadata))
        self._rows += table.num_rows
        self._take(self._rows - self._rows % CHUNK)

    def add_all(self, tables: Iterable[pa.Table]) -> None:
        """Write the rows of each."""
        for table in tables:
            self.add(table)

    def _take(self, rows: int) -> None:
        """Bring so many of the waiting rows into chunks, and full groups of chunks into the file."""
        if not rows:
            return
        whole = pa.concat_tables(self._waiting)
        for at in range(0, rows, CHUNK):
            self._full.append(whole.slice(at, min(CHUNK, rows - at)).combine_chunks())
            if len(self._full) * CHUNK == self._size:
                self._put()
        self._rows -= rows
        self._waiting = [whole.slice(rows)] if self._rows else []

    def _put(self, *, last: bool = False) -> None:
        if self._full or (last and self._empty):
            group = pa.concat_tables(self._full) if self._full else self._schema.empty_table()
            self._writer.write_table(group, row_group_size=self._size)
            self._full, self._empty = [], False
