"""The loops of the as-of join: the newest row of a key at or before a moment. Compiled once and cached.

Only rows of keys that are asked for are looked at twice, so the cost is one pass over all rows and one binary search a
question, whatever the order of either.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.types import Array, int64

njit = partial(numba.njit, cache=True, nogil=True, error_model="numpy")

Ints = npt.NDArray[np.int64]

_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing (Knuth, TAOCP 6.4)


def _read(values: Any) -> Any:
    return Array(values, 1, "C", readonly=True)


@njit
def _slot(table: Ints, key: int) -> Any:
    """Where ``key`` stands in an open-addressed table of (key, number) pairs, or would stand; its number is -1 then."""
    mask = table.shape[0] // 2 - 1
    at = np.int64((np.uint64(key) * _MIX) >> np.uint64(32)) & mask
    while table[2 * at + 1] >= 0 and table[2 * at] != key:
        at = (at + 1) & mask
    return 2 * at


@njit
def _numbered(keys: Ints) -> Any:
    """(table of the distinct keys, each key's number, how many there are)."""
    size = 16
    while size < 2 * keys.shape[0]:
        size *= 2
    table = np.full(2 * size, -1, dtype=np.int64)
    numbers = np.full(keys.shape[0], -1, dtype=np.int64)
    known = 0
    for i in range(keys.shape[0]):
        if keys[i] >= 0:
            at = _slot(table, keys[i])
            if table[at + 1] < 0:
                table[at], table[at + 1] = keys[i], known
                known += 1
            numbers[i] = table[at + 1]
    return table, numbers, known


@njit
def _grouped(table: Ints, known: int, keys: Ints, times: Ints) -> Any:
    """(where each number's rows begin in the second, and the last end; rows by number, then time, then place)."""
    numbers = np.full(keys.shape[0], -1, dtype=np.int64)
    begins = np.zeros(known + 1, dtype=np.int64)
    for row in range(keys.shape[0]):
        if keys[row] >= 0:
            numbers[row] = table[_slot(table, keys[row]) + 1]
            if numbers[row] >= 0:
                begins[numbers[row] + 1] += 1
    begins = np.cumsum(begins)
    ends = begins.copy()
    order = np.empty(begins[known], dtype=np.int64)
    late = np.zeros(known, dtype=np.bool_)
    for row in range(keys.shape[0]):
        number = numbers[row]
        if number >= 0:
            at = ends[number]
            order[at] = row
            late[number] |= at > begins[number] and times[order[at - 1]] > times[row]
            ends[number] = at + 1
    for number in np.flatnonzero(late):
        own = order[begins[number] : begins[number + 1]].copy()
        order[begins[number] : begins[number + 1]] = own[np.argsort(times[own], kind="mergesort")]
    return begins, order


@njit(int64[::1](_read(int64), _read(int64), _read(int64), _read(int64)))
def newest_at(row_keys: Ints, row_times: Ints, asked_keys: Ints, asked_times: Ints) -> Any:
    """For each question the index of the latest row of its key at or before its time: int64, -1 where there is none.

    Keys are any non-negative int64; a negative one matches nothing. Of rows of one key and time, the last counts.
    """
    table, numbers, known = _numbered(asked_keys)
    begins, order = _grouped(table, known, row_keys, row_times)
    out = np.full(asked_keys.shape[0], -1, dtype=np.int64)
    for i in range(asked_keys.shape[0]):
        if numbers[i] >= 0:
            low, high = begins[numbers[i]], begins[numbers[i] + 1]
            while low < high:
                middle = (low + high) // 2
                if row_times[order[middle]] <= asked_times[i]:
                    low = middle + 1
                else:
                    high = middle
            if low > begins[numbers[i]]:
                out[i] = order[low - 1]
    return out
