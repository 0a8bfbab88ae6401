"""What is left of each token's allowance, shared by all processes of one machine: a small file they all map.

Each token has a slot of three 64-bit words: its key, what is left, and when that was so (seconds of the machine's
monotonic clock, which is one for all processes). A slot is claimed under a lock, when tokens are read; a request then
costs two reads and two writes of memory, without any. Two processes that do so in the same instant may count one
request for two: a limit that is good enough, and N times closer than one each.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
from collections.abc import MutableSequence
from pathlib import Path
from typing import IO, Final

from parked.files import take_blocks

SLOTS: Final = 16_384
"""Tokens that share; those beyond are limited in each process for itself. 393 kB."""
_WORDS: Final = 3
_BYTES: Final = SLOTS * _WORDS * 8
_BLOCK_BYTES: Final = 512
"""What ``st_blocks`` counts, whatever the file system's blocks are."""

State = tuple[MutableSequence[float], int]
"""Where a bucket keeps (left, at): a sequence and the index of the first."""


class Allowances:
    """The slots. ``of`` from one thread."""

    def __init__(self, path: Path) -> None:
        """Maps ``path``, made where it is not there. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b", buffering=0)
        _take_room(self._file)
        mapped = memoryview(mmap.mmap(self._file.fileno(), _BYTES))
        self._keys = mapped.cast("Q")
        self._values: MutableSequence[float] = mapped.cast("d")  # type: ignore[assignment]

    def of(self, token_id: str, burst: float, at: float) -> State:
        """The token's state, full (``burst``) at ``at`` where nobody has asked for it yet."""
        key = int.from_bytes(hashlib.sha256(token_id.encode()).digest()[:8], "little") or 1
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            for step in range(SLOTS):
                word = (key + step) % SLOTS * _WORDS
                found = self._keys[word]
                if found == 0:
                    self._values[word + 1], self._values[word + 2] = burst, at
                    self._keys[word] = key
                if found in (0, key):
                    return self._values, word + 1
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return [burst, at], 0


def _take_room(file: IO[bytes]) -> None:
    """Have ``file`` at its size, with its blocks. Raises OSError, and leaves the file as long as it was.

    By one process at a time, and only where blocks are missing: where the file system cannot, the C library writes a
    byte into each block, which might be of a value that another process changes just then.
    """
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        had = os.fstat(file.fileno())
        if had.st_size < _BYTES or had.st_blocks * _BLOCK_BYTES < _BYTES:
            take_blocks(file.fileno(), _BYTES)
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
