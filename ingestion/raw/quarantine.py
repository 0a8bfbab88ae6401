"""Looking into quarantine. Rows of a run that has not finished are not shown: they may yet be undone."""

from __future__ import annotations

from collections.abc import Sequence
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
    kind: str | None
    """fixes or motion; None where the record could not be read at all"""
    reason: str
    detail: str
    payload: str
    """as sent, as far as the source's format allows"""
    whole: bool
    """is the payload all of the record? (an endless line is cut)"""
    created_at: datetime
    retry_id: int | None
    """the retry that took it; None while it is in quarantine"""
    outcome: str | None
    """what it became then: accepted, duplicate or ignored"""


@dataclass(frozen=True)
class Selection:
    """Which refused records: all that match whatever is given."""

    ids: Sequence[int] | None = None
    run: int | None = None
    reason: str | None = None
    source: str | None = None
    """part of the source's name"""
    taken: bool = False
    """those a retry has taken, instead of those in quarantine"""

    @property
    def everything(self) -> bool:
        """Does it leave nothing out?"""
        return self.ids is None and self.run is None and self.reason is None and self.source is None

    def of(self, query: Any) -> Any:
        """``query`` (over ``QuarantinedRecord``) narrowed to it."""
        query = query.join(IngestionRun, IngestionRun.id == QuarantinedRecord.run_id).where(IngestionRun.status == DONE)
        column = QuarantinedRecord.retry_id
        query = query.where(column.is_not(None) if self.taken else column.is_(None))
        if self.ids is not None:
            query = query.where(QuarantinedRecord.id.in_(self.ids))
        if self.run is not None:
            query = query.where(QuarantinedRecord.run_id == self.run)
        if self.reason is not None:
            query = query.where(QuarantinedRecord.reason == self.reason)
        if self.source is not None:
            query = query.where(QuarantinedRecord.source.contains(self.source, autoescape=True))
        return query


def count_by_reason(engine: Engine, selection: Selection = Selection()) -> dict[str, int]:
    """How many records of each reason, the most frequent first."""
    return _count(engine, QuarantinedRecord.reason, selection)


def count_by_source(engine: Engine, selection: Selection = Selection()) -> dict[str, int]:
    """How many records of each source, the most frequent first."""
    return _count(engine, QuarantinedRecord.source, selection)


def find(engine: Engine, selection: Selection = Selection(), *, limit: int = 50) -> list[Refused]:
    """Refused records, newest first."""
    query = selection.of(select(*_COLUMNS)).order_by(QuarantinedRecord.id.desc()).limit(limit)
    with engine.connect() as connection:
        return [Refused(*row) for row in connection.execute(query)]


def get(engine: Engine, record: int) -> Refused:
    """One refused record, taken by a retry or not. Raises NotFoundError."""
    for taken in (False, True):
        found = find(engine, Selection(ids=[record], taken=taken))
        if found:
            return found[0]
    raise NotFoundError(f"no record {record} in quarantine", mend="see parked quarantine list")


_COLUMNS = [getattr(QuarantinedRecord, name) for name in Refused.__dataclass_fields__]


def _count(engine: Engine, column: Any, selection: Selection) -> dict[str, int]:
    query = selection.of(select(column, func.count())).group_by(column).order_by(func.count().desc(), column)
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
