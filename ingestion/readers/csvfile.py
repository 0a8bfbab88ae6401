"""Streaming a CSV file as text columns: ragged rows set aside, everything else left for the reader to parse."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as arrow_csv

from ingestion.readers.port import Malformed, as_payload
from ingestion.readers.reasons import Reason
from ingestion.readers.source import head_of, opened
from parked.errors import InputError

_BLOCK_BYTES: Final = 32 * 1024 * 1024
"""Some 500k rows of a fixes file."""

_NOT_CSV: Final = (b"{", b"[", b"<")
"""JSON and XML: parsing a long line of them as a header would be slow and mean nothing."""

_HEADER_BYTES: Final = 16_384

_FIRST_ROW: Final = 2
"""Arrow counts lines from 1, and the header is the first."""


@dataclass(frozen=True)
class TextRows:
    """Some rows of a CSV file: every column as text (an empty cell is null)."""

    columns: dict[str, pa.Array]
    offsets: npt.NDArray[np.int64]
    """0-based row number of each row in the file (the header and blank lines are not counted)."""
    ragged: list[Malformed]

    def __len__(self) -> int:
        return len(self.offsets)

    def payload(self, offset: int) -> str:
        """The row at ``offset`` as a JSON object of its cells."""
        index = int(np.searchsorted(self.offsets, offset))
        return as_payload({name: column[index].as_py() for name, column in self.columns.items()})


def header_of(head: bytes) -> list[str]:
    """The column names in a file's head; empty where it holds no CSV header."""
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").split(b"\n", 1)[0]
    if not first.strip() or first[:1] in _NOT_CSV or len(first) > _HEADER_BYTES:
        return []
    try:
        return list(arrow_csv.open_csv(io.BytesIO(first + b"\n")).schema.names)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return []


def text_batches(path: Path, *, check_header: Callable[[list[str]], None]) -> Iterator[TextRows]:
    """The file's rows, some 32 MB at a time; ``check_header`` sees the column names first and may raise.

    Raises InputError for an empty file, a file that is not UTF-8 CSV, or one without a row.
    """
    names = header_of(head_of(path))
    if not names:
        raise InputError(f"{path}: no CSV header in its first line", mend="save it as UTF-8 CSV with a header line")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two columns are called {twice!r}", mend="rename or drop one")
    check_header(names)
    ragged: deque[arrow_csv.InvalidRow] = deque()
    total = 0
    with opened(path) as stream:
        try:
            for batch in _open(stream, names, ragged):
                rows = _rows(batch, ragged, total)
                total += len(rows) + len(rows.ragged)
                yield rows
        except pa.ArrowInvalid as error:
            reason = str(error).split("\n", 1)[0]
            raise InputError(f"{path}: {reason}", mend="save it as UTF-8 CSV with a header line") from None
    if not total:
        raise InputError(f"{path}: a header but no rows", mend="give a file with records")


def _open(stream: Any, names: list[str], ragged: deque[arrow_csv.InvalidRow]) -> Any:
    def set_aside(row: arrow_csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    return arrow_csv.open_csv(
        stream,
        # one thread: only then does Arrow tell the number of a ragged row
        read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=arrow_csv.ParseOptions(invalid_row_handler=set_aside),
        convert_options=arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=True, null_values=[""]
        ),
    )


def _rows(batch: pa.RecordBatch, ragged: deque[arrow_csv.InvalidRow], start: int) -> TextRows:
    """``batch`` with its row numbers; takes from ``ragged`` (in file order) those among or right after it."""
    end = start + batch.num_rows
    aside = []
    while ragged and ragged[0].number - _FIRST_ROW <= end:
        row = ragged.popleft()
        detail = f"{row.actual_columns} cells where the header has {row.expected_columns}"
        aside.append(Malformed(row.number - _FIRST_ROW, Reason.NOT_A_RECORD, detail, row.text))
        end += 1
    gaps = np.array([row.source_offset for row in aside], dtype=np.int64)
    offsets = np.setdiff1d(np.arange(start, end, dtype=np.int64), gaps, assume_unique=True)
    return TextRows(dict(zip(batch.schema.names, batch.columns, strict=True)), offsets, aside)
