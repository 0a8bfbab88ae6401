"""Durable file writes: a reader sees the old file or the new one, never half of either."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from parked.errors import InputError, first_line, is_full

PARQUET_DAMAGE: Final = (pa.ArrowException, OSError, ValueError, LookupError, NotImplementedError)
"""What pyarrow raises on a damaged Parquet file: nearly anything."""


def unreadable(path: Path, what: str, error: Exception) -> InputError:
    """One line for a file of ``what`` that is no readable Parquet; to be raised."""
    return InputError(f"{path}: not a readable Parquet file ({first_line(error)})", mend=f"give {what} as Parquet")


@contextmanager
def naming_full(path: Path) -> Iterator[None]:
    """Have the error of a full disk name ``path``, where it names no file (Arrow's name none)."""
    try:
        yield
    except OSError as error:
        if is_full(error) and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that replaces it when the block succeeds (fsync, rename, fsync of the folder).

    On an exception the temporary file is removed and ``target`` is as it was. A link stays one: what it leads to is
    replaced. Raises InputError where that is a folder, or a device or pipe (renamed over, /dev/null would be no more).
    """
    if target.is_symlink():
        target = Path(os.path.realpath(target))  # unlike resolve(), does not raise where links run in a circle
    if target.is_dir():
        raise InputError(f"{target}: is a folder", mend="give a file's path")
    if target.exists() and not target.is_file():
        raise InputError(f"{target}: no regular file", mend="give a file's path")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with naming_full(target):
            yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write ``content`` durably and atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` (UTF-8) durably and atomically."""
    write_bytes(target, text.encode())


def take_blocks(fd: int, size: int) -> None:
    """Have all blocks of an open file, made ``size`` bytes long where it is shorter, before it is mapped.

    Of a hole that is written to while the disk is full comes no error that could be caught but SIGBUS.
    fd: not opened to append; the C library takes blocks by none that is where the file system cannot (NFS before 4.2).
    Raises OSError, and leaves the file as long as it was.
    """
    had = os.fstat(fd).st_size
    try:
        os.posix_fallocate(fd, 0, max(had, size))
    except OSError:
        os.ftruncate(fd, had)  # what could be had of it
        raise


def write_table(
    target: Path, table: pa.Table, *, dictionary: Sequence[str] | None = None, checksums: bool = False
) -> None:
    """Write an Arrow table as zstd Parquet durably and atomically. Same rows, same bytes.

    ``dictionary``: columns that repeat few values (default: all are tried). Naming them halves the time to read back a
    table whose other columns hold no value twice. ``checksums``: of each page, so that a reader who asks for it
    (``page_checksum_verification``) is told of a bit that changed, where he would get another value.
    """
    with atomic_path(target) as temporary:
        use = True if dictionary is None else list(dictionary)
        pq.write_table(table, temporary, compression="zstd", use_dictionary=use, write_page_checksum=checksums)


def least_and_greatest(file: pq.ParquetFile, column: str, group: int) -> tuple[str, str] | None:
    """Bounds of a text column's values in a row group, as the file's statistics tell them.

    None where they tell none, or bytes that are no text, or of numbers, which rise in another order than their texts.
    Raises ValueError where the file has no such column.
    """
    leaves = [file.schema.column(i).path for i in range(len(file.schema))]  # of a struct, one for each of its fields
    told = file.metadata.row_group(group).column(leaves.index(column)).statistics
    try:
        if not told or not told.has_min_max or not isinstance(told.min, str):
            return None
        return told.min, told.max
    except UnicodeDecodeError:
        return None


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_regular(path: Path) -> None:
    """Raises InputError where ``path`` is a pipe, a device or a socket: to open one may wait for ever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path}: no regular file", mend="write what it gives to a file, and give that")


def check_once(what: str, names: Sequence[str]) -> None:
    """Raises InputError where two columns of a table (called ``what``) have one name: nobody knows which is meant."""
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise InputError(f"{what}: two columns are called {twice!r}", mend="rename or drop one")
