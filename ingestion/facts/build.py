"""Fixes + motion -> fact revisions: the public door of the stop engine."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.facts.canonical import Canonical, canonicalise
from ingestion.facts.kernel import arrivals
from ingestion.facts.rules import Rules
from ingestion.facts.stored import of_devices, opened
from ingestion.facts.table import stated_since, to_table
from parked.errors import InputError
from parked.files import PARQUET_DAMAGE, check_once, check_regular, unreadable
from parked.schemas import FACTS


def build_facts(fixes: pa.Table, motion: pa.Table | None, rules: Rules, *, lag_s: float = 0.0) -> pa.Table:
    """The revision log (``parked.schemas.FACTS``) of everything received, exact whatever the order of the rows.

    ``fixes``/``motion``: tables of FIXES/MOTION; ``lag_s``: stated lag in seconds where received_at is null.
    Raises InputError for missing or unconvertible columns.
    """
    return facts_of(canonicalise(fixes, motion, lag_s=lag_s), rules)


def facts_of(records: Canonical, rules: Rules) -> pa.Table:
    """The revision log of canonical records."""
    rows = arrivals.build(records.bounds, records.records, rules.record())
    since = stated_since(records.records, records.bounds)
    return to_table(rows, records.devices, since, rules.version)


def read_table(path: Path, what: str) -> pa.Table:
    """A Parquet file's table. Raises InputError naming the file where it is absent or no Parquet."""
    check_regular(path)
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what} file", mend="check the path") from None
    except PARQUET_DAMAGE as error:
        raise unreadable(path, what, error) from None


def read_facts_file(path: Path, devices: Collection[str]) -> pa.Table:
    """FACTS of some devices from a file, in its order.

    Raises InputError naming the file, and the first column that is missing or of another type.
    """
    check_regular(path)
    file = opened(path)
    check_once(str(path), file.schema_arrow.names)
    _as_facts(path, file.schema_arrow.empty_table())
    try:
        return _as_facts(path, of_devices(path, file, devices, FACTS.names))
    except pa.ArrowInvalid:  # bytes that are no text
        said = f"{path}: column 'device_id' is {file.schema_arrow.field('device_id').type}, not string"
        raise InputError(said, mend="give a file that parked facts build wrote") from None


def _as_facts(path: Path, table: pa.Table) -> pa.Table:
    columns = []
    for field in FACTS:
        if field.name not in table.column_names:
            raise InputError(f"{path}: no column {field.name!r}", mend="give a file that parked facts build wrote")
        try:
            columns.append(table[field.name].cast(field.type))
        except pa.ArrowException:
            said = f"{path}: column {field.name!r} is {table[field.name].type}, not {field.type}"
            raise InputError(said, mend="give a file that parked facts build wrote") from None
    return pa.table(columns, schema=FACTS)
