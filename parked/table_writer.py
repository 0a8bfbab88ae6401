"""Tables one after another into one Parquet file whose bytes do not tell where one ended and the next began."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 65_536
"""Rows of a chunk in a row group. Chunks are cut by count, so no file tells where a table ended.

That there were chunks can be told, of a column of very many different values (texts or numbers, nulls or not): which
of its rows still go by the dictionary before that is too large and is given up depends on where chunks end.
"""

_PACKING: Final = pa.ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True)
class Layout:
    """How a file is laid out."""

    row_group: int
    """rows; a multiple of CHUNK"""
    dictionary: bool | tuple[str, ...]
    """columns that may be encoded as codes of a dictionary (True: all)"""
    told: bool | tuple[str, ...] = True
    """columns whose least and greatest each row group tells, by which readers may pass over it (True: all)"""
    packed: bool = False
    """Whether rows that wait for their group are compressed: for wide tables of which several are written at once."""


class TableWriter:
    """Writes tables of ``schema`` to ``path``, as row groups of one size. Holds the rows of one group."""

    def __init__(self, path: Path, schema: pa.Schema, layout: Layout) -> None:
        use, told = (which if isinstance(which, bool) else list(which) for which in (layout.dictionary, layout.told))
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=use, write_statistics=told)
        self._size, self._packed = layout.row_group, layout.packed
        self._full: list[pa.Table | pa.Buffer] = []
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
            chunk = whole.slice(at, min(CHUNK, rows - at)).combine_chunks()
            self._full.append(_packed(chunk) if self._packed else chunk)
            if len(self._full) * CHUNK == self._size:
                self._put()
        self._rows -= rows
        self._waiting = [whole.slice(rows)] if self._rows else []

    def _put(self, *, last: bool = False) -> None:
        if self._full or (last and self._empty):
            chunks, self._full = self._full, []
            join = _joined if self._packed else pa.concat_tables
            group = join(chunks) if chunks else self._schema.empty_table()
            self._writer.write_table(group, row_group_size=self._size)
            self._empty = False


def _packed(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_PACKING) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _joined(chunks: list[pa.Buffer]) -> pa.Table:
    """All rows in one piece, as chunks can leave a trace (``CHUNK``); no column is long there twice."""
    tables = [pa.ipc.open_stream(chunk).read_all() for chunk in chunks]
    schema, parts, columns = tables[0].schema, [list(table.columns) for table in tables], []
    chunks.clear()
    tables.clear()
    for i in range(len(schema)):
        columns.append(pa.chunked_array([piece for part in parts for piece in part[i].chunks]).combine_chunks())
        for part in parts:
            part[i] = None
    return pa.Table.from_arrays(columns, schema=schema)
