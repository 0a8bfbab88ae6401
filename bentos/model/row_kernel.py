"""Packed rows straight into a model's numbers: msgpack in, float64 columns out, no Python object between.

Does for rows as the LMDB file holds them what ``LmdbSource.values`` and ``Trees.evaluate`` do for Python values, to the
same bits (a test holds them together). What it does not know (a text where a number belongs, a word it never met, a
damaged row) it refuses, and those tell.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

import math
from functools import partial
from typing import Any

import numba
import numpy as np

from bentos.model.memory import as_float, big_endian_at, byte_at
from bentos.model.tree_kernel import margins

DONE, REFUSED, NEW_WORD = 0, 1, 2

SKIP = -1
"""In ``target``: a field the model does not eat. Else the column of a number, or ``FIRST_TEXT`` minus a category."""
FIRST_TEXT = -2

NO_ROLE, LEFT, LON, REST_FROM, REST_UNTIL, LAST_STAY = range(6)
"""In ``role``: which input of the view ``asked`` a field is (``feature_repo.asked``)."""

LONGEST_WORD = 16
"""Bytes of a word the table can hold."""

_inlined = partial(numba.njit, error_model="numpy", forceinline=True)
"""A call would count references to every array it passes."""

_NIL, _INT, _FLOAT, _TEXT, _BAD = range(5)
_DAY_US = 86_400_000_000.0
_US_A_DEGREE = 240_000_000.0
_EXACT = 1 << 53

_SIGNATURE = (
    "i8(u1[::1], i8, i8, u1[::1], i8[::1], i4[:, ::1], i4[:, ::1], i4[::1],"  # rows; what they are
    " i4[::1], i4[:, ::1], i8[:, ::1], f8[:, ::1],"  # words
    " i4[::1], u4[::1], f4[::1], u4[::1], i4[::1], f8[::1], f8, f8,"  # trees
    " f8[:, ::1], i2[:, ::1], f8[::1])"  # out
)


@_inlined
def _value(at: int, end: int) -> Any:
    """(kind; integer, bits of a float or address of a text; address of the next value)."""
    if at >= end:
        return _BAD, 0, at
    tag = byte_at(at)
    if tag == 0xCB:
        return (_FLOAT, big_endian_at(at + 1), at + 9) if at + 9 <= end else (_BAD, 0, at)
    if tag == 0xC0:
        return _NIL, 0, at + 1
    if tag <= 0x7F:
        return _INT, tag, at + 1
    if tag >= 0xE0:
        return _INT, tag - 256, at + 1
    if tag == 0xC2 or tag == 0xC3:
        return _INT, tag - 0xC2, at + 1
    if 0xA0 <= tag <= 0xBF:
        return (_TEXT, at + 1, at + 1 + (tag & 31)) if at + 1 + (tag & 31) <= end else (_BAD, 0, at)
    if tag == 0xD9 or tag == 0xDA:
        start = at + tag - 0xD7
        if start <= end:
            size = byte_at(at + 1) if tag == 0xD9 else byte_at(at + 1) << 8 | byte_at(at + 2)
            if start + size <= end:
                return _TEXT, start, start + size
    elif 0xCC <= tag <= 0xD3:
        size = 1 << (tag & 3)
        if at + 1 + size <= end:
            number = np.int64(0)
            for k in range(size):
                number = number << 8 | byte_at(at + 1 + k)
            if tag >= 0xD0:
                return _INT, number << (64 - 8 * size) >> (64 - 8 * size), at + 1 + size
            if number >= 0:
                return _INT, number, at + 1 + size
    return _BAD, 0, at


@_inlined
def _fields(at: int, end: int) -> Any:
    """(how many values a row has, -1 for what is no row; address of the first)."""
    if at < end:
        head = byte_at(at)
        if 0x90 <= head <= 0x9F:
            return head & 15, at + 1
        if head == 0xDC and at + 3 <= end:
            return byte_at(at + 1) << 8 | byte_at(at + 2), at + 3
    return -1, at


@_inlined
def _letters(start: int, end: int) -> Any:
    """Up to eight bytes as one number, the first being the highest."""
    word = np.int64(0)
    for k in range(start, end):
        word = word << 8 | byte_at(k)
    return word


@_inlined
def _turn(us: int, degrees: float) -> float:
    """``turn`` of ``feature_repo.asked``."""
    return 2 * math.pi * (((np.float64(us) + degrees * _US_A_DEGREE) % _DAY_US) / _DAY_US)


@_inlined
def _seconds(later: int, earlier: int) -> float:
    return np.float64(later - earlier) / 1_000_000.0


@_inlined
def _same(row: int, target: Any, out: Any, codes: Any, spans: Any) -> None:
    """The fields of a view are those of the row before."""
    for field in range(target.shape[0]):
        into = target[field]
        if into >= 0:
            out[row, into] = out[row - 1, into]
        elif into <= FIRST_TEXT:
            c = FIRST_TEXT - into
            codes[row, c] = codes[row - 1, c]
            for k in range(spans[c, 0], spans[c, 1]):
                out[row, k] = out[row - 1, k]


@numba.njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def score_rows(
    blob: Any, devices: int, candidates: int, fresh: Any, asked_us: Any, target: Any, role: Any, asked_columns: Any,
    word_from: Any, spans: Any, words: Any, word_columns: Any,
    nan_is_high: Any, column: Any, above: Any, splits: Any, depth: Any, leaves: Any, scale: float, bias: float,
    out: Any, codes: Any, scores: Any,
) -> int:  # fmt: skip
    """Margins of n candidates into ``scores`` (n,), what the trees were given into ``out`` (n, width) and ``codes``.

    ``blob``: rows one after another: ``devices`` bytes of those of the devices, one where ``fresh`` (n,) says so: of
    candidate i and those after it; ``candidates`` bytes of the candidates'; their places'. Rows nobody has are empty
    arrays.
    ``target`` and ``role`` (3, fields): what each field of a (candidate, device, place) row is.
    Word k of category c is ``words[word_from[c] + k]``: its first 8 bytes, the next 8, its length; word 0 is "".
    ``word_columns``: what a word puts in the category's columns, ``spans[c]`` (from, to); the last of ``spans`` is of
    the numbers. ``codes`` (n, categories): which word, -1 where missing.

    Returns DONE, or why the rows are not for here: REFUSED, NEW_WORD.
    """
    count, categories = fresh.shape[0], codes.shape[1]
    device_at = device_next = np.int64(blob.ctypes.data)
    device_end = candidate_at = device_at + devices
    candidate_end = place_at = candidate_at + candidates
    place_end, status = device_at + blob.shape[0], DONE
    told = np.zeros(6, dtype=np.int64)
    known = np.zeros(6, dtype=np.uint8)
    again = False  # whether a device's row is read for each of its candidates
    for field in range(role.shape[1]):
        again |= role[1, field] != NO_ROLE
    for row in range(count):
        now_us, lon = asked_us[row], 0.0
        if now_us >= _EXACT or now_us <= -_EXACT:
            return REFUSED
        for k in range(spans[categories, 0], spans[categories, 1]):
            out[row, k] = np.nan
        for c in range(categories):
            codes[row, c] = -1
            for k in range(spans[c, 0], spans[c, 1]):
                out[row, k] = word_columns[word_from[c], k - spans[c, 0]]
        for part in range(6):
            known[part] = 0
        if fresh[row]:
            device_at = device_next
        for view in range(3):
            here, end = candidate_at, candidate_end
            if view == 1 and not fresh[row] and not again:
                _same(row, target[1], out, codes, spans)
                continue
            if view == 1:
                here, end = device_at, device_end
            elif view == 2:
                here, end = place_at, place_end
            fields, here = _fields(here, end)
            if fields < 0:
                return REFUSED
            for field in range(fields):
                kind, number, after = _value(here, end)
                here = after
                if kind == _BAD:
                    return REFUSED
                if kind == _NIL or field >= target.shape[1]:
                    continue
                into, part = target[view, field], role[view, field]
                if into >= 0:
                    if kind == _TEXT:
                        return REFUSED
                    out[row, into] = as_float(number) if kind == _FLOAT else np.float64(number)
                elif into <= FIRST_TEXT:
                    if kind != _TEXT:
                        return REFUSED
                    c, size, found = FIRST_TEXT - into, after - number, -1
                    if size <= LONGEST_WORD:
                        first = _letters(number, number + min(size, 8))
                        second = _letters(number + 8, after)
                        for word in range(word_from[c], word_from[c + 1]):
                            if words[word, 0] == first and words[word, 1] == second and words[word, 2] == size:
                                found = word
                    if found < 0:
                        status = NEW_WORD
                        continue
                    codes[row, c] = found - word_from[c]
                    for k in range(spans[c, 0], spans[c, 1]):
                        out[row, k] = word_columns[found, k - spans[c, 0]]
                if part == LON:
                    if kind != _FLOAT:
                        return REFUSED
                    lon = as_float(number)
                    known[part] = 1
                elif part != NO_ROLE:
                    if kind != _INT or number >= _EXACT or number <= -_EXACT:
                        return REFUSED
                    told[part] = number
                    known[part] = 1
            if view == 0:
                candidate_at = here
            elif view == 1:
                device_next = here
            else:
                place_at = here
        # The view ``asked``: feature_repo.asked.ask, value by value.
        if known[LEFT] and asked_columns[0] >= 0:
            out[row, asked_columns[0]] = _seconds(now_us, told[LEFT])
        if known[REST_FROM] and asked_columns[1] >= 0:
            until = told[REST_UNTIL] if known[REST_UNTIL] else now_us
            out[row, asked_columns[1]] = _seconds(until, told[REST_FROM])
        if known[LAST_STAY] and asked_columns[2] >= 0:
            out[row, asked_columns[2]] = _seconds(now_us, told[LAST_STAY])
        for k in range(3, 7):
            into = asked_columns[k]
            if into >= 0 and known[LON] and (k > 4 or known[LEFT]):
                angle = _turn(told[LEFT] if k <= 4 else now_us, lon)
                out[row, into] = math.sin(angle) if k % 2 else math.cos(angle)
    if status == DONE:
        margins(out, nan_is_high, column, above, splits, depth, leaves, scale, bias, scores)
    return status
