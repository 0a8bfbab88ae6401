"""Memory for the kernel's records."""

from __future__ import annotations

from threading import Lock
from typing import Final

import numpy as np

from ingestion.facts.canonical import Records
from ingestion.facts.kernel.types import RECORD

LEAST: Final = 393_216
"""Records of a new array, at least: half as many again as a range has."""


class Buffers:
    """Memory used again and again: new pages cost several times what filling them does. For any number of threads."""

    def __init__(self) -> None:
        self._free: list[Records] = []
        self._lock = Lock()

    def __len__(self) -> int:
        """How many arrays nobody uses."""
        return len(self._free)

    def take(self, size: int) -> Records:
        """An array of ``size`` records of any content."""
        with self._lock:
            for i, buffer in enumerate(self._free):
                if len(buffer) >= size:
                    return self._free.pop(i)[:size]
            if self._free:  # the new one takes the place of one that is too small
                self._free.pop(0)
        return np.empty(max(size, LEAST), RECORD)[:size]

    def give(self, records: Records) -> None:
        """Take back what ``take`` gave (or a part of it)."""
        base = records
        while isinstance(base.base, np.ndarray):
            base = base.base
        if base.dtype == RECORD:
            with self._lock:
                self._free.append(base)
