"""Our own columns, as CSV or Parquet: fixes (``FIXES``) or motion (``MOTION``) by the columns found.

Needed are device_id, event_time, lat, lon for fixes and device_id, event_time, activity for motion; accuracy_m,
speed_mps, received_at, mock (an app made the position up), confidence and platform are read where present, other
columns are not. Times in CSV are ISO-8601 with a zone, in Parquet a zoned timestamp of any unit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.readers.csvfile import TextRows, header_of, rows_again, text_batches
from ingestion.readers.parsing import as_utc_us, instants, numbers
from ingestion.readers.port import BATCH_ROWS, CANDIDATE_FIXES, CANDIDATE_MOTION, Batch, Kept, Malformed
from ingestion.readers.reasons import Reason
from parked.errors import InputError

NEEDED_FIXES: Final = ("device_id", "event_time", "lat", "lon")
NEEDED_MOTION: Final = ("device_id", "event_time", "activity")

_YES: Final = pa.array(["1", "true", "t", "yes", "y"])
_PARQUET_MAGIC: Final = b"PAR1"


def kind_of(columns: Sequence[str]) -> str | None:
    """``fixes``, ``motion``, or None where the needed columns of neither are there.

    >>> kind_of(["device_id", "event_time", "lat", "lon", "battery"])
    'fixes'
    """
    if set(NEEDED_FIXES) <= set(columns):
        return "fixes"
    return "motion" if set(NEEDED_MOTION) <= set(columns) else None


def wrong_columns(path: Path, columns: Sequence[str]) -> InputError:
    """The error for a table whose columns are not ours."""
    needed = NEEDED_MOTION if "activity" in columns else NEEDED_FIXES
    missing = ", ".join(name for name in needed if name not in columns)
    found = ", ".join(columns[:12]) or "none"
    return InputError(f"{path}: no column {missing} (found: {found})", mend=f"it needs {', '.join(needed)}")


class CsvReader:
    """Own columns in CSV."""

    name = "csv"

    def sniff(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """A CSV header with the needed columns."""
        return kind_of(header_of(head)) is not None

    def device_of(self, path: Path, device: str | None) -> str | None:  # noqa: ARG002
        """Only ``--device``: rows name their own."""
        return device

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """Batches of some 32 MB of text."""

        def check(columns: list[str]) -> None:
            if kind_of(columns) is None:
                raise wrong_columns(path, columns)

        for rows in text_batches(path, check_header=check):
            yield _from_text(rows, device)

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:  # noqa: ARG002
        """Kept rows."""
        return _from_text(rows_again(kept), device)


class ParquetReader:
    """Own columns in Parquet."""

    name = "parquet"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Parquet with the needed columns."""
        return head[:4] == _PARQUET_MAGIC and kind_of(_parquet(path).schema_arrow.names) is not None

    def device_of(self, path: Path, device: str | None) -> str | None:  # noqa: ARG002
        """Only ``--device``: rows name their own."""
        return device

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """Batches of ``BATCH_ROWS``."""
        file = _parquet(path)
        kind = kind_of(file.schema_arrow.names)
        if kind is None:
            raise wrong_columns(path, file.schema_arrow.names)
        if not file.metadata.num_rows:
            raise InputError(f"{path}: no rows", mend="give a file with records")
        schema = CANDIDATE_FIXES if kind == "fixes" else CANDIDATE_MOTION
        wanted = [name for name in schema.names if name in file.schema_arrow.names and name != "source_offset"]
        _check_types(path, file.schema_arrow, wanted)
        start = 0
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                yield _from_arrow(pa.Table.from_batches([batch]), kind, start, device)
                start += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(path, error) from None

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:  # noqa: ARG002
        """Kept rows."""
        kind, rows = _kept_rows(kept)
        return _from_arrow(rows, kind, 0, device)


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


def _from_text(rows: TextRows, device: str | None) -> Batch:
    count = len(rows)
    kind = kind_of(list(rows.columns))
    schema = CANDIDATE_FIXES if kind == "fixes" else CANDIDATE_MOTION
    bad = np.zeros(count, dtype=np.bool_)
    faults: dict[int, tuple[Reason, str]] = {}
    columns: list[Any] = []
    for field in schema:
        text = rows.columns.get(field.name)
        if field.name == "source_offset":
            column = pa.array(rows.offsets)
        elif field.name == "device_id" and device is not None:
            column = pa.repeat(pa.scalar(device), count)
        elif text is None:
            column = pa.nulls(count, field.type)
        elif pa.types.is_timestamp(field.type):
            column, wrong, reasons = instants(text)
            bad |= wrong
            for row in np.flatnonzero(wrong):
                faults.setdefault(int(row), (reasons[row], f"{field.name}={text[row].as_py()!r:.80}"))
        elif pa.types.is_floating(field.type):
            column, wrong = numbers(text)
            bad |= wrong
            for row in np.flatnonzero(wrong):
                faults.setdefault(int(row), (Reason.BAD_NUMBER, f"{field.name}={text[row].as_py()!r:.80}"))
        elif pa.types.is_boolean(field.type):
            column = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), value_set=_YES)
        else:
            column = _known_platform(text) if field.name == "platform" else text
        columns.append(column)
    table = pa.table(columns, schema=schema).filter(pa.array(~bad))
    malformed = list(rows.ragged)
    for index, (reason, detail) in faults.items():
        offset = int(rows.offsets[index])
        malformed.append(Malformed(offset, reason, detail, rows.payload(offset)))
    if kind == "motion":
        return Batch(motion=table, malformed=malformed, original=rows.payload)
    return Batch(fixes=table, malformed=malformed, original=rows.payload)


def _from_arrow(rows: pa.Table, kind: str, start: int, device: str | None) -> Batch:
    schema = CANDIDATE_FIXES if kind == "fixes" else CANDIDATE_MOTION
    count = rows.num_rows
    columns: list[Any] = []
    for field in schema:
        if field.name == "source_offset":
            column = pa.array(np.arange(start, start + count, dtype=np.int64))
        elif field.name == "device_id" and device is not None:
            column = pa.repeat(pa.scalar(device), count)
        elif field.name not in rows.column_names:
            column = pa.nulls(count, field.type)
        elif pa.types.is_timestamp(field.type):
            column = as_utc_us(rows[field.name])
        else:
            column = rows[field.name].cast(field.type, safe=False)
        columns.append(_known_platform(column) if field.name == "platform" else column)
    table = pa.table(columns, schema=schema)
    return Batch(motion=table) if kind == "motion" else Batch(fixes=table)


def _known_platform(column: Any) -> Any:
    lower = pc.utf8_lower(column)
    known = pc.is_in(lower, value_set=pa.array(["android", "ios"]))
    return pc.if_else(known, lower, pa.scalar(None, pa.string()))


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not readable as Parquet ({str(error).splitlines()[0]})", mend="write it again")


def _check_types(path: Path, schema: pa.Schema, names: Sequence[str]) -> None:
    """Raises InputError for the first column whose type cannot mean what its name says."""
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
