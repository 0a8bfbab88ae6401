"""Immutable raw segments: Parquet files named by their content, real only once the ledger lists them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.raw.content import Hashes, from_hex
from ingestion.raw.seen import Ranks, ranks_of
from parked.errors import InternalError, first_line
from parked.files import PARQUET_DAMAGE, sha256_of, write_table
from parked.schemas import RAW_FIXES, RAW_MOTION

KINDS: Final = ("fixes", "motion")

EARLIER: Final = "earlier_"
"""Before a kind's name: records of it that the log held already when it learned of an earlier receipt."""

SCHEMAS: Final = {"fixes": RAW_FIXES, "motion": RAW_MOTION}
SCHEMAS.update({EARLIER + kind: SCHEMAS[kind] for kind in KINDS})

SMALL: Final = 1 << 20
"""Bytes of a file that is read twice without a thought."""

REPEATING: Final = ("device_id", "platform", "source", "activity")
"""Columns of few different words."""


@dataclass(frozen=True)
class Segment:
    """One file, as the ledger lists it."""

    kind: str
    path: str
    """relative to the raw folder, with forward slashes"""
    sha256: str
    rows: int
    min_event_time: datetime
    max_event_time: datetime

    def overlaps(self, first: datetime, last: datetime) -> bool:
        """Could a record measured between ``first`` and ``last`` be in it?"""
        return self.min_event_time <= last and first <= self.max_event_time


def write_segment(raw_dir: Path, kind: str, table: pa.Table, hashes: Hashes) -> Segment:
    """Write records (RAW_FIXES or RAW_MOTION, at least one row) durably. Without a ledger row it stays invisible.

    ``hashes``: of the rows of ``table``. No two listed segments share a record and its receipt, so their names differ.
    """
    received = ranks_of(table["received_at"], table["as_if_live"])
    name = hashlib.sha256(hashes.high.tobytes() + hashes.low.tobytes() + received.tobytes()).hexdigest()[:32]
    path = f"{kind}/{name}.parquet"
    repeating = [name for name in REPEATING if name in table.column_names]
    write_table(raw_dir / path, table, dictionary=repeating, checksums=True)
    span = pc.min_max(table["event_time"]).as_py()
    return Segment(kind, path, sha256_of(raw_dir / path), table.num_rows, span["min"], span["max"])


def check_intact(raw_dir: Path, segment: Segment) -> None:
    """Raises InternalError where a segment's bytes are not those that were ingested, or gone.

    Only of a small one are all bytes looked at, for most of it describes the rest and has no checksum. In a large one
    each page of values has its own, which whoever reads it has to have verified (``page_checksum_verification``).
    """
    path = raw_dir / segment.path
    try:
        intact = path.stat().st_size > SMALL or sha256_of(path) == segment.sha256
    except OSError as error:
        raise unreadable_segment(path, error) from error
    if not intact:
        raise unreadable_segment(path, ValueError("its bytes are not those that were ingested"))


def unreadable_segment(path: Path, error: Exception) -> InternalError:
    """One line for a segment (or, where it is not known which, the raw folder), to be raised."""
    said = f"{path}: a raw segment in the ledger is not readable ({first_line(error)}); put it back from a copy"
    return InternalError(said)


def segment_receipts(raw_dir: Path, segment: Segment) -> tuple[Hashes, Ranks]:
    """The content hashes of a segment's records and the ranks of their receipts.

    Raises InternalError where the file is missing or damaged.
    """
    check_intact(raw_dir, segment)
    path, columns = raw_dir / segment.path, ["payload_hash", "received_at", "as_if_live"]
    try:
        table = pq.read_table(path, columns=columns, partitioning=None, page_checksum_verification=True)
        return from_hex(table["payload_hash"]), ranks_of(table["received_at"], table["as_if_live"])
    except PARQUET_DAMAGE as error:
        raise unreadable_segment(path, error) from error


def orphans(raw_dir: Path, listed: Collection[str]) -> list[Path]:
    """Segment files no ledger row lists (of runs that died): no reader sees them, and they may be removed."""
    found = [
        file
        for kind in SCHEMAS
        for pattern in ("*.parquet", ".*.tmp")
        for file in sorted((raw_dir / kind).glob(pattern))
    ]
    return [file for file in found if file.relative_to(raw_dir).as_posix() not in listed]
