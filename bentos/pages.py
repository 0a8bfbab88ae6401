"""Rows of many small answers side by side in memory: the prediction log takes them as a few arrays, without joining.

Joining thousands of small arrays holds the interpreter for milliseconds, during which nobody is answered.
"""

from __future__ import annotations

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


class Runs:
    """Rows in the order they are added; those that follow each other in a page are one array."""

    def __init__(self) -> None:
        self._done: list[Array] = []
        self._page: Array | None = None
        self._begin = self._end = 0

    def add(self, rows: Array, at: int) -> None:
        """``at``: where in their page the rows begin; -1: they are of none."""
        page = rows.base
        if page is self._page and at == self._end and page is not None:
            self._end += len(rows)
            return
        self._close()
        if at >= 0 and page is not None:
            self._page, self._begin, self._end = page, at, at + len(rows)
        else:
            self._done.append(rows)

    def arrays(self) -> list[Array]:
        """All rows added so far."""
        self._close()
        return self._done

    def _close(self) -> None:
        if self._page is not None:
            self._done.append(self._page[self._begin : self._end])
        self._page = None
