"""Rows -> columns: one walk over the rows, a block of them at a time, so that each is in the cache for all its columns.

Column by column it would read a number out of every 152 bytes, thirty times over.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ingestion.facts.kernel.jit import njit
from ingestion.facts.kernel.types import NONE, NONE32

BLOCK = 64
"""Rows of a block; whole bytes of a bitmap."""


@njit()
def columns(rows: Any, at: Any, plan: Any, scales: Any, wide: Any, narrow: Any, codes: Any, bits: Any) -> Any:
    """Fill the columns that ``plan`` tells of, from the rows at positions ``at`` (int64 [n]); int64 [columns]: nulls.

    rows: ROWs as (int64 [rows, words], the same memory as int32 and as int8). plan: int64 [columns, 4], each (bytes of
    the field, its position in words of so many bytes, in which array it goes, at which place there): 0 ``wide``,
    float64 [k, n], divided by ``scales``; 1 ``wide``'s memory as int64, times ``scales``; 2 ``narrow``, int32 [k, n];
    3 ``codes``, int8 [k, n]. bits: uint8 [columns, n / 8 rounded up], all 0: 1 where there is a value (Arrow's order).
    """
    rows8, rows4, rows1 = rows
    n = len(at)
    whole = wide.view(np.int64)
    nulls = np.zeros(len(plan), np.int64)
    for begin in range(0, n, BLOCK):
        end = min(n, begin + BLOCK)
        for c in range(len(plan)):
            size, field, array, k = plan[c]
            scale = scales[c]
            times = np.int64(scale)
            there = 0
            for i in range(begin, end):
                if size == 8:
                    value = rows8[at[i], field]
                    valid = value != NONE
                elif size == 4:
                    value = np.int64(rows4[at[i], field])
                    valid = value != NONE32
                else:
                    value = np.int64(rows1[at[i], field])
                    valid = value != -1
                if array == 0:
                    wide[k, i] = value / scale
                elif array == 1:
                    whole[k, i] = value * times
                elif array == 2:
                    narrow[k, i] = value
                else:
                    codes[k, i] = value
                bits[c, i >> 3] |= np.uint8(valid) << np.uint8(i & 7)
                there += valid
            nulls[c] += end - begin - there
    return nulls
