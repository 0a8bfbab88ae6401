"""Our own columns, as Parquet (``columns`` says which): read in batches, claims of absurd size refused unread.

Words are read as dictionaries (``words``). A file whose types cannot mean what its names say is refused whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.readers.columns import kind_of, known_platform, wrong_columns
from ingestion.readers.parsing import as_utc_us
from ingestion.readers.port import BATCH_ROWS, CANDIDATE_FIXES, CANDIDATE_MOTION, Batch, Kept, Malformed, as_payload
from ingestion.readers.reasons import Reason
from ingestion.readers.words import unpacked
from parked.errors import InputError
from parked.files import PARQUET_DAMAGE, check_once

MAX_GROUP_BYTES: Final = 2 * 1024 * 1024 * 1024
"""Most that the columns read of one row group may unpack to: 100 times a usual group of a million rows."""

MAGIC: Final = b"PAR1"
_BUFFER_BYTES: Final = 1024 * 1024
_DAMAGE: Final = (*PARQUET_DAMAGE, MemoryError)

_Mask = npt.NDArray[np.bool_]


class ParquetReader:
    """Own columns in Parquet."""

    name = "parquet"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Parquet with the needed columns."""
        return head[:4] == MAGIC and kind_of(_schema(path, _opened(path)).names) is not None

    def device_of(self, path: Path, device: str | None) -> str | None:  # noqa: ARG002
        """Only ``--device``: rows name their own."""
        return device

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """Batches of ``BATCH_ROWS``."""
        file = _opened(path)
        found = _schema(path, file)
        kind = kind_of(found.names)
        if kind is None:
            raise wrong_columns(path, found.names)
        if not file.metadata.num_rows:
            raise InputError(f"{path}: no rows", mend="give a file with records")
        schema = CANDIDATE_FIXES if kind == "fixes" else CANDIDATE_MOTION
        wanted = [name for name in schema.names if name in found.names and name != "source_offset"]
        _check_types(path, found, wanted)
        _check_size(path, file, wanted)
        words = [name for name in wanted if _is_text(found.field(name).type)]
        held: list[Batch] = []
        start = first = 0
        for piece in _pieces(path, _opened(path, words), wanted):
            if held and start + piece.num_rows - first > BATCH_ROWS:
                yield _joined(held)
                held, first = [], start
            held.append(_from_arrow(piece, kind, start, device))
            start += piece.num_rows
        if held:
            yield _joined(held)

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:  # noqa: ARG002
        """Kept rows."""
        kind, rows = _kept_rows(kept)
        return _from_arrow(rows, kind, 0, device)


def columns_of(path: Path) -> list[str]:
    """Names of a Parquet file's columns. Raises InputError where it is damaged."""
    return list(_schema(path, _opened(path)).names)


def _pieces(path: Path, file: pq.ParquetFile, names: list[str]) -> Iterator[pa.Table]:
    """The rows of row group after row group, as each has dictionaries of its own. Raises InputError for damage."""
    try:
        for group in range(file.metadata.num_row_groups):
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=names):
                yield pa.Table.from_batches([batch])
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _joined(batches: Sequence[Batch]) -> Batch:
    """One of many: small row groups make no small segments."""
    fixes, motion = (pa.concat_tables([getattr(b, kind) for b in batches]) for kind in ("fixes", "motion"))
    malformed = [entry for batch in batches for entry in batch.malformed]
    return Batch(fixes=fixes.combine_chunks(), motion=motion.combine_chunks(), malformed=malformed)


def _kept_rows(kept: Sequence[Kept]) -> tuple[str, pa.Table]:
    """Rows of a Parquet file as they were kept: JSON objects of the columns read."""
    found = [json.loads(one.payload) for one in kept]
    kind = kind_of(list(found[0])) or "fixes"
    schema = CANDIDATE_FIXES if kind == "fixes" else CANDIDATE_MOTION
    columns = {
        name: [datetime.fromisoformat(row[name]) if row.get(name) is not None else None for row in found]
        if pa.types.is_timestamp(schema.field(name).type)
        else [row.get(name) for row in found]
        for name in schema.names
        if name != "source_offset"
    }
    return kind, pa.table({name: pa.array(values, schema.field(name).type) for name, values in columns.items()})


def _from_arrow(rows: pa.Table, kind: str, start: int, device: str | None) -> Batch:
    schema = CANDIDATE_FIXES if kind == "fixes" else CANDIDATE_MOTION
    count = rows.num_rows
    bad: dict[int, str] = {}
    columns: list[Any] = []
    for field in schema:
        if field.name == "source_offset":
            column = pa.array(np.arange(start, start + count, dtype=np.int64))
        elif field.name == "device_id" and device is not None:
            column = pa.repeat(pa.scalar(device), count)
        elif field.name not in rows.column_names:
            column = pa.nulls(count, field.type)
        else:
            column = rows[field.name]
            if _is_text(column.type):
                column, wrong = unpacked(column)
                for row in wrong:
                    bad.setdefault(row, f"{field.name} is not UTF-8")
            else:
                column = _plain(column)
                if pa.types.is_null(column.type):
                    column = pa.nulls(count, field.type)
                elif pa.types.is_timestamp(field.type):
                    column = as_utc_us(column)
                else:
                    column = column.cast(field.type, safe=False)
        columns.append(known_platform(column) if field.name == "platform" else column)
    table = pa.table(columns, schema=schema)
    malformed = [
        Malformed(start + row, Reason.NOT_A_RECORD, why, as_payload(table.slice(row, 1).to_pylist()[0]))
        for row, why in sorted(bad.items())
    ]
    if bad:
        good = np.ones(count, dtype=np.bool_)
        good[list(bad)] = False
        table = table.filter(pa.array(good))
    return Batch(motion=table, malformed=malformed) if kind == "motion" else Batch(fixes=table, malformed=malformed)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without a dictionary."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    """Text, as it is or as a dictionary."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _opened(path: Path, dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
    """``dictionaries``: columns to be read as such."""
    try:
        file = pa.OSFile(os.fsencode(path))  # Arrow opens by name only what is UTF-8
        # Pages are read as they are needed, not whole columns.
        return pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, read_dictionary=list(dictionaries))
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _schema(path: Path, file: pq.ParquetFile) -> pa.Schema:
    try:
        return file.schema_arrow
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{path}: not readable as Parquet ({said})", mend="write it again")


def _check_size(path: Path, file: pq.ParquetFile, names: Sequence[str]) -> None:
    """Raises InputError for a row group whose columns say that they unpack to more than ``MAX_GROUP_BYTES``."""
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        parts = (group.column(place) for place in range(group.num_columns))
        claimed = sum(part.total_uncompressed_size for part in parts if part.path_in_schema in names)
        if not 0 <= claimed <= MAX_GROUP_BYTES:
            raise InputError(
                f"{path}: row group {number} says it unpacks to {claimed:,} bytes", mend="write smaller row groups"
            )


def _check_types(path: Path, schema: pa.Schema, names: Sequence[str]) -> None:
    """Raises InputError for a name of two columns, and the first column whose type cannot mean what its name says."""
    check_once(str(path), [name for name in schema.names if name in names])
    t = pa.types
    for name in names:
        found = schema.field(name).type
        target = next(f.type for f in (*CANDIDATE_FIXES, *CANDIDATE_MOTION) if f.name == name)
        plain = found.value_type if t.is_dictionary(found) else found
        if t.is_timestamp(target):
            right = t.is_timestamp(plain) and bool(plain.tz)
        elif t.is_boolean(target):
            right = t.is_boolean(plain) or t.is_integer(plain) or t.is_null(plain)
        elif t.is_floating(target):
            right = t.is_floating(plain) or t.is_integer(plain) or t.is_decimal(plain) or t.is_null(plain)
        else:
            right = t.is_string(plain) or t.is_large_string(plain) or t.is_null(plain)
            right = right or (name == "device_id" and t.is_integer(plain))
        if not right and not (t.is_null(plain) and name == "received_at"):
            raise InputError(f"{path}: column {name} is {found}", mend=f"store it as {target}")
