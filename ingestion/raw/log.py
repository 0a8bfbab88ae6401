"""The raw log: append-only segments, a ledger in the operations database, one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
from sqlalchemy import Engine, delete, select, update

from ingestion.raw.known import Known
from ingestion.raw.run import Counts, Run
from ingestion.raw.scan import receipts, received_earlier, scan
from ingestion.raw.segments import EARLIER, Segment, orphans
from ingestion.readers.port import Batch
from parked.clock import Clock
from parked.locks import locked
from parked.opsdb.engine import transaction
from parked.opsdb.tables import IngestionRun, QuarantinedRecord, QuarantineRetry, RawSegment
from parked.settings import Settings

RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
"""A run that died before its commit; nothing of it is visible. Found and marked by the next writer."""

_CLOCK_STEP_S: Final = 1.0
"""A file system's clock may go in steps, and lie so much behind the one that runs are dated by."""


@dataclass
class Writer:
    """The right to append, held by one process at a time. All its runs become visible together, or none does."""

    log: RawLog
    clock: Clock
    known: Known
    runs: list[Run] = field(default_factory=list)

    def begin(
        self,
        source: str,
        reader: str,
        sha256: str,
        *,
        device: str | None = None,
        as_if_live_lag_s: float | None = None,
    ) -> Run:
        """Start a run. ``sha256``: of the source's bytes, by which it is known as done next time."""
        now = self.clock()
        row = IngestionRun(
            source=source,
            reader=reader,
            sha256=sha256,
            device=device,
            status=RUNNING,
            started_at=now,
            as_if_live_lag_s=as_if_live_lag_s,
        )
        with transaction(self.log.engine) as session:
            session.add(row)
            session.flush()
            number = row.id
        run = Run(number, source, now, as_if_live_lag_s, self.log.engine, self.known)
        self.runs.append(run)
        return run

    def is_done(self, sha256: str, device: str | None, as_if_live_lag_s: float | None = None) -> int | None:
        """The run that already took a source of these bytes for this device, with this lag, if any (this writer's own
        too). Another lag may tell of earlier receipts.
        """
        lag = IngestionRun.as_if_live_lag_s
        query = select(IngestionRun.id).where(
            IngestionRun.sha256 == sha256,
            IngestionRun.device.is_(None) if device is None else IngestionRun.device == device,
            lag.is_(None) if as_if_live_lag_s is None else lag == as_if_live_lag_s,
            IngestionRun.status.in_((DONE, RUNNING)),
        )
        with self.log.engine.connect() as connection:
            return connection.execute(query.limit(1)).scalar()

    def _commit(self) -> None:
        finished = self.clock()
        with transaction(self.log.engine) as session:
            for run in self.runs:
                session.add_all(RawSegment(run_id=run.id, **vars(segment)) for segment in run.segments)
                values = vars(run.counts) | {
                    "status": DONE,
                    "finished_at": finished,
                    "as_if_live": run.as_if_live,
                }
                session.execute(update(IngestionRun).where(IngestionRun.id == run.id).values(values))

    def _undo(self) -> None:
        """As if it had never begun: no run, no quarantine row, no file."""
        ids = [run.id for run in self.runs]
        with transaction(self.log.engine) as session:
            session.execute(delete(QuarantinedRecord).where(QuarantinedRecord.run_id.in_(ids)))
            session.execute(delete(IngestionRun).where(IngestionRun.id.in_(ids)))
        for run in self.runs:
            for segment in run.segments:
                (self.log.raw_dir / segment.path).unlink(missing_ok=True)


class RawLog:
    """Reads and appends the raw records of one home. Safe to share between threads for reading."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.raw_dir: Path = settings.raw_dir
        self.engine = engine
        self._known: Known | None = None
        self._listed_to = 0
        """ledger id up to which ``_known`` has been told of segments"""

    @contextmanager
    def writing(self, clock: Clock) -> Iterator[Writer]:
        """The right to append while the block runs (others wait for it). At its end everything becomes visible in
        one transaction; where it raises, everything is undone.
        """
        with self.locked(clock) as known:
            writer = Writer(self, clock, known)
            try:
                yield writer
                writer._commit()
            except BaseException:
                writer._undo()
                raise

    @contextmanager
    def locked(self, clock: Clock) -> Iterator[Known]:
        """Be the only writer while the block runs, after clearing away what a writer that died left; what the log
        holds is forgotten where the block raises, since it may remember records that never came to be.
        """
        with locked(self.raw_dir / ".lock"):
            self._recover(clock())
            try:
                yield self._refreshed()
            except BaseException:
                self._known = None
                raise
            self._listed_to = self._newest()

    def append(
        self,
        batch: Batch,
        *,
        source: str,
        reader: str,
        sha256: str,
        clock: Clock,
        as_if_live_lag_s: float | None = None,
    ) -> Counts:
        """Append candidates that are already in memory (a simulator, a gateway); visible when this returns.

        ``source`` and ``reader`` name where they came from, ``sha256`` identifies the upload ("" where nothing does).
        """
        with self.writing(clock) as writer:
            run = writer.begin(source, reader, sha256, as_if_live_lag_s=as_if_live_lag_s)
            run.add(batch)
        return run.counts

    def scan_fixes(
        self,
        devices: Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        received_by: datetime | None = None,
        after: int = 0,
        upto: int | None = None,
    ) -> pa.Table:
        """Accepted fixes (RAW_FIXES, or some ``columns`` of it), each once, by its earliest receipt: of all devices or
        some, of all time or as received by a moment (aware UTC, inclusive), of all the log or between two positions.

        In order of acceptance, but those last of which the log learned afterwards that they had been received earlier;
        between positions, also where it held them before the first (``received_earlier`` names their devices).

        Raises InternalError where a listed segment is missing or damaged.
        """
        segments = self.segments(after=after, upto=upto)
        return scan(self.raw_dir, segments, "fixes", devices=devices, columns=columns, received_by=received_by)

    def scan_motion(
        self,
        devices: Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        received_by: datetime | None = None,
        after: int = 0,
        upto: int | None = None,
    ) -> pa.Table:
        """Accepted motion records (RAW_MOTION), likewise."""
        segments = self.segments(after=after, upto=upto)
        return scan(self.raw_dir, segments, "motion", devices=devices, columns=columns, received_by=received_by)

    def receipts(self, kind: str, *, columns: Sequence[str], rows: int, upto: int | None = None) -> Iterator[pa.Table]:
        """Accepted fixes or motion records, some ``columns`` of them, at most ``rows`` at a time, up to a position: not
        once each, as in a scan, but once for every receipt. Who takes them must let the earliest count (of one moment,
        one not stated as if live). ``REPEATING`` columns come as dictionaries.

        Raises InternalError as above.
        """
        return receipts(self.raw_dir, self.segments(upto=upto), kind, columns=columns, rows=rows)

    def count_receipts(self, kind: str, *, upto: int | None = None) -> int:
        """How many rows ``receipts`` gives."""
        return sum(s.rows for s in self.segments(upto=upto) if s.kind.removeprefix(EARLIER) == kind)

    def received_earlier(self, *, after: int = 0, upto: int | None = None) -> list[str]:
        """Devices of which the log learned between two positions that it had had a record earlier than it knew.

        Raises InternalError as above.
        """
        return received_earlier(self.raw_dir, self.segments(after=after, upto=upto))

    def position(self) -> int:
        """Where the log ends now: what is visible later has positions after this one."""
        return self._newest()

    def segments(self, kind: str | None = None, *, after: int = 0, upto: int | None = None) -> list[Segment]:
        """What the ledger lists, in order of acceptance, after one position and up to another."""
        query = select(RawSegment).where(RawSegment.id > after).order_by(RawSegment.id)
        if upto is not None:
            query = query.where(RawSegment.id <= upto)
        if kind is not None:
            query = query.where(RawSegment.kind == kind)
        with transaction(self.engine) as session:
            return [
                Segment(row.kind, row.path, row.sha256, row.rows, row.min_event_time, row.max_event_time)
                for row in session.scalars(query)
            ]

    def orphans(self) -> list[Path]:
        """Files of runs that died, or of one that is going on right now."""
        return orphans(self.raw_dir, {segment.path for segment in self.segments()})

    def _refreshed(self) -> Known:
        """The index of what is held, told of segments other processes have added since."""
        if self._known is None:
            self._known, self._listed_to = Known(self.raw_dir), 0
        newest = self._newest()
        self._known.list_segments(self.segments(after=self._listed_to))
        self._listed_to = newest
        return self._known

    def _newest(self) -> int:
        query = select(RawSegment.id).order_by(RawSegment.id.desc()).limit(1)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar() or 0

    def _recover(self, now: datetime) -> None:
        """Mark runs and retries that died; called with the lock held, so none of them can still be alive."""
        with transaction(self.engine) as session:
            tables = (IngestionRun, QuarantineRetry)
            found = [session.execute(select(t.id, t.started_at).where(t.status == RUNNING)).all() for t in tables]
            if not any(found):
                return
            runs, retries = ([number for number, _ in dead] for dead in found)
            session.execute(delete(QuarantinedRecord).where(QuarantinedRecord.run_id.in_(runs)))
            for table, dead in ((IngestionRun, runs), (QuarantineRetry, retries)):
                mark = update(table).where(table.id.in_(dead))
                session.execute(mark.values(status=FAILED, finished_at=now))
        # A file older than those runs is none of theirs: another database's, or an older copy of this one is in use.
        since = min(started for dead in found for _, started in dead).timestamp() - _CLOCK_STEP_S
        for file in self.orphans():
            if file.stat().st_mtime >= since:
                file.unlink(missing_ok=True)
