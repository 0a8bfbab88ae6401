"""A log that cannot be written (its disk is full) costs its lines and no answer."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO

import structlog


class Unfailing:
    """Passes text on; what the system refuses to write is lost."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, if it can be; returns the characters taken."""
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if it can be."""
        with contextlib.suppress(OSError):
            self._file.flush()


def log_without_failing() -> None:
    """Have all of structlog's lines of this process written so, to standard output as before."""
    file: TextIO = Unfailing(sys.stdout)  # type: ignore[assignment]  # write and flush are all that is used
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file))
