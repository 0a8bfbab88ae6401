"""A part of the prediction log before it is one: pieces of answers in a file in memory, which two processes hold open.

Who answers appends (``Spool``), who writes reads (``pieces``). The file has no name: it is gone with the last who holds
it, and outlives the other.
"""

from __future__ import annotations

import marshal
import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

BETWEEN: Final = "\x00"

_HEAD: Final = struct.Struct("<QQ")
"""Before a piece: bytes of its dict and of its buffers."""
_NO_MORE: Final = _HEAD.pack(0, 0)
"""After the last; what follows is of an earlier use."""
_PLAIN: Final = 2
"""Of marshal's formats the one that does not look for objects it has seen: for a few thousand texts it is faster."""


class Spool:
    """Appends pieces: dicts of lists, texts, numbers and arrays (which come back as bytes), and beside them buffers,
    which are copied once and no more. For one thread at a time.
    Many texts are one (``together``): each for itself would be made, and made again, as an object of its own.

    Both processes run the same Python, so marshal's format is theirs alone. Raises OSError where memory is refused.
    """

    def __init__(self) -> None:
        self.fd = _memory()
        self.end = 0
        """Bytes of whole pieces."""

    def append(self, piece: dict[str, Any], buffers: Sequence[npt.NDArray[Any]] = ()) -> None:
        """Add a piece. Raises OSError (no room) or ValueError (what marshal cannot say); then nothing was added."""
        sizes = [buffer.nbytes for buffer in buffers]
        said = marshal.dumps((piece, sizes), _PLAIN)
        beside = sum(sizes)
        wanted = len(said) + beside + _HEAD.size
        whole = [said, *buffers, _NO_MORE]
        if os.pwritev(self.fd, whole, self.end + _HEAD.size) != wanted:  # type: ignore[arg-type]  # arrays are buffers
            raise OSError("no room for answers on their way into the prediction log")
        # Last: who reads after this process was killed finds a whole piece, or the end where it was before.
        os.pwrite(self.fd, _HEAD.pack(len(said), beside), self.end)
        self.end += wanted

    def empty(self) -> None:
        """Begin anew, in the memory it has."""
        os.pwrite(self.fd, _NO_MORE, 0)
        self.end = 0

    def close(self) -> None:
        """Let the file go."""
        os.close(self.fd)


class Spools:
    """Spools that were emptied, to be filled again: memory that was just used costs a fraction of new one. Those that
    nobody has wanted for a while are let go. For any thread."""

    def __init__(self, *, idle_s: float, now_s: Callable[[], float]) -> None:
        self._idle_s = idle_s
        self._now_s = now_s
        self._empty: list[tuple[float, Spool]] = []
        """And since when each lies here, the last on top."""

    def take(self) -> Spool:
        """An empty one. Raises OSError where there is no memory for it."""
        try:
            return self._empty.pop()[1]
        except IndexError:
            return Spool()

    def give(self, spool: Spool) -> None:
        """One that is not needed any more."""
        spool.empty()
        self._empty.append((self._now_s(), spool))

    def trim(self, *, all_of_them: bool = False) -> None:
        """Let those go that have lain here for too long."""
        since = self._now_s() - self._idle_s
        while self._empty and (all_of_them or self._empty[0][0] <= since):
            try:
                _, spool = self._empty.pop(0)
            except IndexError:
                return  # just taken
            spool.close()


def together(texts: Sequence[str]) -> str | list[str]:
    """Texts as one, with ``BETWEEN`` between each two; as they are where one of them holds that."""
    told = BETWEEN.join(texts)
    return told if told.count(BETWEEN) == len(texts) - 1 else list(texts)


def pieces(fd: int, end: int | None = None) -> Iterator[tuple[dict[str, Any], list[memoryview]]]:
    """The pieces of a spool up to byte ``end``, each with its buffers; without it all that are whole (who appended
    may have been killed)."""
    at = 0
    while end is None or at < end:
        head = os.pread(fd, _HEAD.size, at)
        length, beside = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
        at += _HEAD.size
        read = memoryview(os.pread(fd, length + beside, at))
        if not length or len(read) < length + beside:
            return
        piece, sizes = marshal.loads(read[:length])
        at += length + beside
        yield piece, [read[here:there] for here, there in pairwise(accumulate(sizes, initial=length))]


def _memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("prediction-log", os.MFD_CLOEXEC)
    fd, name = tempfile.mkstemp()
    Path(name).unlink()
    return fd
