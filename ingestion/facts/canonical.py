"""Tables of fixes and motion -> the kernel's integer arrays in canonical order, whatever order and copies came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from parked.errors import InputError
from parked.schemas import ACTIVITIES, FIXES, MOTION

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

EARLIEST_MS: Final = 1_104_537_600_000
"""2005-01-01 UTC: no phone of ours measured before; earlier clocks are absurd."""
CLOCK_AHEAD_MS: Final = 86_400_000
"""A fix measured more than a day after it was received has an absurd clock."""


@dataclass(frozen=True)
class Canonical:
    """Records of all devices, sorted by (device, time, fixes first, best accuracy, lat, lon), copies collapsed."""

    devices: list[str]
    bounds: I64
    """[devices + 1] first record of each device"""
    t: I64
    """ms since the epoch"""
    lat: I64
    """1e-7 degrees; 0 for motion"""
    lon: I64
    acc: F64
    """metres, multiple of 0.01; NaN where none"""
    speed: F64
    """m/s, multiple of 0.01; NaN where none"""
    activity: I64
    """-1 for a fix, else the index in ACTIVITIES"""
    confidence: F64
    recv: I64
    """us since the epoch"""
    stated: npt.NDArray[np.bool_]
    """received_at was stated (as if live), not observed"""
    refused: dict[str, int]
    """rows that cannot enter the machine, by reason code (they stay in raw)"""


def check_columns(table: pa.Table, schema: pa.Schema, source: str) -> pa.Table:
    """``table`` with the columns of ``schema`` in its types; missing nullable columns are filled with null.

    Raises InputError naming the first missing or unconvertible column.
    """
    columns = []
    for wanted in schema:
        if wanted.name not in table.column_names:
            if wanted.nullable:
                columns.append(pa.nulls(table.num_rows, wanted.type))
                continue
            needed = ", ".join(field.name for field in schema if not field.nullable)
            raise InputError(f"{source}: no column {wanted.name!r}", mend=f"it must have {needed}")
        column = table.column(wanted.name)
        if not _alike(column.type, wanted.type):
            raise InputError(f"{source}: column {wanted.name!r} is {column.type}, not {wanted.type}", mend="convert it")
        if pa.types.is_timestamp(wanted.type) and pa.types.is_timestamp(column.type) and column.type.tz is None:
            raise InputError(f"{source}: column {wanted.name!r} has no time zone", mend="give timestamps in UTC")
        try:
            columns.append(column if column.type == wanted.type else pc.cast(column, wanted.type, safe=False))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise InputError(
                f"{source}: column {wanted.name!r} is {column.type}, not {wanted.type}", mend="convert it"
            ) from None
    return pa.table(columns, names=schema.names)


def _alike(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of ``given`` mean what ``wanted`` means: numbers are no times, and text is no number."""
    if pa.types.is_dictionary(given):
        given = given.value_type
    if pa.types.is_null(given):
        return True
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(given))
    if pa.types.is_floating(wanted):
        return bool(pa.types.is_floating(given) or pa.types.is_integer(given) or pa.types.is_decimal(given))
    return bool(pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_binary(given))


def _marked(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Rows whose received_at is already known to be stated, not observed (raw segments say so)."""
    if "as_if_live" not in table.column_names:
        return np.zeros(table.num_rows, bool)
    return np.asarray(pc.fill_null(table["as_if_live"], False).combine_chunks()).astype(bool)


def _us(column: pa.ChunkedArray) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Microseconds and a null mask of a timestamp column."""
    missing = np.asarray(pc.is_null(column).combine_chunks()).astype(bool)
    values = pc.fill_null(pc.cast(column, pa.int64()), 0)
    return np.asarray(values.combine_chunks()).astype(np.int64), missing


def _floats(column: pa.ChunkedArray, scale: float) -> F64:
    values = np.asarray(pc.fill_null(column, float("nan")).combine_chunks()).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        rounded: F64 = np.rint(values * scale) / scale
    rounded[~np.isfinite(rounded)] = np.nan
    return rounded


def _codes(column: pa.ChunkedArray) -> tuple[pa.Array, I64]:
    encoded = pc.dictionary_encode(column).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # zero chunks
        encoded = encoded.combine_chunks()
    return encoded.dictionary, np.asarray(pc.fill_null(pc.cast(encoded.indices, pa.int64()), -1)).astype(np.int64)


def canonicalise(
    fixes: pa.Table,
    motion: pa.Table | None = None,
    *,
    lag_s: float = 0.0,
    names: tuple[str, str] = ("fixes", "motion"),
) -> Canonical:
    """Kernel arrays from FIXES and MOTION tables (columns as in ``parked.schemas``; rows in any order).

    ``received_at`` null means "as if live": received ``lag_s`` seconds after measured. ``names``: what errors call
    the two tables. Raises InputError for missing or unconvertible columns.
    """
    marked = [_marked(table) for table in (fixes, motion) if table is not None]
    fixes = check_columns(fixes, FIXES, names[0])
    motion = check_columns(motion, MOTION, names[1]) if motion is not None else MOTION.empty_table()
    n, m = fixes.num_rows, motion.num_rows
    names_f, code_f = _codes(fixes["device_id"])
    names_m, code_m = _codes(motion["device_id"])
    devices = sorted({d for d in names_f.to_pylist() + names_m.to_pylist() if d})
    index = {d: i for i, d in enumerate(devices)}

    def ranked(names: pa.Array, codes: I64) -> I64:
        ranks = np.array([index.get(d, -1) for d in names.to_pylist()] + [-1], dtype=np.int64)
        return ranks[codes]

    device = np.concatenate([ranked(names_f, code_f), ranked(names_m, code_m)])
    event_f, no_time_f = _us(fixes["event_time"])
    event_m, no_time_m = _us(motion["event_time"])
    recv_f, missing_f = _us(fixes["received_at"])
    recv_m, missing_m = _us(motion["received_at"])
    event = np.concatenate([event_f, event_m])
    stated = np.concatenate([missing_f, missing_m])
    recv = np.where(stated, event + round(lag_s * 1e6), np.concatenate([recv_f, recv_m]))
    stated |= np.concatenate(marked)
    t = np.floor_divide(event, 1000)
    lat_deg, lon_deg = (_floats(fixes[c], 1e7) for c in ("lat", "lon"))
    acc = np.concatenate([_floats(fixes["accuracy_m"], 100.0), np.full(m, np.nan)])
    speed = np.concatenate([_floats(fixes["speed_mps"], 100.0), np.full(m, np.nan)])
    confidence = np.concatenate([np.full(n, np.nan), np.nan_to_num(_floats(motion["confidence"], 100.0), nan=1.0)])
    kinds, act_codes = _codes(motion["activity"])
    known = {a: i for i, a in enumerate(ACTIVITIES)}
    act_rank = np.array([known.get(a, len(ACTIVITIES) - 1) for a in kinds.to_pylist()] + [len(ACTIVITIES) - 1])
    activity = np.concatenate([np.full(n, -1, np.int64), act_rank[act_codes]]).astype(np.int64)

    refused: dict[str, int] = {}
    keep = np.ones(n + m, bool)

    def refuse(reason: str, mask: npt.NDArray[np.bool_]) -> None:
        hit = mask & keep
        if hit.any():
            refused[reason] = int(hit.sum())
            keep[hit] = False

    def of_fixes(mask: Any) -> npt.NDArray[np.bool_]:
        return np.concatenate([mask, np.zeros(m, bool)])

    refuse("no_device", device < 0)
    refuse("no_event_time", np.concatenate([no_time_f, no_time_m]))
    refuse("clock_absurd", (t < EARLIEST_MS) | (t - np.floor_divide(recv, 1000) > CLOCK_AHEAD_MS))
    refuse("not_a_number", of_fixes(~(np.isfinite(lat_deg) & np.isfinite(lon_deg))))
    with np.errstate(invalid="ignore"):
        refuse("out_of_range", of_fixes((np.abs(lat_deg) > 90) | (np.abs(lon_deg) > 180)))
    unheard = np.array([word not in known for word in kinds.to_pylist()] + [True])[act_codes]
    refuse("unknown_activity", np.concatenate([np.zeros(n, bool), unheard]))
    refuse("null_island", of_fixes((lat_deg == 0) & (lon_deg == 0)))
    lat = np.concatenate([np.rint(np.nan_to_num(lat_deg) * 1e7), np.zeros(m)]).astype(np.int64)
    lon = np.concatenate([np.rint(np.nan_to_num(lon_deg) * 1e7), np.zeros(m)]).astype(np.int64)

    columns: list[Any] = [device, t, lat, lon, acc, speed, activity, confidence, recv, stated]
    if not keep.all():
        columns = [c[keep] for c in columns]
    columns = _canonical_order(columns)
    device = columns[0]
    bounds = np.searchsorted(device, np.arange(len(devices) + 1)).astype(np.int64)
    t, lat, lon, acc, speed, activity, confidence, recv, stated = columns[1:]
    return Canonical(devices, bounds, t, lat, lon, acc, speed, activity, confidence, recv, stated, refused)


def _canonical_order(columns: list[Any]) -> list[Any]:
    """Sort by (device, t, fixes first, accuracy, lat, lon, speed, activity, confidence, recv); collapse exact
    copies."""
    device, t = columns[0], columns[1]
    if len(device) == 0:
        return columns
    key = (device << 43) + (t - EARLIEST_MS)
    if not (key[1:] > key[:-1]).all():
        order = np.argsort(key, kind="stable")
        key = key[order]
        tied = np.zeros(len(key), bool)
        equal = key[1:] == key[:-1]
        tied[1:] |= equal
        tied[:-1] |= equal
        at = np.flatnonzero(tied)
        if len(at):
            _, _, lat, lon, acc, speed, activity, confidence, recv, stated = (c[order[at]] for c in columns)
            inner = np.lexsort((stated, recv, confidence, activity, speed, lon, lat, acc, activity >= 0, key[at]))
            order[at] = order[at][inner]
        columns = [c[order] for c in columns]
        if len(at):
            copy = np.zeros(len(key), bool)
            here, before = at[1:], at[:-1]
            same = key[here] == key[before]
            for c in columns[2:8]:
                same &= (c[here] == c[before]) | ((c[here] != c[here]) & (c[before] != c[before]))
            copy[here[same]] = True
            columns = [c[~copy] for c in columns]
    return columns
