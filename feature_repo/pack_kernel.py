"""The loops that write msgpack from columns: one call a column, each row at its own place. Compiled once and cached.

Integers take one byte up to 127, else nine; msgpack's own packer uses two to five for some, which reads the same.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.types import Array, boolean, int32, int64, uint8, uint64, void

njit = partial(numba.njit, cache=True, nogil=True, error_model="numpy")

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

_NIL, _FALSE, _FLOAT64, _INT64 = np.uint8(0xC0), np.uint8(0xC2), np.uint8(0xCB), np.uint8(0xD3)
_FIX_STR, _STR8, _STR16, _STR32 = np.uint8(0xA0), np.uint8(0xD9), np.uint8(0xDA), np.uint8(0xDB)


def _read(values: Any) -> Any:
    """An array that is only read: Arrow's memory often may not be written."""
    return Array(values, 1, "C", readonly=True)


@njit(void(_read(boolean), _read(uint64), boolean, uint8[::1], int64[::1]))
def write_numbers(
    valid: npt.NDArray[np.bool_], values: npt.NDArray[np.uint64], are_floats: bool, out: Bytes, places: Places
) -> None:
    """8-byte values by their bits, float64 or int64; ``places`` (n,) move on past what was written."""
    tag = _FLOAT64 if are_floats else _INT64
    for row in range(places.shape[0]):
        at = places[row]
        if not valid[row]:
            out[at] = _NIL
            places[row] = at + 1
        elif not are_floats and values[row] <= np.uint64(127):
            out[at] = np.uint8(values[row])
            places[row] = at + 1
        else:
            out[at] = tag
            bits = values[row]
            for byte in range(8):
                out[at + 1 + byte] = np.uint8((bits >> np.uint64(56 - 8 * byte)) & np.uint64(255))
            places[row] = at + 9


@njit(void(_read(boolean), _read(boolean), uint8[::1], int64[::1]))
def write_flags(valid: npt.NDArray[np.bool_], values: npt.NDArray[np.bool_], out: Bytes, places: Places) -> None:
    """Booleans."""
    for row in range(places.shape[0]):
        at = places[row]
        out[at] = (_FALSE + np.uint8(values[row])) if valid[row] else _NIL
        places[row] = at + 1


@njit(void(_read(boolean), _read(int32), _read(uint8), uint8[::1], int64[::1]))
def write_texts(
    valid: npt.NDArray[np.bool_], ends: npt.NDArray[np.int32], text: Bytes, out: Bytes, places: Places
) -> None:
    """UTF-8 strings: row i is ``text[ends[i]:ends[i + 1]]``."""
    for row in range(places.shape[0]):
        at = places[row]
        if not valid[row]:
            out[at] = _NIL
            places[row] = at + 1
            continue
        begin = ends[row]
        length = ends[row + 1] - begin
        if length < 32:
            out[at] = _FIX_STR + np.uint8(length)
            at += 1
        elif length < 256:
            out[at] = _STR8
            out[at + 1] = np.uint8(length)
            at += 2
        elif length < 65_536:
            out[at] = _STR16
            out[at + 1], out[at + 2] = np.uint8(length >> 8), np.uint8(length & 255)
            at += 3
        else:
            out[at] = _STR32
            for byte in range(4):
                out[at + 1 + byte] = np.uint8((length >> (24 - 8 * byte)) & 255)
            at += 5
        for byte in range(length):
            out[at + byte] = text[begin + byte]
        places[row] = at + length
