"""Opening an input file: plain or gzip, whole or by its head, with errors that name the file and the mend."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

from parked.errors import InputError

HEAD_BYTES: Final = 65_536
_GZIP_MAGIC: Final = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed where it is gzip (by its first bytes, not by its name).

    Raises InputError where it cannot be opened, or, inside the block, where the gzip stream is damaged.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
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
    """The first 64 KiB, decompressed; shorter for a short file.

    Raises InputError as ``opened`` does.
    """
    with opened(path) as stream:
        return stream.read(HEAD_BYTES)


def text_of(path: Path) -> str:
    """The whole file as text (UTF-8, a leading byte order mark dropped).

    Raises InputError for an empty file, other encodings and damaged gzip.
    """
    with opened(path) as stream:
        data = stream.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start})", mend="save it as UTF-8") from None
    if not text.strip():
        raise InputError(f"{path}: empty", mend="give a file with records")
    return text


class Broken(str):
    """A line of newline-delimited JSON that is not JSON, as text."""

    __slots__ = ()


def json_records(path: Path) -> list[Any]:
    """The records of a JSON file: the elements of an array, one object, or a value a line (a bad line is ``Broken``).

    Raises InputError where nothing in it is JSON, an array is broken or empty, or the text cannot be read.
    """
    text = text_of(path)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        records = _lines(text)
        if text.lstrip().startswith("[") or all(isinstance(record, Broken) for record in records):
            raise InputError(f"{path}: not JSON ({error})", mend="copy or export it again") from None
        return records
    records = whole if isinstance(whole, list) else [whole]
    if not records:
        raise InputError(f"{path}: holds no records", mend="give a file with records")
    return records


def _lines(text: str) -> list[Any]:
    records: list[Any] = []
    for line in text.split("\n"):  # not splitlines: U+2028 may stand inside a JSON string
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            records.append(Broken(line))
    return records
