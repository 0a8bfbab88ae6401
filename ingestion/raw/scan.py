"""Reading raw segments: each record once, by the earliest receipt that the segments know of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ingestion.raw.content import from_hex
from ingestion.raw.seen import best_of_each, ranks_of
from ingestion.raw.segments import EARLIER, REPEATING, SCHEMAS, Segment, check_intact, unreadable_segment
from parked.files import PARQUET_DAMAGE

_VERIFIED: Final = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)


def scan(
    raw_dir: Path,
    segments: Sequence[Segment],
    kind: str,
    *,
    devices: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    received_by: datetime | None = None,
) -> pa.Table:
    """The records of a ``kind`` (fixes, motion) in ``segments``, in their order: of all devices or some, all columns
    (of RAW_FIXES or RAW_MOTION) or some, as received by a moment (aware UTC, inclusive).

    A record with an earlier receipt (``EARLIER``) comes last, by the earliest, also where it was held before these
    segments. Raises InternalError where a segment is missing or damaged.
    """
    schema = SCHEMAS[kind]
    names = list(columns) if columns is not None else schema.names
    conditions = []
    if devices is not None:
        conditions.append(ds.field("device_id").isin(pa.array(devices, pa.string())))
    again = _read(raw_dir, segments, EARLIER + kind, schema.names, conditions)
    if again.num_rows:
        ranks = ranks_of(again["received_at"], again["as_if_live"])
        again = again.filter(pa.array(best_of_each(from_hex(again["payload_hash"]), ranks)))
        conditions.append(~ds.field("payload_hash").isin(again["payload_hash"].combine_chunks()))
    if received_by is not None:
        by_then = pa.scalar(received_by, schema.field("received_at").type)
        conditions.append(ds.field("received_at") <= by_then)
        again = again.filter(pc.less_equal(again["received_at"], by_then))
    once = _read(raw_dir, segments, kind, names, conditions)
    return pa.concat_tables([once, again.select(names)]) if again.num_rows else once


def receipts(
    raw_dir: Path, segments: Sequence[Segment], kind: str, *, columns: Sequence[str], rows: int
) -> Iterator[pa.Table]:
    """Every receipt of the records of a ``kind`` (fixes, motion) in ``segments``, at most ``rows`` at a time; columns
    that are ``REPEATING`` as dictionaries.

    A record of which the log learned of an earlier receipt (``EARLIER``) comes once for each, as it was then: so
    nothing has to be kept in mind. Raises InternalError as ``scan``, also after some tables.
    """
    words = [name for name in columns if name in REPEATING]
    for segment in segments:
        if segment.kind.removeprefix(EARLIER) != kind:
            continue
        check_intact(raw_dir, segment)
        path = raw_dir / segment.path
        try:
            with pq.ParquetFile(path, read_dictionary=words, page_checksum_verification=True) as file:
                for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
                    yield pa.Table.from_batches([batch])
        except PARQUET_DAMAGE as error:
            raise unreadable_segment(path, error) from error


def received_earlier(raw_dir: Path, segments: Sequence[Segment]) -> list[str]:
    """Devices of which ``segments`` have a record with a receipt earlier than was known before, ascending.

    Raises InternalError as ``scan``.
    """
    devices: set[str] = set()
    for kind in SCHEMAS:
        if kind.startswith(EARLIER):
            devices.update(pc.unique(_read(raw_dir, segments, kind, ["device_id"], [])["device_id"]).to_pylist())
    return sorted(devices)


def _read(
    raw_dir: Path, segments: Sequence[Segment], kind: str, names: list[str], conditions: list[ds.Expression]
) -> pa.Table:
    schema = SCHEMAS[kind]
    segments = [segment for segment in segments if segment.kind == kind]
    if not segments:
        return schema.empty_table().select(names)
    for segment in segments:
        check_intact(raw_dir, segment)
    paths = [str(raw_dir / segment.path) for segment in segments]
    condition = reduce(and_, conditions) if conditions else None
    try:
        table = ds.dataset(paths, schema=schema, format=_VERIFIED).to_table(columns=names, filter=condition)
        return table.cast(pa.schema([schema.field(name) for name in names]))
    except PARQUET_DAMAGE as error:
        raise unreadable_segment(raw_dir, error) from error
