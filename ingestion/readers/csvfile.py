"""Streaming a CSV file as text columns: bad lines set aside, everything else left for the reader to parse.

A line is a row: a cell may hold commas and quotes inside quotes, but no line break, so that a quote that never ends
costs its line and not the rest of the file.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as arrow_csv

from ingestion.readers.lines import HOPELESS, TooLong, as_text, line_blocks
from ingestion.readers.port import Kept, Malformed, as_payload
from ingestion.readers.reasons import Reason
from ingestion.readers.source import head_of, opened
from parked.errors import InputError
from parked.files import check_once

_BLOCK_BYTES: Final = 32 * 1024 * 1024
"""Some 500k rows of a fixes file, and the longest line that is read."""

_NOT_CSV: Final = (b"{", b"[", b"<")
"""JSON and XML: parsing a long line of them as a header would be slow and mean nothing."""

_MEND: Final = "save it as UTF-8 CSV with a header line"
_HEADER_BYTES: Final = 16_384

_LINE_END: Final = re.compile(rb"[\r\n]")
_CELL: Final = rb'(?:"(?:[^"\r\n]|"")*+"[^,\r\n]*+|(?!")[^,\r\n]*+)'
_LINE: Final = rb"%b(?:,%b)*+" % (_CELL, _CELL)
_CLOSED: Final = re.compile(_LINE)
_ALL_CLOSED: Final = re.compile(rb"(?:%b[\r\n]++)*+(?:%b)?" % (_LINE, _LINE))
"""Every quote that opens a cell closes it in the same line."""


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
    first, _ = _first_line(head.removeprefix(b"\xef\xbb\xbf"))
    if not first.strip() or first[:1] in _NOT_CSV or len(first) > _HEADER_BYTES:
        return []
    try:
        return list(arrow_csv.open_csv(io.BytesIO(first + b"\n")).schema.names)
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return []


def _first_line(text: bytes) -> tuple[bytes, bytes]:
    """The first line that is not empty, and what follows it; lines end as Arrow ends them, by a lone \\r too."""
    line, *rest = _LINE_END.split(text.lstrip(b"\r\n"), 1)
    return line, rest[0] if rest else b""


def text_batches(path: Path, *, check_header: Callable[[list[str]], None]) -> Iterator[TextRows]:
    """The file's rows, some 32 MB at a time; ``check_header`` sees the column names first and may raise.

    Raises InputError for an empty file, a first line that is no header, or a file without a row.
    """
    names = header_of(head_of(path))
    if not names:
        raise InputError(f"{path}: no CSV header in its first line", mend=_MEND)
    check_once(str(path), names)
    check_header(names)
    total = good = 0
    with opened(path) as stream:
        headed = False
        for block in line_blocks(stream.read, _BLOCK_BYTES):
            if isinstance(block, TooLong):
                row = _aside(total, f"a line of {block.length:,} bytes", block.head, names)
                total += 1
                yield TextRows({name: pa.array([], pa.string()) for name in names}, np.empty(0, np.int64), [row])
                continue
            if not headed:
                header, block = _first_line(block)
                headed = bool(header)
            rows = _rows(names, block, total)
            if len(rows) or rows.ragged:
                total += len(rows) + len(rows.ragged)
                good += len(rows)
                if not good and total >= HOPELESS:
                    why = rows.ragged[0].detail
                    raise InputError(f"{path}: none of its first {total:,} rows can be read ({why})", mend=_MEND)
                yield rows
    if not total:
        raise InputError(f"{path}: a header but no rows", mend="give a file with records")


def rows_again(kept: Sequence[Kept]) -> TextRows:
    """Rows that were set aside once: as their cells, or (with a ``layout``) as the line they were."""
    found: dict[int, dict[str, str | None]] = {}
    ragged: list[Malformed] = []
    for place, (payload, layout) in enumerate(kept):
        if layout is None:
            found[place] = json.loads(payload)
            continue
        rows = _rows(json.loads(layout), payload.encode(), place)
        ragged += rows.ragged
        if len(rows):
            found[place] = {name: column[0].as_py() for name, column in rows.columns.items()}
    names = dict.fromkeys(name for cells in found.values() for name in cells)
    columns = {name: pa.array([cells.get(name) for cells in found.values()], pa.string()) for name in names}
    return TextRows(columns, np.array(list(found), dtype=np.int64), ragged)


def _rows(names: list[str], block: bytes, start: int) -> TextRows:
    """Whole lines (no header) as text columns; the first row has number ``start``."""
    aside: list[Malformed] = []
    if not _clean(block):
        block, aside = _sift(names, block, start)
    wrong: list[arrow_csv.InvalidRow] = []

    def set_aside(row: arrow_csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    columns = {name: pa.array([], pa.string()) for name in names}
    if block.strip(b"\r\n"):
        table = arrow_csv.read_csv(
            io.BytesIO(block),
            # one thread: only then does Arrow tell the number of a ragged row
            read_options=arrow_csv.ReadOptions(use_threads=False, column_names=names, block_size=len(block) + 1),
            parse_options=arrow_csv.ParseOptions(invalid_row_handler=set_aside),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=True, null_values=[""]
            ),
        )
        columns = {name: pa.concat_arrays(table[name].chunks) for name in names} if table.num_rows else columns
    read = len(columns[names[0]]) + len(wrong)
    numbers = np.arange(start, start + read + len(aside), dtype=np.int64)
    numbers = np.setdiff1d(numbers, [row.source_offset for row in aside], assume_unique=True)
    for row in wrong:
        detail = f"{row.actual_columns} cells where the header has {row.expected_columns}"
        aside.append(_aside(int(numbers[row.number - 1]), detail, row.text.encode(), names))
    numbers = np.delete(numbers, [row.number - 1 for row in wrong])
    return TextRows(columns, numbers, aside)


def _clean(block: bytes) -> bool:
    """Can Arrow be trusted with it?"""
    if not block.isascii():
        try:
            block.decode()
        except UnicodeDecodeError:
            return False
    return b'"' not in block or _ALL_CLOSED.fullmatch(block) is not None


def _sift(names: list[str], block: bytes, start: int) -> tuple[bytes, list[Malformed]]:
    """The lines Arrow can read, and the others: Arrow refuses all rows for one that is not UTF-8, and lets a quote
    that never ends swallow the rows after it.
    """
    good: list[bytes] = []
    aside: list[Malformed] = []
    for line in block.splitlines():
        if not line:
            continue
        number = start + len(good) + len(aside)
        try:
            line.decode()
        except UnicodeDecodeError as error:
            aside.append(_aside(number, f"not UTF-8 (byte {error.start} of the line)", line, names))
            continue
        if b'"' in line and not _CLOSED.fullmatch(line):
            aside.append(_aside(number, "a quote that the line does not end", line, names))
        else:
            good.append(line)
    return b"\n".join(good), aside


def _aside(number: int, detail: str, line: bytes, names: list[str]) -> Malformed:
    return Malformed(number, Reason.NOT_A_RECORD, detail, as_text(line), json.dumps(names))
