"""Tables of fixes and motion -> the kernel's records in canonical order, whatever order and copies came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.facts.kernel.order import bounds_of, order, rises
from ingestion.facts.kernel.records import NULL_US, REFUSALS, take_fixes, take_motion
from ingestion.facts.kernel.types import RECORD
from ingestion.readers.parsing import as_utc_us, in_calendar
from parked.errors import InputError
from parked.files import check_once
from parked.schemas import ACTIVITIES, FIXES, MOTION

Records = npt.NDArray[Any]
"""A numpy array of ``RECORD``."""
Places = npt.NDArray[np.int64]
"""int64 [devices]: where in an array the next record of each device code goes; moved on with every record."""
_NOWHERE: Final[Places] = np.zeros(0, np.int64)
"""No places: records go one after another."""
_NEW: Final = -2
"""Instead of a device's code, until a row has it."""


@dataclass(frozen=True)
class Canonical:
    """Records of all devices, sorted by (device, time, fixes first, best accuracy, ...), copies collapsed."""

    devices: list[str]
    """ascending"""
    bounds: npt.NDArray[np.int64]
    """[devices + 1] first record of each device"""
    records: Records
    refused: dict[str, int]
    """rows that cannot enter the machine, by reason code (they stay in raw)"""

    def of(self, device: str) -> Records:
        """The records of one device; none where it is not there."""
        if device not in self.devices:
            return self.records[:0]
        code = self.devices.index(device)
        return self.records[self.bounds[code] : self.bounds[code + 1]]


class Taker:
    """Takes tables of measurements as records, chunk by chunk; devices get ``codes`` in order of appearance."""

    def __init__(self, *, lag_s: float = 0.0) -> None:
        """``lag_s``: stated lag in seconds where received_at is null ("as if live")."""
        self.codes: dict[str, int] = {}
        self._last: tuple[pa.Array, npt.NDArray[np.int32]] | None = None
        """distinct ids as they last came, and their codes"""
        self._lag_us = round(lag_s * 1e6)
        self._refused = np.zeros(len(REFUSALS), np.int64)

    def sibling(self) -> Taker:
        """One with codes and counts of its own."""
        other = Taker()
        other._lag_us = self._lag_us
        return other

    def count(self, other: Taker) -> None:
        """Add what another one refused."""
        self._refused += other._refused

    def fixes(self, table: pa.Table, name: str = "fixes", out: Records | None = None, at: Places = _NOWHERE) -> Records:
        """The usable rows of a FIXES table as records in the rows' order, at the head of ``out`` where given.

        ``at``: they go to their devices' places in ``out`` instead (what is returned is not them then). Raises
        InputError for wrong columns.
        """
        table, marked = check_columns(table, FIXES, name), _marked(table, name)
        out = np.empty(table.num_rows, RECORD) if out is None else out
        columns = (_floats(table[c]) for c in ("lat", "lon", "accuracy_m", "speed_mps"))
        n = take_fixes(
            self.device(table["device_id"]),
            _us(table["event_time"]),
            *columns,
            _us(table["received_at"]),
            marked,
            self._lag_us,
            out,
            at,
            self._refused,
        )
        return out[:n]

    def motion(
        self, table: pa.Table, name: str = "motion", out: Records | None = None, at: Places = _NOWHERE
    ) -> Records:
        """The usable rows of a MOTION table as records in the rows' order, at the head of ``out`` where given.

        ``at``: as in ``fixes``. Raises InputError for wrong columns.
        """
        table, marked = check_columns(table, MOTION, name), _marked(table, name)
        out = np.empty(table.num_rows, RECORD) if out is None else out
        words, codes = _codes(table["activity"])
        known = {a: i for i, a in enumerate(ACTIVITIES)}
        activity = np.array([known.get(w, -1) for w in words.to_pylist()] + [-1], np.int8)[codes]
        n = take_motion(
            self.device(table["device_id"]),
            _us(table["event_time"]),
            activity,
            _floats(table["confidence"]),
            _us(table["received_at"]),
            marked,
            self._lag_us,
            out,
            at,
            self._refused,
        )
        return out[:n]

    @property
    def refused(self) -> dict[str, int]:
        """Rows that could not be used so far, by reason code."""
        return {reason: int(n) for reason, n in zip(REFUSALS, self._refused, strict=True) if n}

    def device(self, column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
        """Codes of device ids, int32; -1 where there is none."""
        words, rows = _codes(column)
        if self._last is None or not self._last[0].equals(words):
            self._last = words, np.array([*[_NEW] * len(words), -1], np.int32)
        codes = self._last[1]
        seen = np.zeros(len(codes), bool)
        seen[rows] = True  # a dictionary may have words that no row has: all those of the file, perhaps
        new = np.flatnonzero(seen & (codes == _NEW))
        texts = words.take(pa.array(new)).to_pylist()
        codes[new] = [self.codes.setdefault(text, len(self.codes)) if text else -1 for text in texts]
        return np.take(codes, rows, mode="wrap")  # -1 is the last one's place

    def restart(self, codes: Mapping[str, int]) -> None:
        """Go on with these codes."""
        self.codes, self._last = dict(codes), None


def canonical_of(records: Records, codes: dict[str, int], refused: dict[str, int]) -> Canonical:
    """Records of any order, whose ``device`` is a code of ``codes``, in canonical order (reuses ``records``)."""
    devices = sorted(codes)
    if [codes[d] for d in devices] != list(range(len(devices))):
        rank = np.empty(max(codes.values()) + 1, np.int32)
        rank[[codes[d] for d in devices]] = np.arange(len(devices), dtype=np.int32)
        records["device"] = rank[records["device"]]
    if rises(records):
        return Canonical(devices, bounds_of(records, len(devices)), records, refused)
    bounds = order(records, len(devices), np.empty(len(records), RECORD))
    return Canonical(devices, bounds, records[: bounds[-1]], refused)


def canonicalise(
    fixes: pa.Table,
    motion: pa.Table | None = None,
    *,
    lag_s: float = 0.0,
    names: tuple[str, str] = ("fixes", "motion"),
) -> Canonical:
    """Kernel records from FIXES and MOTION tables (columns as in ``parked.schemas``; rows in any order).

    ``received_at`` null means "as if live": received ``lag_s`` seconds after measured. ``names``: what errors call
    the two tables. Raises InputError for missing or unconvertible columns.
    """
    taker = Taker(lag_s=lag_s)
    records = np.empty(fixes.num_rows + (motion.num_rows if motion is not None else 0), RECORD)
    n = len(taker.fixes(fixes, names[0], records))
    if motion is not None:
        n += len(taker.motion(motion, names[1], records[n:]))
    return canonical_of(records[:n], taker.codes, taker.refused)


def check_columns(table: pa.Table, schema: pa.Schema, source: str) -> pa.Table:
    """``table`` with the columns of ``schema`` in its types; missing nullable columns are filled with null.

    Dictionary-encoded text stays encoded; device ids that are whole numbers become text; moments of any unit are held
    at years 1-9999, beyond which they would overflow. Raises InputError naming the first missing, unconvertible or
    doubled column.
    """
    check_once(source, [name for name in table.column_names if name in (*schema.names, "as_if_live")])
    columns = []
    for wanted in schema:
        if wanted.name not in table.column_names:
            if wanted.nullable:
                columns.append(pa.nulls(table.num_rows, wanted.type))
                continue
            needed = ", ".join(field.name for field in schema if not field.nullable)
            raise InputError(f"{source}: no column {wanted.name!r}", mend=f"it must have {needed}")
        column = table.column(wanted.name)
        if wanted.name == "device_id":
            column = ids_as_text(column)
        if not _alike(column.type, wanted.type):
            raise InputError(f"{source}: column {wanted.name!r} is {column.type}, not {wanted.type}", mend="convert it")
        if pa.types.is_timestamp(wanted.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
            raise InputError(f"{source}: column {wanted.name!r} has no time zone", mend="give timestamps in UTC")
        if pa.types.is_timestamp(column.type):
            columns.append(in_calendar(column if column.type == wanted.type else as_utc_us(column)))
            continue
        same = column.type == wanted.type or (
            pa.types.is_dictionary(column.type) and column.type.value_type == wanted.type
        )
        try:
            columns.append(column if same else pc.cast(column, wanted.type, safe=False))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise InputError(
                f"{source}: column {wanted.name!r} is {column.type}, not {wanted.type}", mend="convert it"
            ) from None
    return pa.table(columns, names=schema.names)


def ids_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Device ids; those that are whole numbers as text, as ingestion reads them."""
    plain = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return column.cast(plain).cast(pa.string()) if pa.types.is_integer(plain) else column


def _alike(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of ``given`` mean what ``wanted`` means: numbers are no times, text no number, bytes no text."""
    if pa.types.is_dictionary(given):
        given = given.value_type
    if pa.types.is_null(given):
        return True
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(given))
    if pa.types.is_boolean(wanted):
        return bool(pa.types.is_boolean(given))
    if pa.types.is_floating(wanted):
        return bool(pa.types.is_floating(given) or pa.types.is_integer(given) or pa.types.is_decimal(given))
    return bool(pa.types.is_string(given) or pa.types.is_large_string(given))


def _marked(table: pa.Table, source: str) -> npt.NDArray[np.bool_]:
    """Rows whose received_at is already known to be stated, not observed (raw segments say so); empty where none is.

    Raises InputError where the column is not of truth values.
    """
    if "as_if_live" not in table.column_names:
        return np.zeros(0, bool)
    column = table["as_if_live"]
    if not _alike(column.type, pa.bool_()):
        raise InputError(f"{source}: column 'as_if_live' is {column.type}, not bool", mend="convert or drop it")
    return np.asarray(pc.fill_null(column.cast(pa.bool_()), False).combine_chunks()).astype(bool)


def _flat(column: pa.ChunkedArray, missing: Any) -> Any:
    """A column as one numpy array without copying where it can be; nulls become ``missing``."""
    if column.null_count:
        column = pc.fill_null(column, missing)
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return np.asarray(array)


def _us(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """int64 microseconds of a timestamp column, NULL_US where there is none."""
    values = pa.chunked_array([c.view(pa.int64()) for c in column.chunks], pa.int64())
    return np.asarray(_flat(values, NULL_US), np.int64)


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    return np.asarray(_flat(column, float("nan")), np.float64)


def _codes(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """(distinct words, position of each row's word or -1)."""
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    if encoded.num_chunks != 1:
        encoded = encoded.unify_dictionaries().combine_chunks()
        encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) and encoded.num_chunks else encoded
    else:
        encoded = encoded.chunk(0)
    if isinstance(encoded, pa.ChunkedArray):  # no rows, no chunks
        return pa.array([], pa.string()), np.zeros(0, np.int64)
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, -1)
    return encoded.dictionary, np.asarray(indices)
