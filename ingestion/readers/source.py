"""Opening an input file: plain or gzip, whole or by its head, with errors that name the file and the mend."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from parked.errors import InputError

HEAD_BYTES: Final = 65_536
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"

MAX_RATIO: Final = 200
"""Most that gzip may expand, times its own size: real exports expand 5-30 times, DEFLATE's limit is 1,032."""
RATIO_FROM_BYTES: Final = 256 * 1024 * 1024
"""What any file may expand to, whatever the ratio: small files of one repeated line are honest."""


class _Guarded(gzip.GzipFile):
    """Gunzips; raises InputError once the output is out of all proportion to the input (a decompression bomb)."""

    def __init__(self, path: Path, packed: IO[bytes]) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._path = path
        self._limit = max(RATIO_FROM_BYTES, MAX_RATIO * path.stat().st_size)
        self._given = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._given += len(data)
        if self._given > self._limit:
            raise InputError(
                f"{self._path}: expands to more than {MAX_RATIO} times its size",
                mend="unpack it yourself and give the unpacked file, if it is meant so",
            )
        return data


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed where it is gzip (by its first bytes, not by its name). Read it in pieces:
    ``read()`` without a size is bounded only by ``MAX_RATIO``.

    Raises InputError where it cannot be opened, or, inside the block, where the gzip stream is damaged or a bomb.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if packed:
                with _Guarded(path, raw) as unpacked:
                    yield cast(IO[bytes], unpacked)
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: damaged gzip ({error})", mend="copy or export it again") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", mend="check the path") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", mend="see that it is a file you may read") from None


def head_of(path: Path) -> bytes:
    """The first 64 KiB, decompressed, without a byte order mark; shorter for a short file.

    Raises InputError as ``opened`` does.
    """
    with opened(path) as stream:
        return stream.read(HEAD_BYTES).removeprefix(_BOM)
