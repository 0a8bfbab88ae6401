"""One ingestion run: batches of one source through the accept rules and the duplicate check into staged segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, insert

from ingestion.raw.content import Hashes, fix_hashes, motion_hashes, to_hex
from ingestion.raw.known import Known
from ingestion.raw.seen import UNKNOWN, Mask, best_of_each, ranks_of
from ingestion.raw.segments import EARLIER, SCHEMAS, Segment, write_segment
from ingestion.raw.validate import Checked, check_fixes, check_motion, refusals
from ingestion.readers.parsing import in_calendar
from ingestion.readers.port import Batch, Malformed, as_payload
from ingestion.readers.records import LAST_US
from parked.opsdb.tables import QuarantinedRecord
from parked.schemas import TIME

PAYLOAD_LIMIT: Final = 65_536
"""Characters of a refused record that are kept: a line of garbage may be as long as its file."""

_CHECKS: Final = {"fixes": check_fixes, "motion": check_motion}
_HASHES: Final = {"fixes": fix_hashes, "motion": motion_hashes}


@dataclass
class Counts:
    """What became of a source's records: ``read == accepted + duplicates + quarantined``, always."""

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    ignored: int = 0


@dataclass
class Run:
    """A source being read. Its segments are staged: invisible until the log commits them to the ledger."""

    id: int
    source: str
    now: datetime
    """aware UTC: when this run started, and the ``received_at`` of records that state none"""
    as_if_live_lag_s: float | None
    engine: Engine
    known: Known
    counts: Counts = field(default_factory=Counts)
    segments: list[Segment] = field(default_factory=list)
    as_if_live: bool = False
    """Did any accepted record get a stated time of receipt?"""

    def add(self, batch: Batch) -> None:
        """Sort one batch into staged segments, duplicates and quarantine."""
        refused: list[tuple[str | None, Malformed]] = [(None, entry) for entry in batch.malformed]
        for kind, candidates in candidates_of(batch):
            checked = self.check(kind, candidates)
            payload = batch.original or _payload_of(candidates)
            refused += [(kind, entry) for entry in refusals(checked, payload)]
            self.take(kind, checked.accepted)
        self._quarantine(refused)
        self.counts.read += batch.fixes.num_rows + batch.motion.num_rows + len(batch.malformed)
        self.counts.ignored += batch.ignored

    def check(self, kind: str, candidates: pa.Table) -> Checked:
        """Apply the accept rules to candidates of a ``kind`` (fixes, motion), with their receipt filled in."""
        return _CHECKS[kind](self._received(candidates), now=self.now)

    def take(self, kind: str, records: pa.Table) -> Mask:
        """Stage those of the accepted ``records`` that the log does not hold yet; which these are, in their order.

        A record it holds by a later receipt is staged too, since we had it earlier than was known: apart, as it is no
        further record (``EARLIER``), and counted as a duplicate.
        """
        if not records.num_rows:
            return np.zeros(0, dtype=np.bool_)
        hashes = _HASHES[kind](records)
        ranks = ranks_of(records["received_at"], records["as_if_live"])
        span = pc.min_max(records["event_time"]).as_py()
        held = self.known.ranks(kind, hashes, span["min"], span["max"])
        news = best_of_each(hashes, ranks) & (ranks < held)
        fresh: Mask = news & (held == UNKNOWN)
        new = int(np.count_nonzero(fresh))
        self.counts.accepted += new
        self.counts.duplicates += records.num_rows - new
        self._stage(kind, records, hashes, fresh)
        self._stage(EARLIER + kind, records, hashes, news & ~fresh)
        self.known.add(kind, hashes.take(news), ranks[news])
        return fresh

    def _stage(self, kind: str, records: pa.Table, hashes: Hashes, chosen: Mask) -> None:
        if not chosen.any():
            return
        if not chosen.all():
            records, hashes = records.filter(pa.array(chosen)), hashes.take(chosen)
        records = self._provenance(records, to_hex(hashes)).select(SCHEMAS[kind].names).cast(SCHEMAS[kind])
        self.as_if_live = self.as_if_live or bool(pc.any(records["as_if_live"]).as_py())
        self.segments.append(write_segment(self.known.raw_dir, kind, records, hashes))

    def _received(self, candidates: pa.Table) -> pa.Table:
        """Fill in ``received_at`` where the record states none: now, or as if live."""
        received = candidates["received_at"]
        silent = pc.is_null(received)
        if self.as_if_live_lag_s is None:
            filled = pc.if_else(silent, pa.scalar(self.now, TIME), received)
            as_if_live: Any = pa.repeat(pa.scalar(False), candidates.num_rows)
        else:
            lag_us = round(self.as_if_live_lag_s * 1e6)
            later = pc.add(candidates["event_time"].cast(pa.int64()), lag_us)
            later = pc.min_element_wise(later, LAST_US, skip_nulls=False)  # the calendar's end: refused, but printable
            filled = pc.if_else(silent, later.cast(TIME), received)
            as_if_live = silent
        place = candidates.column_names.index("received_at")
        return candidates.set_column(place, "received_at", filled).append_column("as_if_live", as_if_live)

    def _provenance(self, records: pa.Table, payload_hash: pa.Array) -> pa.Table:
        source = pa.repeat(pa.scalar(self.source), records.num_rows)
        return records.append_column("source", source).append_column("payload_hash", payload_hash)

    def _quarantine(self, refused: Sequence[tuple[str | None, Malformed]]) -> None:
        if not refused:
            return
        self.counts.quarantined += len(refused)
        rows = [
            {
                "run_id": self.id,
                "source": self.source,
                "source_offset": entry.source_offset,
                "kind": kind,
                "reason": str(entry.reason),
                "detail": _storable(entry.detail),
                "payload": _storable(entry.payload),
                "whole": len(entry.payload) <= PAYLOAD_LIMIT,
                "layout": entry.layout,
                "created_at": self.now,
            }
            for kind, entry in refused
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(QuarantinedRecord), rows)


def candidates_of(batch: Batch) -> list[tuple[str, pa.Table]]:
    """The candidates of each kind that has any, their clocks held at years 1-9999: accept rules refuse what lies there,
    and must be able to say it.
    """
    found = [(kind, table) for kind, table in (("fixes", batch.fixes), ("motion", batch.motion)) if table.num_rows]
    return [(kind, _printable(table)) for kind, table in found]


def _printable(candidates: pa.Table) -> pa.Table:
    for place, column in enumerate(candidates.schema):
        if pa.types.is_timestamp(column.type):
            candidates = candidates.set_column(place, column, in_calendar(candidates.column(place)))
    return candidates


def _payload_of(candidates: pa.Table) -> Callable[[int], str]:
    """The candidates' own columns, for sources whose columns are the record (offsets ascend in them)."""
    offsets = candidates["source_offset"].to_numpy()
    columns = candidates.drop_columns(["source_offset"])

    def payload(offset: int) -> str:
        row = int(np.searchsorted(offsets, offset))
        return as_payload(columns.slice(row, 1).to_pylist()[0])

    return payload


def _storable(text: str) -> str:
    """No NUL (PostgreSQL refuses it), no half characters, no endless line."""
    cut = text if len(text) <= PAYLOAD_LIMIT else text[:PAYLOAD_LIMIT] + "… (cut)"
    return cut.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()
