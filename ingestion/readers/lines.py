"""A byte stream in blocks of whole lines, in bounded memory: a line longer than a block is cut out, not swallowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

HOPELESS: Final = 100_000
"""A file whose first so many lines are all broken is refused: kept one by one they would only fill the disk."""

_KEPT_BYTES: Final = 131_072
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TooLong:
    """A line longer than a block: its beginning, and how long it was."""

    head: bytes
    length: int


def line_blocks(read: Callable[[int], bytes], block_bytes: int) -> Iterator[bytes | TooLong]:
    """Blocks of some ``block_bytes`` that end where a line ends (the last one wherever the stream ends).

    ``read(n)`` gives the next at most n bytes. Never holds more than two blocks. A byte order mark is dropped.

    >>> import io
    >>> list(line_blocks(io.BytesIO(b"a\\nbcdefghijkl\\nc").read, 4))
    [b'a\\n', TooLong(head=b'bcdef', length=11), b'c']
    """
    rest = read(len(_BOM)).removeprefix(_BOM)
    while piece := read(block_bytes):
        rest += piece
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, -1)) + 1
        if end:
            yield rest[:end]
            rest = rest[end:]
        if len(rest) > block_bytes:
            head, length, rest = rest[:_KEPT_BYTES], len(rest), b""
            while piece := read(block_bytes):
                line, newline, rest = piece.partition(b"\n")
                length += len(line)
                if newline:
                    break
            yield TooLong(head, length)
    if rest:
        yield rest


def as_text(line: bytes) -> str:
    """A line as text; bytes that are not UTF-8 are written ``\\xNN``."""
    return line.decode("utf-8", "backslashreplace")
