"""The batch path into the LMDB online store: columns in, rows in the file, no Python value and no protobuf between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import lmdb
import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.lmdb_files import named
from feature_repo.pack import pack
from feature_repo.packed import EVENT_US, LONGEST_KEY, declare, file_of, key_of, moment_of

_TYPES: Final = {"int64": "INT64", "double": "DOUBLE", "string": "STRING", "bool": "BOOL"}
"""Arrow's types as Feast's ValueType names them."""

Stays = Callable[[dict[str, Any], int], bool]


class Rows(NamedTuple):
    """Rows of a view to be written."""

    keys: Sequence[bytes]
    """Distinct."""
    columns: Mapping[str, pa.Array | pa.ChunkedArray]
    """EVENT_US first (int64, no nulls), then the view's fields: float64, int64, string or bool."""
    stays: Stays | None = None
    """A stored row of a later moment is left as it is where this says so of its values by field and the index of the
    new row; without it, every row is written."""


def load_columns(path: Path, view: bytes, parts: Iterable[Rows]) -> int:
    """Write rows of a view in one transaction, a part after the other; says how many were written.

    A few thousand rows a part keep what is made of them in the processor's caches. Raises InternalError for a column
    of another type, InputError where the file cannot be written.
    """
    file = file_of(path)
    with named(path):
        handle = file.view(view, make=True)
    written = 0
    with named(path), file.begin(write=True, buffers=True) as transaction, transaction.cursor(handle) as cursor:
        for keys, columns, stays in parts:
            types = {name: _TYPES.get(str(column.type), "") for name, column in columns.items()}
            known = declare(transaction, view, types)
            packed, ends = pack([columns.get(name) for name in known], len(keys))
            cuts = map(slice, ends[:-1].tolist(), ends[1:].tolist())
            rows = list(zip(keys, map(packed.__getitem__, cuts), strict=True))
            if stays is not None and _holds_any(cursor, keys):
                moments = np.asarray(columns[EVENT_US].to_numpy())
                chosen = _chosen(transaction, handle, keys, moments.tolist(), known, stays)
                rows = [row for row, wanted in zip(rows, chosen, strict=True) if wanted]
            rows.sort(key=itemgetter(0))
            # What comes after all that is there fills its pages to the brim, and no place is looked for.
            last = bytes(cursor.key()) if cursor.last() else b""
            consumed, _ = cursor.putmulti(rows, append=bool(rows) and rows[0][0] > last)
            written += int(consumed)
    return written


def keys_of(columns: Sequence[pa.Array | pa.ChunkedArray]) -> list[bytes]:
    """``key_of`` for whole columns of join keys' values (strings without nulls), from the last name to the first."""
    keys = told_apart(columns).cast(pa.binary())
    sizes = pc.min_max(pc.binary_length(keys)).as_py()
    if (sizes["max"] or 0) > LONGEST_KEY or sizes["min"] == 0:
        return [key_of(values) for values in zip(*(column.to_pylist() for column in columns), strict=True)]
    return list(keys.to_pylist())


def told_apart(columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array | pa.ChunkedArray:
    """A text for each row of columns of strings, equal where all of them are: as in ``key_of``."""
    if len(columns) == 1:
        return columns[0]
    parts = [part for column in columns for part in (pc.cast(pc.binary_length(column), pa.string()), ":", column)]
    return pc.binary_join_element_wise(*parts, "")


def _holds_any(cursor: lmdb.Cursor, keys: Sequence[bytes]) -> bool:
    """Whether there may be a row of any of these keys."""
    return bool(keys) and bool(cursor.set_range(min(keys))) and bytes(cursor.key()) <= max(keys)


def _chosen(
    transaction: lmdb.Transaction,
    handle: Any,
    keys: Sequence[bytes],
    moments: list[int],
    known: list[str],
    stays: Stays,
) -> list[bool]:
    get = transaction.get
    chosen = []
    for index, (key, moment) in enumerate(zip(keys, moments, strict=True)):
        old = get(key, None, handle)
        newer = old is not None and moment_of(old) > moment
        chosen.append(not newer or not stays(dict(zip(known, msgpack.unpackb(old), strict=False)), index))
    return chosen
