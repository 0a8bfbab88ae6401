"""A part of the prediction log before it is one: pieces of answers in a file in memory, which two processes hold open.

Who answers appends (``Spool``), who writes reads (``pieces``). The file has no name: it is gone with the last who holds
it, and outlives the other.
"""

from __future__ import annotations

import marshal
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

BETWEEN: Final = "\x00"

_LENGTH: Final = struct.Struct("<Q")
_PLAIN: Final = 2
"""Of marshal's formats the one that does not look for objects it has seen: for a few thousand texts it is faster."""


class Spool:
    """Appends pieces: dicts of lists, texts, numbers and arrays (which come back as bytes). For one thread at a time.
    Many texts are one (``together``): each for itself would be made, and made again, as an object of its own.

    Both processes run the same Python, so marshal's format is theirs alone. Raises OSError where memory is refused.
    """

    def __init__(self) -> None:
        self.fd = _memory()
        self.end = 0
        """Bytes of whole pieces."""

    def append(self, piece: dict[str, Any]) -> None:
        """Add a piece. Raises OSError (no room) or ValueError (what marshal cannot say); then nothing was added."""
        said = marshal.dumps(piece, _PLAIN)
        wanted = _LENGTH.size + len(said)
        if os.pwritev(self.fd, [_LENGTH.pack(len(said)), said], self.end) != wanted:
            raise OSError("no room for answers on their way into the prediction log")
        self.end += wanted

    def close(self) -> None:
        """Let the file go."""
        os.close(self.fd)


def together(texts: Sequence[str]) -> str | list[str]:
    """Texts as one, with ``BETWEEN`` between each two; as they are where one of them holds that."""
    told = BETWEEN.join(texts)
    return told if told.count(BETWEEN) == len(texts) - 1 else list(texts)


def pieces(fd: int, end: int | None = None) -> Iterator[dict[str, Any]]:
    """The pieces of a spool up to byte ``end``; without it all that are whole (who appended may have been killed)."""
    size = os.fstat(fd).st_size if end is None else end
    at = 0
    while at + _LENGTH.size <= size:
        (length,) = _LENGTH.unpack(os.pread(fd, _LENGTH.size, at))
        at += _LENGTH.size
        if at + length > size:
            return
        yield marshal.loads(os.pread(fd, length, at))
        at += length


def _memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("prediction-log", os.MFD_CLOEXEC)
    fd, name = tempfile.mkstemp()
    Path(name).unlink()
    return fd
