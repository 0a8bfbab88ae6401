"""Our own columns, as CSV or Parquet: fixes (``FIXES``) or motion (``MOTION``) by the columns found.

Needed are device_id, event_time, lat, lon for fixes and device_id, event_time, activity for motion; accuracy_m,
speed_mps, received_at, mock (an app made the position up), confidence and platform are read where present, other
columns are not. Times in CSV are ISO-8601 with a zone, in Parquet a zoned timestamp of any unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.readers.csvfile import TextRows, header_of, rows_again, text_batches
from ingestion.readers.parsing import instants, numbers
from ingestion.readers.port import CANDIDATE_FIXES, CANDIDATE_MOTION, Batch, Kept, Malformed
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
            column = known_platform(text) if field.name == "platform" else text
        columns.append(column)
    table = pa.table(columns, schema=schema).filter(pa.array(~bad))
    malformed = list(rows.ragged)
    for index, (reason, detail) in faults.items():
        offset = int(rows.offsets[index])
        malformed.append(Malformed(offset, reason, detail, rows.payload(offset)))
    if kind == "motion":
        return Batch(motion=table, malformed=malformed, original=rows.payload)
    return Batch(fixes=table, malformed=malformed, original=rows.payload)


def known_platform(column: Any) -> Any:
    """android, ios or null, whatever the case."""
    lower = pc.utf8_lower(column)
    known = pc.is_in(lower, value_set=pa.array(["android", "ios"]))
    return pc.if_else(known, lower, pa.scalar(None, pa.string()))
