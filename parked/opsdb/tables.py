"""Tables of the operations database (SQLAlchemy 2, typed). Times are UTC; SQLite and PostgreSQL alike.

Only small rows live here: sensor data, facts, features and predictions are Parquet files.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, ForeignKey, Index, MetaData, String, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every dialect (SQLite drops the offset; here it is put back)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: times are aware UTC")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware UTC out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Declarative base with named constraints (Alembic needs names to change them)."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime, dict[str, Any]: JSON, str: String}


class IngestionRun(Base):
    """One ``parked ingest`` of one file. read = accepted + duplicates + quarantined, always."""

    __tablename__ = "ingestion_run"

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str]
    reader: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]
    """running, done, failed"""
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    read: Mapped[int] = mapped_column(default=0)
    accepted: Mapped[int] = mapped_column(default=0)
    duplicates: Mapped[int] = mapped_column(default=0)
    quarantined: Mapped[int] = mapped_column(default=0)
    ignored: Mapped[int] = mapped_column(default=0)
    """records of another kind than fix or motion (a tracker's state changes): seen, not read"""
    device: Mapped[str | None]
    """the device the whole file was given to, where the records name none"""
    as_if_live: Mapped[bool] = mapped_column(default=False)
    as_if_live_lag_s: Mapped[float | None]
    """seconds after measurement that records without a time of receipt were taken as received"""


class RawSegment(Base):
    """The ledger of immutable raw files. A segment not listed here does not exist."""

    __tablename__ = "raw_segment"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("ingestion_run.id"), index=True)
    kind: Mapped[str]
    """fixes or motion; earlier_fixes or earlier_motion: records of before, received earlier than was known"""
    path: Mapped[str] = mapped_column(unique=True)
    """relative to the raw folder"""
    sha256: Mapped[str]
    rows: Mapped[int]
    min_event_time: Mapped[datetime]
    max_event_time: Mapped[datetime]


class QuarantinedRecord(Base):
    """A refused record: kept with its reason, stops nobody else. A retry that takes it says so here."""

    __tablename__ = "quarantine"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("ingestion_run.id"), index=True)
    source: Mapped[str] = mapped_column(index=True)
    source_offset: Mapped[int]
    kind: Mapped[str | None]
    """fixes or motion; null where the record could not be read at all"""
    reason: Mapped[str] = mapped_column(index=True)
    detail: Mapped[str]
    payload: Mapped[str] = mapped_column(Text)
    whole: Mapped[bool] = mapped_column(default=True)
    """is the payload all of the record? (an endless line is cut)"""
    layout: Mapped[str | None] = mapped_column(Text)
    """what the payload cannot be read without: a broken CSV line's column names, as JSON"""
    created_at: Mapped[datetime]
    retry_id: Mapped[int | None] = mapped_column(ForeignKey("quarantine_retry.id"), index=True)
    """the retry that took it; null while it is in quarantine"""
    outcome: Mapped[str | None]
    """accepted, duplicate, or ignored (it turned out to be of another kind)"""


class QuarantineRetry(Base):
    """One ``parked quarantine retry`` that took at least one record, or is under way."""

    __tablename__ = "quarantine_retry"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    """running, done, failed"""
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    who: Mapped[str]
    device: Mapped[str | None]
    """the device the records were given to"""
    accept_clock: Mapped[bool]
    """stated times of receipt that clash with the phone's clock were set aside"""
    tried: Mapped[int] = mapped_column(default=0)
    taken: Mapped[int] = mapped_column(default=0)


class Label(Base):
    """A judgment (``parked.schemas.LABELS``): attaches to facts by time and place, so it survives any replay."""

    __tablename__ = "label"
    __table_args__ = (UniqueConstraint("idempotency_key"), Index(None, "device_id", "at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    idempotency_key: Mapped[str]
    device_id: Mapped[str]
    at: Mapped[datetime]
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    verdict: Mapped[str]
    source: Mapped[str]
    weight: Mapped[float]
    known_at: Mapped[datetime]
    note: Mapped[str] = mapped_column(default="")


class LabelCoverage(Base):
    """A span in which a source's labels of a device are complete (``parked.schemas.COVERAGE``)."""

    __tablename__ = "label_coverage"
    __table_args__ = (UniqueConstraint("device_id", "source", "from_at", "to_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    device_id: Mapped[str]
    source: Mapped[str]
    from_at: Mapped[datetime]
    to_at: Mapped[datetime]


class ModelVersion(Base):
    """A trained model and its present state."""

    __tablename__ = "model_version"

    tag: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(index=True)
    """candidate, shadow, champion, retired, rejected"""
    created_at: Mapped[datetime]
    manifest: Mapped[str]
    """path of the training manifest, relative to home"""
    manifest_sha256: Mapped[str]
    rules_version: Mapped[str]
    feature_service: Mapped[str]
    metrics: Mapped[dict[str, Any]]


class ModelStateChange(Base):
    """Who moved a model from which state to which, and why. Append-only."""

    __tablename__ = "model_state_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(ForeignKey("model_version.tag"), index=True)
    from_state: Mapped[str]
    to_state: Mapped[str]
    at: Mapped[datetime]
    who: Mapped[str]
    why: Mapped[str]


class Publish(Base):
    """One flip of the published pointer (a rollback is one too). Append-only."""

    __tablename__ = "publish"

    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tag: Mapped[str] = mapped_column(ForeignKey("model_version.tag"))
    previous_tag: Mapped[str | None]
    action: Mapped[str]
    """publish, rollback, undo (the one before was not served), withdraw (likewise, and nothing is published now)"""
    at: Mapped[datetime]
    who: Mapped[str]
    why: Mapped[str]


class MonitorRun(Base):
    """One look of the monitor at a window of served predictions."""

    __tablename__ = "monitor_run"

    id: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    window_from: Mapped[datetime]
    window_to: Mapped[datetime]
    rows: Mapped[int]
    model_tag: Mapped[str]
    report_html: Mapped[str | None]
    report_json: Mapped[str | None]
    statistics: Mapped[dict[str, Any]]


class TriggerDecision(Base):
    """What a trigger policy decided, on what it saw, and what was done about it. Append-only."""

    __tablename__ = "trigger_decision"

    id: Mapped[int] = mapped_column(primary_key=True)
    monitor_run_id: Mapped[int | None] = mapped_column(ForeignKey("monitor_run.id"), index=True)
    at: Mapped[datetime]
    policy_version: Mapped[str]
    triggers: Mapped[dict[str, Any]]
    """by trigger name: fired or not, the value seen, the limit"""
    action: Mapped[str]
    """none, refit"""
    outcome: Mapped[str]
    """none, published, rejected, failed"""
    challenger_tag: Mapped[str | None]
    why: Mapped[str]


class Token(Base):
    """A bearer token (``parked.tokens``), known by the hash of it alone. Revoked ones stay, as a record."""

    __tablename__ = "token"
    __table_args__ = (UniqueConstraint("digest"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    """public: names the token in lists"""
    name: Mapped[str]
    digest: Mapped[str]
    """hex SHA-256 of the whole token"""
    devices: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """null: all devices"""
    reads: Mapped[bool]
    writes: Mapped[bool]
    rate_per_s: Mapped[float | None]
    """null: the door's own limit; 0: none"""
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]


class TokenStamp(Base):
    """One row: how often any token was made or revoked. Servers look at it every second, not at the tokens."""

    __tablename__ = "token_stamp"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]
