"""Rows of many small answers side by side in memory: the prediction log takes them as one array, without joining them.

Joining thousands of small arrays holds the interpreter for milliseconds, during which nobody is answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

ROWS: Final = 2048
"""Of a page, at the least. A page lives as long as any of its rows is held."""

Array = npt.NDArray[Any]


class Pages:
    """Hands out rows of a page one after another. For one thread."""

    def __init__(self, width: int, dtype: npt.DTypeLike) -> None:
        self._width = width
        self._dtype = dtype
        self._page = np.empty((0, width), dtype)
        self._next = 0

    def take(self, count: int) -> tuple[Array, int]:
        """``count`` rows of any content, shape (count, width), and where in their page they begin."""
        if self._next + count > len(self._page):
            self._page, self._next = np.empty((max(ROWS, count), self._width), self._dtype), 0
        at = self._next
        self._next += count
        return self._page[at : self._next], at


def joined(parts: Iterable[tuple[Array, int]]) -> Array:
    """All rows one after another: (rows, where in their page they begin; -1: they are of none). At least one."""
    runs: list[Array] = []
    page, begin, end = None, 0, 0
    for rows, at in parts:
        if page is not None and at == end and rows.base is page:
            end += len(rows)
            continue
        if page is not None:
            runs.append(page[begin:end])
        page, begin, end = (rows.base, at, at + len(rows)) if at >= 0 else (None, 0, 0)
        if page is None:
            runs.append(rows)
    if page is not None:
        runs.append(page[begin:end])
    return runs[0] if len(runs) == 1 else np.concatenate(runs)
