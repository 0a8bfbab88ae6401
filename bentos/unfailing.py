"""The server's log: not to be written (a full disk) costs its lines and no answer; tracebacks tell no values."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback


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
    """Have all of structlog's lines of this process written so, to standard output as before.

    A traceback has its lines of source only: where rich is installed, structlog would print every local variable of
    each, and with them places, grants and the database's password.
    """
    file: TextIO = Unfailing(sys.stdout)  # type: ignore[assignment]  # write and flush are all that is used
    colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    *before, _renderer = structlog.get_config()["processors"]
    structlog.configure(
        processors=[*before, ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)],
        logger_factory=structlog.PrintLoggerFactory(file),
    )
