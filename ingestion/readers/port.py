"""What a reader is, and what it hands over: candidates (nothing judged yet) and records it could not make one of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import pyarrow as pa

from ingestion.readers.reasons import Reason
from parked.schemas import FIXES, MOTION

BATCH_ROWS: Final = 524_288
"""Rows per batch of the streaming readers: some 60 MB of Arrow, and large enough that per-batch costs vanish."""

BATCH_TEXT: Final = 16 * 1024 * 1024
"""Characters per batch of readers of records, about, as some records are long."""


def _candidates(schema: pa.Schema) -> pa.Schema:
    loose = [pa.field(f.name, f.type) for f in schema]
    return pa.schema([*loose, pa.field("platform", pa.string()), pa.field("source_offset", pa.int64(), nullable=False)])


CANDIDATE_FIXES: Final = _candidates(FIXES).append(pa.field("mock", pa.bool_()))
"""FIXES with every column nullable, + ``platform`` (android, ios, null), ``source_offset`` (0-based record number),
``mock`` (the phone says that an app made the position up)."""

CANDIDATE_MOTION: Final = _candidates(MOTION)
"""MOTION likewise."""


class Malformed(NamedTuple):
    """A record no candidate could be made of."""

    source_offset: int
    reason: Reason
    detail: str
    payload: str
    layout: str | None = None
    """What the payload cannot be read without: the header's column names (JSON) of a row that is not cells"""


class Kept(NamedTuple):
    """A record out of quarantine, to be read again."""

    payload: str
    layout: str | None


@dataclass(frozen=True)
class Batch:
    """Some records of one file. A record that carries both a fix and a motion activity is two candidates."""

    fixes: pa.Table = field(default_factory=CANDIDATE_FIXES.empty_table)
    motion: pa.Table = field(default_factory=CANDIDATE_MOTION.empty_table)
    malformed: list[Malformed] = field(default_factory=list)
    ignored: int = 0
    """Records of another kind (a tracker's state changes): well formed, but neither fix nor motion."""
    original: Callable[[int], str] | None = None
    """Text of the record at a ``source_offset``, as sent; None: the candidate's own columns are the record."""


class Reader(Protocol):
    """One file format."""

    name: str
    """As in ``parked ingest --reader NAME``."""

    def sniff(self, path: Path, head: bytes) -> bool:
        """Is this file ours? ``head``: its first 64 KiB, decompressed."""
        ...

    def device_of(self, path: Path, device: str | None) -> str | None:
        """The device the whole file belongs to, None where each record names its own."""
        ...

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """The file's records in file order.

        Raises InputError where the file as a whole cannot be read; a single bad record never raises.
        """
        ...

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:
        """Records this reader once set aside, as they were kept; ``source_offset``: the place in ``kept``.

        ``source``, ``device``: as they were when the file was read (or another ``device``).
        """
        ...


def as_payload(record: Any) -> str:
    """A record as JSON text, ASCII only (so that any database can hold it)."""
    return json.dumps(record, default=str, sort_keys=False)
