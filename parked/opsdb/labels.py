"""Labels and their coverage: judgments kept apart from facts, attached by time and place, never by row id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from parked.errors import InputError, InternalError
from parked.files import check_once
from parked.opsdb.tables import Label, LabelCoverage
from parked.schemas import COVERAGE, LABELS

VERDICTS: Final = ("parked", "not_parked")
SOURCES: Final = ("truth", "person", "motion", "mode")

_CHUNK: Final = 10_000
"""Rows per INSERT batch: bounds memory, far above where the round trips cost."""


class AddedLabels(NamedTuple):
    """What an import did: rows new to the database, and rows it already held."""

    added: int
    duplicates: int


def add_labels(engine: Engine, labels: pa.Table, *, keys: Sequence[str] | None = None, note: str = "") -> AddedLabels:
    """Add judgments (``LABELS``, columns in any order); a judgment already there is counted and left as it is.

    Sameness is the idempotency key: ``keys[i]`` where given (a client's own request id), else a hash over device,
    moment, verdict, source and place. ``known_at`` and ``weight`` are not part of it: the same judgment told twice
    was known when it was first told. All rows are added, or none.

    Raises InputError for a missing column, a wrong type or value, naming the first offending row (0-based).
    """
    rows = check_labels(labels).to_pylist()
    if keys is not None and len(keys) != len(rows):
        raise InputError(f"{len(keys)} keys for {len(rows)} labels", mend="give one key per label")
    for index, row in enumerate(rows):
        row["idempotency_key"] = keys[index] if keys is not None else _content_key(row)
        row["note"] = note
    added = _insert_new(engine, Label, rows, ["idempotency_key"])
    return AddedLabels(added=added, duplicates=len(rows) - added)


def read_labels(engine: Engine, *, known_by: datetime | None = None, device: str | None = None) -> pa.Table:
    """All judgments (``LABELS``), ordered by (device_id, at, id); with ``known_by``, those known at that moment;
    with ``device``, those of one phone.
    """
    columns = [getattr(Label, name) for name in LABELS.names]
    query = select(*columns).order_by(Label.device_id, Label.at, Label.id)
    if known_by is not None:
        query = query.where(Label.known_at <= known_by)
    if device is not None:
        query = query.where(Label.device_id == device)
    return _fetch(engine, query, LABELS)


def add_coverage(engine: Engine, coverage: pa.Table) -> AddedLabels:
    """Add spans of complete labels (``COVERAGE``, columns in any order); a span already there is left as it is.

    Raises InputError for a missing column, a wrong type or value, or a span that ends before it begins.
    """
    table = check_coverage(coverage)
    rows = [
        {"device_id": row["device_id"], "source": row["source"], "from_at": row["from"], "to_at": row["to"]}
        for row in table.to_pylist()
    ]
    added = _insert_new(engine, LabelCoverage, rows, ["device_id", "source", "from_at", "to_at"])
    return AddedLabels(added=added, duplicates=len(rows) - added)


def read_coverage(engine: Engine) -> pa.Table:
    """All spans (``COVERAGE``), ordered by (device_id, from, to, source)."""
    c = LabelCoverage
    query = select(c.device_id, c.from_at, c.to_at, c.source).order_by(c.device_id, c.from_at, c.to_at, c.source)
    return _fetch(engine, query, COVERAGE)


def check_labels(labels: pa.Table) -> pa.Table:
    """``labels`` as ``LABELS``: right columns, types and values.

    Raises InputError naming the first fault.
    """
    table = _conform(labels, LABELS, "labels")
    _require(table, pc.greater(pc.utf8_length(table["device_id"]), 0), "labels", "an empty device_id")
    _require(table, _one_of(table["verdict"], VERDICTS), "labels", f"a verdict that is none of {', '.join(VERDICTS)}")
    _require(table, _one_of(table["source"], SOURCES), "labels", f"a source that is none of {', '.join(SOURCES)}")
    weight = table["weight"]
    _require(
        table, pc.and_(pc.is_finite(weight), pc.greater_equal(weight, 0)), "labels", "a weight below 0 or not finite"
    )
    _require(
        table,
        pc.equal(pc.is_null(table["lat"]), pc.is_null(table["lon"])),
        "labels",
        "only one of lat and lon",
    )
    for name, limit in (("lat", 90.0), ("lon", 180.0)):
        inside = pc.less_equal(pc.abs(table[name]), limit)  # NaN compares false
        _require(table, pc.fill_null(inside, True), "labels", f"a {name} outside -{limit:g}..{limit:g}")
    return table


def check_coverage(coverage: pa.Table) -> pa.Table:
    """``coverage`` as ``COVERAGE``: right columns, types and values.

    Raises InputError naming the first fault.
    """
    table = _conform(coverage, COVERAGE, "coverage")
    _require(table, pc.greater(pc.utf8_length(table["device_id"]), 0), "coverage", "an empty device_id")
    _require(table, _one_of(table["source"], SOURCES), "coverage", f"a source that is none of {', '.join(SOURCES)}")
    _require(table, pc.less_equal(table["from"], table["to"]), "coverage", "a span that ends before it begins")
    return table


def _content_key(row: dict[str, Any]) -> str:
    """Hex SHA-256 (first 32 digits) of the judgment itself; ``repr`` of a float is exact and stable.

    A zero has no sign: -0.0 degrees is the same place.
    """
    place = (repr(None if row[name] is None else row[name] + 0.0) for name in ("lat", "lon"))
    parts = (row["device_id"], row["at"].isoformat(), row["verdict"], row["source"], *place)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _conform(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise InputError(f"{what}: no column {', '.join(missing)}", mend=f"it needs {', '.join(schema.names)}")
    check_once(what, [name for name in table.column_names if name in schema.names])
    columns = []
    for field in schema:
        column = table[field.name]
        if pa.types.is_timestamp(field.type) and not (pa.types.is_timestamp(column.type) and column.type.tz):
            raise InputError(f"{what}: column {field.name} is {column.type}", mend=f"store it as {field.type}")
        try:
            column = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            raise InputError(
                f"{what}: column {field.name} is {column.type}", mend=f"store it as {field.type}"
            ) from None
        if not field.nullable and column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise InputError(f"{what}: {field.name} is empty in row {row}", mend="fill it or leave the row out")
        columns.append(column)
    return pa.table(columns, schema=schema)


def _one_of(column: Any, allowed: Sequence[str]) -> Any:
    return pc.is_in(column, value_set=pa.array(allowed, pa.string()))


def _require(table: pa.Table, right: Any, what: str, fault: str) -> None:
    if table.num_rows and not pc.all(right).as_py():
        raise InputError(f"{what}: row {pc.index(right, False).as_py()} has {fault}", mend="correct or leave it out")


def _insert_new(engine: Engine, model: type[Any], rows: list[dict[str, Any]], unique: list[str]) -> int:
    """Insert the rows whose ``unique`` columns are new; answers how many. One transaction."""
    dialects: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    if engine.dialect.name not in dialects:
        raise InternalError(f"labels on {engine.dialect.name}: only SQLite and PostgreSQL are supported")
    insert = dialects[engine.dialect.name](model.__table__)
    # Rows are counted as they come back, which those in conflict do not: of many, PostgreSQL's driver counts none (-1).
    statement = insert.on_conflict_do_nothing(index_elements=unique).returning(*model.__table__.primary_key)
    added = 0
    with engine.begin() as connection:
        for start in range(0, len(rows), _CHUNK):
            added += len(connection.execute(statement, rows[start : start + _CHUNK]).all())
    return added


def _fetch(engine: Engine, query: Any, schema: pa.Schema) -> pa.Table:
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
