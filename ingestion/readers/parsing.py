"""Columns of text to numbers and times, vectorised; one unreadable cell costs that cell, not the column."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.readers.reasons import Reason
from ingestion.readers.records import FIRST_US, LAST_US
from parked.schemas import TIME

Mask = npt.NDArray[np.bool_]

_ZONE: Final = r":\d{2}(\.\d+)?(Z|[+-]\d{2}:?(\d{2})?)$"
_US_PER: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


def cast_cells(column: pa.Array, to: pa.DataType) -> tuple[pa.Array, Mask]:
    """``column`` cast to ``to``, and a mask of the cells that could not be (null in the result).

    Halves a failing column until the bad cells stand alone: a clean column costs one cast.
    """
    try:
        return column.cast(to), np.zeros(len(column), dtype=np.bool_)
    except pa.ArrowInvalid:
        if len(column) == 1:
            return pa.nulls(1, to), np.ones(1, dtype=np.bool_)
    middle = len(column) // 2
    left, bad_left = cast_cells(column.slice(0, middle), to)
    right, bad_right = cast_cells(column.slice(middle), to)
    return pa.concat_arrays([left, right]), np.concatenate([bad_left, bad_right])


def numbers(text: pa.Array) -> tuple[pa.Array, Mask]:
    """Text to float64 (``nan`` and ``inf`` are numbers; judged later), and which cells are not numbers."""
    return cast_cells(pc.utf8_trim_whitespace(text), pa.float64())


def instants(text: pa.Array) -> tuple[pa.Array, Mask, npt.NDArray[np.object_]]:
    """ISO-8601 text with a zone to ``timestamp[us, UTC]``; digits beyond the microsecond are cut.

    Also: which cells could not be read, and the ``Reason`` of each of those.
    """
    times, bad = cast_cells(text, TIME)
    reasons = np.full(len(text), None, dtype=np.object_)
    if bad.any():  # rare: worth a second, more patient look
        rows = np.flatnonzero(bad)
        trimmed = pc.replace_substring_regex(
            pc.utf8_trim_whitespace(text.take(pa.array(rows))), pattern=r"(\.\d{6})\d+", replacement=r"\1"
        )
        again, still_bad = cast_cells(trimmed, TIME)
        times = pc.replace_with_mask(times, pa.array(bad), again)
        zoned = np.asarray(pc.match_substring_regex(trimmed, _ZONE).to_numpy(zero_copy_only=False), dtype=np.bool_)
        _, unreadable = cast_cells(trimmed, pa.timestamp("us"))
        bad = bad.copy()
        bad[rows] = still_bad
        reasons[rows] = np.where(zoned | unreadable, Reason.BAD_TIME, Reason.TIME_WITHOUT_ZONE)
        reasons[~bad] = None
    return times, bad, reasons


def as_utc_us(column: pa.Array) -> pa.Array:
    """A zoned timestamp column of any unit as ``timestamp[us, UTC]``; beyond years 1-9999 held at these."""
    counts = column.cast(pa.int64())
    if column.type.unit == "ns":
        return pc.divide(counts, 1_000).cast(TIME)
    factor = _US_PER[column.type.unit]
    return pc.multiply(held(counts, FIRST_US // factor, LAST_US // factor), factor).cast(TIME)


def in_calendar(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """``timestamp[us, UTC]`` held at years 1-9999, which is all that can be written out; usually nothing to do."""
    counts = times.cast(pa.int64())
    span = pc.min_max(counts)
    if span["min"].as_py() is None or FIRST_US <= span["min"].as_py() <= span["max"].as_py() <= LAST_US:
        return times
    return held(counts, FIRST_US, LAST_US).cast(times.type)


def held(values: Any, first: Any, last: Any) -> Any:
    """An Arrow column whose values before ``first`` are that, and those after ``last`` that; nulls stay."""
    return pc.max_element_wise(pc.min_element_wise(values, last, skip_nulls=False), first, skip_nulls=False)
