"""What makes two records the same: a hash over the device and what was measured.

Not in it: ``received_at`` (a re-send of the same measurement is the same record, and the earliest receipt counts), the
platform and where it was read (the same fix exported as CSV and as JSON is one fix). Floats count by their exact
bits, with -0 as 0 and "not known" as one value: nothing that differs in the last digit is ever dropped.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Words = npt.NDArray[np.uint64]

_HEX: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_HEX_VALUE: Final = np.zeros(256, dtype=np.uint8)
_HEX_VALUE[_HEX] = np.arange(16, dtype=np.uint8)


class Hashes(NamedTuple):
    """128-bit content hashes, as two aligned columns of 64 bits."""

    high: Words
    low: Words

    def take(self, rows: npt.NDArray[Any]) -> Hashes:
        """The hashes of some rows (indices or mask)."""
        return Hashes(self.high[rows], self.low[rows])


def fix_hashes(fixes: pa.Table) -> Hashes:
    """Content hashes of fixes: device_id, event_time, lat, lon, accuracy_m, speed_mps."""
    return _hash_rows(
        [
            *_devices(fixes["device_id"]),
            _times(fixes["event_time"]),
            *(_bits(fixes[name]) for name in ("lat", "lon", "accuracy_m", "speed_mps")),
        ]
    )


def motion_hashes(motion: pa.Table) -> Hashes:
    """Content hashes of motion records: device_id, event_time, activity, confidence."""
    return _hash_rows(
        [
            *_devices(motion["device_id"]),
            _times(motion["event_time"]),
            *_devices(motion["activity"]),
            _bits(motion["confidence"]),
        ]
    )


def to_hex(hashes: Hashes) -> pa.Array:
    """As 32 hex digits each (the column ``payload_hash``)."""
    rows = len(hashes.high)
    words = np.column_stack([hashes.high, hashes.low]).astype(">u8").view(np.uint8).reshape(rows, 16)
    digits = np.empty((rows, 32), dtype=np.uint8)
    digits[:, 0::2] = _HEX[words >> 4]
    digits[:, 1::2] = _HEX[words & 15]
    offsets = np.arange(rows + 1, dtype=np.int32) * 32
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(digits))


def from_hex(column: pa.ChunkedArray) -> Hashes:
    """The inverse of ``to_hex``."""
    parts = [_from_hex_chunk(chunk) for chunk in column.chunks if len(chunk)]
    if not parts:
        return Hashes(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64))
    return Hashes(np.concatenate([p.high for p in parts]), np.concatenate([p.low for p in parts]))


def _from_hex_chunk(chunk: pa.Array) -> Hashes:
    text = np.frombuffer(chunk.buffers()[2], dtype=np.uint8)
    digits = _HEX_VALUE[text[chunk.offset * 32 : (chunk.offset + len(chunk)) * 32]].reshape(len(chunk), 32)
    words = np.ascontiguousarray((digits[:, 0::2] << 4) | digits[:, 1::2]).view(">u8").astype(np.uint64)
    return Hashes(np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1]))


def _hash_rows(columns: list[npt.NDArray[Any]]) -> Hashes:
    """SHA-256 of each row's 8-byte little-endian words, first 128 bits."""
    packed = np.column_stack([column.view("<u8") for column in columns])
    rows = packed.view(f"V{packed.shape[1] * 8}").ravel().tolist()  # one bytes object a row
    sha = hashlib.sha256
    digests = b"".join([sha(row).digest() for row in rows])
    words = np.frombuffer(digests, dtype=">u8").reshape(-1, 4)[:, :2].astype(np.uint64)
    return Hashes(np.ascontiguousarray(words[:, 0]), np.ascontiguousarray(words[:, 1]))


def _devices(column: Any) -> tuple[Words, Words]:
    """Text as 128 bits of its SHA-256: fixed width whatever its length. Hashed once per distinct value."""
    encoded = pc.dictionary_encode(column)
    encoded = encoded.unify_dictionaries().combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.DictionaryArray.from_arrays([], pa.array([], "string"))
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:16] for text in encoded.dictionary.to_pylist())
    words = np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)
    codes = encoded.indices.to_numpy()
    return words[codes, 0], words[codes, 1]


def _times(column: Any) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _bits(column: Any) -> npt.NDArray[np.float64]:
    values = np.asarray(pc.fill_null(column, np.nan).to_numpy(), dtype=np.float64)
    values = values + 0.0  # -0 becomes 0
    values[np.isnan(values)] = np.nan  # one pattern of bits for "not known"
    return values
