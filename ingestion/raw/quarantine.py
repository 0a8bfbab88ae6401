"""Looking into quarantine. Rows of a run that has not finished are not shown: they may yet be undone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select

from ingestion.raw.log import DONE
from parked.errors import NotFoundError
from parked.opsdb.tables import IngestionRun, QuarantinedRecord


@dataclass(frozen=True)
class Refused:
    """One refused record."""

    id: int
    run_id: int
    source: str
    source_offset: int
    """0-based number of the record in its source"""
    reason: str
    detail: str
    payload: str
    """as sent, as far as the source's format allows"""
    created_at: datetime


def count_by_reason(engine: Engine, *, run: int | None = None, reason: str | None = None) -> dict[str, int]:
    """How many records of each reason, the most frequent first."""
    query = _narrow(select(QuarantinedRecord.reason, func.count()), run, reason)
    query = query.group_by(QuarantinedRecord.reason).order_by(func.count().desc(), QuarantinedRecord.reason)
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def find(engine: Engine, *, run: int | None = None, reason: str | None = None, limit: int = 50) -> list[Refused]:
    """Refused records, newest first."""
    query = _narrow(select(*_COLUMNS), run, reason).order_by(QuarantinedRecord.id.desc()).limit(limit)
    with engine.connect() as connection:
        return [Refused(*row) for row in connection.execute(query)]


def get(engine: Engine, record: int) -> Refused:
    """One refused record. Raises NotFoundError."""
    query = _narrow(select(*_COLUMNS), None, None).where(QuarantinedRecord.id == record)
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"no record {record} in quarantine", mend="see parked quarantine list")
    return Refused(*row)


_COLUMNS = [getattr(QuarantinedRecord, name) for name in Refused.__dataclass_fields__]


def _narrow(query: Any, run: int | None, reason: str | None) -> Any:
    query = query.join(IngestionRun, IngestionRun.id == QuarantinedRecord.run_id).where(IngestionRun.status == DONE)
    if run is not None:
        query = query.where(QuarantinedRecord.run_id == run)
    return query if reason is None else query.where(QuarantinedRecord.reason == reason)
