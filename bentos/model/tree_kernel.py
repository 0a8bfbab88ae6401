"""The one loop that is worth machine code: oblivious trees over flat arrays, for any model, compiled once and cached.

Numba keeps the machine code in ``__pycache__``; a model is data to it, so publishing one compiles nothing.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

_SIGNATURE = "void(f8[:, ::1], i4[::1], u4[::1], f4[::1], u4[::1], i4[::1], f8[::1], f8, f8, f8[::1])"


@numba.njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def margins(
    rows: npt.NDArray[np.float64],
    nan_is_high: npt.NDArray[np.int32],
    column: npt.NDArray[np.uint32],
    above: npt.NDArray[np.float32],
    splits: npt.NDArray[np.uint32],
    depth: npt.NDArray[np.int32],
    leaves: npt.NDArray[np.float64],
    scale: float,
    bias: float,
    out: npt.NDArray[np.float64],
) -> None:
    """Raw margins of ``rows`` (n, columns) into ``out`` (n,), in CatBoost's own order of additions.

    Condition k holds for a row where ``float32(row[column[k]]) > above[k]``, which a NaN never is, but always in the
    columns ``nan_is_high``. Tree t asks the next ``depth[t]`` (at most 8: a row's leaf is one byte) conditions of
    ``splits``, the first being the lowest bit of the leaf, and has the next ``2 ** depth[t]`` leaves.

    Eight rows go together, a byte each of one word: trees share most of their conditions, so each is asked once, and
    what is left per tree and level is one load, one shift and one "or" for all eight. Where there are fewer, nobody
    reads what is said of the others; loops of eight are one vector instruction.
    """
    one, byte = np.uint64(1), np.uint64(255)
    told = np.empty((column.shape[0], 8), dtype=np.uint8)
    holds = told.reshape(-1).view(np.uint64)
    near = np.zeros((rows.shape[1], 8), dtype=np.float32)
    total = np.empty(8)
    for start in range(0, rows.shape[0], 8):
        lanes = min(8, rows.shape[0] - start)
        for lane in range(lanes):
            for c in range(rows.shape[1]):
                near[c, lane] = np.float32(rows[start + lane, c])
            for c in nan_is_high:
                if np.isnan(near[c, lane]):
                    near[c, lane] = np.inf
        for k in range(column.shape[0]):
            asked, limit = column[k], above[k]
            for lane in range(8):
                told[k, lane] = near[asked, lane] > limit
        for lane in range(8):
            total[lane] = 0.0
        split, first_leaf = np.uint64(0), np.uint64(0)
        for t in range(depth.shape[0]):
            word = np.uint64(0)
            for bit in range(depth[t]):
                word |= holds[splits[split]] << np.uint64(bit)
                split += one
            for lane in range(8):
                total[lane] += leaves[first_leaf + (word >> np.uint64(8 * lane) & byte)]
            first_leaf += one << np.uint64(depth[t])
        for lane in range(lanes):
            out[start + lane] = total[lane] * scale + bias
