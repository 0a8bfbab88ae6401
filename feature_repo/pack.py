"""Columns as packed rows: what ``msgpack.packb`` makes of each row, for all rows at once and without Python values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.pack_kernel import write_flags, write_numbers, write_texts
from parked.errors import InternalError

_NIL: Final = 0xC0

_SHORT: Final = 16
"""An array of so many values or more needs a header of three bytes instead of one."""


def pack(columns: Sequence[pa.Array | pa.ChunkedArray | None], rows: int) -> tuple[bytes, npt.NDArray[np.int64]]:
    """``rows`` msgpack arrays end to end, and where each begins and the last ends: int64 (rows + 1,).

    A column is float64, int64, string or bool of ``rows`` values, nulls among them; None is a column of nulls. Raises
    InternalError for another type.

    >>> packed, ends = pack([pa.array([1, 300]), pa.array(["a", None])], 2)
    >>> import msgpack
    >>> [msgpack.unpackb(packed[begin:end]) for begin, end in zip(ends[:-1], ends[1:])]
    [[1, 'a'], [300, None]]
    """
    parts = [None if column is None else _Column(column) for column in columns]
    header = _header(len(columns))
    sizes = np.full(rows, len(header), dtype=np.int64)
    for part in parts:
        sizes += 1 if part is None else part.sizes
    ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    out = np.empty(int(ends[-1]), dtype=np.uint8)
    places = ends[:-1].copy()
    for byte in header:
        out[places] = byte
        places += 1
    for part in parts:
        if part is None:
            out[places] = _NIL
            places += 1
        else:
            part.write(out, places)
    return out.tobytes(), ends


def _header(values: int) -> bytes:
    return bytes([0x90 | values]) if values < _SHORT else b"\xdc" + values.to_bytes(2, "big")


class _Column:
    """One column's bytes: how many each row takes, and writing them."""

    def __init__(self, column: pa.Array | pa.ChunkedArray) -> None:
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        self._valid = np.ascontiguousarray(array.is_valid().to_numpy(zero_copy_only=False))
        self._kind = array.type
        if pa.types.is_float64(self._kind) or pa.types.is_int64(self._kind):
            width = np.dtype(np.uint64)
            self._values: Any = _buffer(array, 1, width)[array.offset : array.offset + len(array)]
            long = self._valid
            if pa.types.is_int64(self._kind):
                long = long & (self._values > 127)
            self.sizes = np.where(long, 9, 1)
        elif pa.types.is_boolean(self._kind):
            self._values = np.ascontiguousarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False))
            self.sizes = np.ones(len(array), dtype=np.int64)
        elif pa.types.is_string(self._kind):
            ends = _buffer(array, 1, np.dtype(np.int32))
            self._values = ends[array.offset : array.offset + len(array) + 1] if len(ends) else np.zeros(1, np.int32)
            self._text = _buffer(array, 2, np.dtype(np.uint8))
            length = np.diff(self._values).astype(np.int64)
            head = np.select([length < 32, length < 256, length < 65_536], [1, 2, 3], 5)
            self.sizes = np.where(self._valid, length + head, 1)
        else:
            raise InternalError(f"packed rows hold no {self._kind}")

    def write(self, out: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> None:
        if pa.types.is_boolean(self._kind):
            write_flags(self._valid, self._values, out, places)
        elif pa.types.is_string(self._kind):
            write_texts(self._valid, self._values, self._text, out, places)
        else:
            write_numbers(self._valid, self._values, pa.types.is_float64(self._kind), out, places)


def _buffer(array: pa.Array, index: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    held = array.buffers()[index]
    return np.zeros(0, dtype) if held is None else np.frombuffer(held, dtype=dtype, count=held.size // dtype.itemsize)
