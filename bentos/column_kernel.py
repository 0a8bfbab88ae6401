"""Rows of a model's numbers into typed columns with their validity: what the prediction log writes.

Beside the rows no Python object is touched, and the interpreter is free: whoever answers is not waited for.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from typing import Any

import numba
import numpy as np

FLOAT, INT, BOOL = range(3)
"""In ``kinds``: what a column holds."""

_BLOCK = 64
"""Rows turned at once: their numbers and the block of a column stay in the first cache."""

_SIGNATURE = "void(f8[:, ::1], i8, u1[::1], f8[:, ::1], i8[:, ::1], u1[:, ::1], u1[:, ::1], i8[::1])"


@numba.njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def turn(rows: Any, first: int, kinds: Any, floats: Any, ints: Any, bits: Any, valid: Any, missing: Any) -> None:
    """Rows (n, at least k) into places ``first``, ``first + 1``, … of k columns; NaN is missing and holds zero.

    ``kinds`` (k,): FLOAT fills ``floats[c]``; INT (towards zero) fills ``ints[c]``; BOOL (not zero) the bits of
    ``bits[c]``, lowest first. ``valid`` (k, bytes): a bit for each place; ``missing`` (k,): counted up. ``bits`` and
    ``valid`` are zero where nothing was written yet.
    """
    for start in range(0, rows.shape[0], _BLOCK):
        end = min(start + _BLOCK, rows.shape[0])
        for c in range(kinds.shape[0]):
            kind = kinds[c]
            for r in range(start, end):
                value, at = rows[r, c], first + r
                there = value == value
                missing[c] += not there
                bit = np.uint8(there) << np.uint8(at & 7)
                valid[c, at >> 3] |= bit
                if kind == FLOAT:
                    floats[c, at] = value if there else 0.0
                elif kind == INT:
                    ints[c, at] = np.int64(value) if there else 0
                elif value != 0.0:
                    bits[c, at >> 3] |= bit
