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
from parked.errors import InternalError
from parked.files import sha256_of, write_table
from parked.schemas import RAW_FIXES, RAW_MOTION

KINDS: Final = ("fixes", "motion")

EARLIER: Final = "earlier_"
"""Before a kind's name: records of it that the log held already when it learned of an earlier receipt."""

SCHEMAS: Final = {"fixes": RAW_FIXES, "motion": RAW_MOTION}
SCHEMAS.update({EARLIER + kind: SCHEMAS[kind] for kind in KINDS})

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
    write_table(raw_dir / path, table, dictionary=[name for name in REPEATING if name in table.column_names])
    span = pc.min_max(table["event_time"]).as_py()
    return Segment(kind, path, sha256_of(raw_dir / path), table.num_rows, span["min"], span["max"])


def segment_receipts(raw_dir: Path, path: str) -> tuple[Hashes, Ranks]:
    """The content hashes of a segment's records and the ranks of their receipts.

    Raises InternalError where the file is missing or damaged.
    """
    try:
        columns = ["payload_hash", "received_at", "as_if_live"]
        table = pq.read_table(raw_dir / path, columns=columns, partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise InternalError(f"{raw_dir / path}: raw segment in the ledger but not readable ({error})") from error
    return from_hex(table["payload_hash"]), ranks_of(table["received_at"], table["as_if_live"])


def orphans(raw_dir: Path, listed: Collection[str]) -> list[Path]:
    """Segment files no ledger row lists (of runs that died): no reader sees them, and they may be removed."""
    found = [
        file
        for kind in SCHEMAS
        for pattern in ("*.parquet", ".*.tmp")
        for file in sorted((raw_dir / kind).glob(pattern))
    ]
    return [file for file in found if file.relative_to(raw_dir).as_posix() not in listed]
