"""``parked quarantine retry``: refused records, read and judged again by today's readers and rules.

A record that passes now becomes raw exactly once, under the run that refused it: that run's ``accepted`` or
``duplicates`` grows by what its ``quarantined`` shrinks, so that read = accepted + duplicates + quarantined stays true.
A record is taken whole or not at all. Everything becomes visible in one transaction; a retry that takes nothing, fails
or is killed changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import delete, select, update

from ingestion.raw.known import Known
from ingestion.raw.log import DONE, RUNNING, RawLog
from ingestion.raw.quarantine import Selection
from ingestion.raw.run import Run, candidates_of
from ingestion.raw.validate import CLOCK_LEAD_US
from ingestion.readers import READERS
from ingestion.readers.port import Batch, Kept, Reader
from parked.clock import Clock, to_us
from parked.errors import InputError, NotFoundError
from parked.opsdb.engine import transaction
from parked.opsdb.tables import IngestionRun, QuarantinedRecord, QuarantineRetry, RawSegment
from parked.schemas import TIME

ACCEPTED: Final = "accepted"
DUPLICATE: Final = "duplicate"
IGNORED: Final = "ignored"

CUT: Final = "cut"
"""Left in quarantine because only the beginning of the record was kept."""

_CHUNK: Final = 500
"""Records read at once: at most 64 K characters each."""


@dataclass(frozen=True)
class RetryReport:
    """What a retry did."""

    retry: int | None
    """id of its row; None where it took nothing"""
    tried: int
    outcomes: dict[str, int]
    """how many records were accepted, duplicates of raw records, or ignored (of another kind)"""
    left: dict[str, int]
    """how many stay in quarantine, by today's reason"""


@dataclass
class _Retried:
    """The part of a retry that concerns one ingestion run."""

    run: Run
    outcomes: dict[int, str] = field(default_factory=dict)
    """by quarantine id"""


def retry(
    log: RawLog,
    selection: Selection,
    *,
    clock: Clock,
    who: str,
    device: str | None = None,
    accept_clock: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> RetryReport:
    """Read and judge the selected refused records again; take those that pass.

    ``device``: give them to this phone. ``accept_clock``: the phone's clock is right and a stated time of receipt that
    clashes with it is wrong, so the record counts as received now. Both need a selection, since they would else be
    said of everything. Records that state no time of receipt are received now, or as their run was told (as if live).

    Raises InputError for an override without a selection, NotFoundError for an id that is not in quarantine.
    """
    check_override(selection, device, accept_clock)
    with log.locked(clock) as known:
        now = clock()
        chosen = _chosen(log, selection)
        number = _begin(log, now, who, device, accept_clock)
        done: list[_Retried] = []
        left: Counter[str] = Counter()
        try:
            tried = 0
            for row, ids in chosen:
                part = _Retried(Run(row.id, row.source, now, row.as_if_live_lag_s, log.engine, known))
                done.append(part)
                for records in _read(log, ids):
                    left += _again(part, row, records, device, accept_clock)
                    tried += len(records)
                    progress(tried, sum(len(ids) for _, ids in chosen))
            outcomes = Counter(outcome for part in done for outcome in part.outcomes.values())
            if outcomes:
                _commit(log, number, done, clock(), tried)
        except BaseException:
            _undo(log, known, number, done)
            raise
        if not outcomes:
            _undo(log, known, number, done)
        return RetryReport(number if outcomes else None, tried, dict(outcomes), dict(left))


def check_override(selection: Selection, device: str | None, accept_clock: bool) -> None:
    """Raises InputError for an override of everything."""
    if selection.everything and (device is not None or accept_clock):
        raise InputError(
            "an override for all of quarantine at once", mend="say which: IDs, --run, --reason or --source"
        )


def _chosen(log: RawLog, selection: Selection) -> list[tuple[IngestionRun, list[int]]]:
    """The ids to try, by run, oldest first. Raises NotFoundError for an id that was asked for and is not there."""
    query = selection.of(select(QuarantinedRecord.id, QuarantinedRecord.run_id)).order_by(QuarantinedRecord.id)
    runs: dict[int, list[int]] = {}
    with transaction(log.engine) as session:
        for record, run in session.execute(query):
            runs.setdefault(run, []).append(record)
        missing = set(selection.ids or ()) - {record for ids in runs.values() for record in ids}
        if missing:
            raise NotFoundError(f"no record {min(missing)} in quarantine", mend="see parked quarantine list")
        rows = [session.get_one(IngestionRun, run) for run in sorted(runs)]
        session.expunge_all()
    return [(row, runs[row.id]) for row in rows]


def _begin(log: RawLog, now: datetime, who: str, device: str | None, accept_clock: bool) -> int:
    """The row by which the next writer finds out, should we die, that files of ours may lie about."""
    row = QuarantineRetry(status=RUNNING, started_at=now, who=who, device=device, accept_clock=accept_clock)
    with transaction(log.engine) as session:
        session.add(row)
        session.flush()
        return row.id


def _read(log: RawLog, ids: Sequence[int]) -> Iterator[list[QuarantinedRecord]]:
    for start in range(0, len(ids), _CHUNK):
        query = select(QuarantinedRecord).where(QuarantinedRecord.id.in_(ids[start : start + _CHUNK]))
        with transaction(log.engine) as session:
            records = list(session.scalars(query.order_by(QuarantinedRecord.id)))
            session.expunge_all()
        yield records


def _again(
    part: _Retried, row: IngestionRun, records: list[QuarantinedRecord], device: str | None, accept_clock: bool
) -> Counter[str]:
    """Try some records of one run; how many stay, by reason."""
    left = Counter({CUT: sum(not record.whole for record in records)})
    records = [record for record in records if record.whole]
    reader = READERS.get(row.reader, READERS["parquet"])  # what came from no file was kept as its columns
    batch, reasons = _batch(reader, records, 0, row.source, device or row.device)
    passed: list[tuple[str, pa.Table]] = []
    seen = set(reasons)
    for kind, candidates in candidates_of(batch):
        ours = np.array([record.kind in (None, kind) for record in records])
        candidates = candidates.filter(pa.array(ours[candidates["source_offset"].to_numpy()]))
        if accept_clock:
            candidates = _trusting(candidates, part.run.now)
        checked = part.run.check(kind, candidates)
        for place, reason in zip(checked.refused["source_offset"].to_pylist(), checked.reasons, strict=True):
            reasons.setdefault(place, str(reason))
        seen.update(candidates["source_offset"].to_pylist())
        passed.append((kind, checked.accepted))
    whole = np.array([place not in reasons for place in range(len(records))], dtype=np.bool_)
    offsets = np.array([record.source_offset for record in records], dtype=np.int64)
    for kind, accepted in passed:
        accepted = accepted.filter(pa.array(whole[accepted["source_offset"].to_numpy()]))
        places = accepted["source_offset"].to_numpy()
        where = accepted.column_names.index("source_offset")
        fresh = part.run.take(kind, accepted.set_column(where, "source_offset", pa.array(offsets[places])))
        for place, new in zip(places.tolist(), fresh.tolist(), strict=True):
            if new or records[place].id not in part.outcomes:
                part.outcomes[records[place].id] = ACCEPTED if new else DUPLICATE
    for place, record in enumerate(records):
        if place not in seen:
            part.outcomes[record.id] = IGNORED
            part.run.counts.ignored += 1
    return +left + Counter(reasons.values())


def _batch(
    reader: Reader, records: Sequence[QuarantinedRecord], start: int, source: str, device: str | None
) -> tuple[Batch, dict[int, str]]:
    """The candidates of kept records (``source_offset`` counts from ``start``), and the reasons of those that are none.

    A record that upsets the reader is found by halving, and stays.
    """
    if not records:
        return Batch(), {}
    try:
        batch = reader.again([Kept(r.payload, r.layout) for r in records], source=source, device=device)
    except (ValueError, LookupError, TypeError, AttributeError, SyntaxError, pa.ArrowException):  # ParseError is Syntax
        if len(records) == 1:
            return Batch(), {start: records[0].reason}
        middle = len(records) // 2
        left, left_reasons = _batch(reader, records[:middle], start, source, device)
        right, right_reasons = _batch(reader, records[middle:], start + middle, source, device)
        both = [pa.concat_tables([getattr(b, kind) for b in (left, right)]) for kind in ("fixes", "motion")]
        return Batch(fixes=both[0], motion=both[1]), left_reasons | right_reasons
    reasons = {start + entry.source_offset: str(entry.reason) for entry in batch.malformed}
    return Batch(fixes=_moved(batch.fixes, start), motion=_moved(batch.motion, start)), reasons


def _moved(table: pa.Table, by: int) -> pa.Table:
    where = table.column_names.index("source_offset")
    return table.set_column(where, table.schema.field(where), pc.add(table["source_offset"], by))


def _trusting(candidates: pa.Table, now: datetime) -> pa.Table:
    """``candidates`` without the times of receipt that clash with when they were measured, or with now."""
    received = candidates["received_at"]
    us, event = received.cast(pa.int64()), candidates["event_time"].cast(pa.int64())
    clash = pc.or_kleene(pc.less(us, pc.subtract(event, CLOCK_LEAD_US)), pc.greater(us, to_us(now) + CLOCK_LEAD_US))
    where = candidates.column_names.index("received_at")
    kept: Any = pc.if_else(pc.fill_null(clash, False), pa.scalar(None, TIME), received)
    return candidates.set_column(where, candidates.schema.field(where), kept)


def _commit(log: RawLog, number: int, done: Sequence[_Retried], finished: datetime, tried: int) -> None:
    with transaction(log.engine) as session:
        marks = [
            {"id": record, "retry_id": number, "outcome": outcome}
            for part in done
            for record, outcome in part.outcomes.items()
        ]
        session.execute(update(QuarantinedRecord), marks)
        for part in done:
            counts, taken = part.run.counts, len(part.outcomes)
            session.add_all(RawSegment(run_id=part.run.id, **vars(segment)) for segment in part.run.segments)
            row = session.get_one(IngestionRun, part.run.id)
            row.read += counts.accepted + counts.duplicates - taken  # one broken record may hold a fix and a motion
            row.accepted += counts.accepted
            row.duplicates += counts.duplicates
            row.ignored += counts.ignored
            row.quarantined -= taken
            row.as_if_live = row.as_if_live or part.run.as_if_live
        retry_row = session.get_one(QuarantineRetry, number)
        retry_row.status, retry_row.finished_at = DONE, finished
        retry_row.tried, retry_row.taken = tried, len(marks)


def _undo(log: RawLog, known: Known, number: int, done: Sequence[_Retried]) -> None:
    """As if it had never begun."""
    with transaction(log.engine) as session:
        session.execute(delete(QuarantineRetry).where(QuarantineRetry.id == number))
    for part in done:
        for segment in part.run.segments:
            (known.raw_dir / segment.path).unlink(missing_ok=True)
