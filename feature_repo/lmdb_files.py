"""The two files of a LMDB store as the system sees them: which they are, and what LMDB says that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from parked.errors import InputError, first_line


@contextmanager
def named(path: Path) -> Iterator[None]:
    """LMDB's errors as one line that names the file. Raises InputError."""
    try:
        yield
    except lmdb.Error as error:
        damaged = isinstance(error, lmdb.InvalidError | lmdb.CorruptedError | lmdb.VersionMismatchError)
        mend = "remove this folder, then run `parked features build`" if damaged else "check the disk and permissions"
        raise InputError(f"{path}: {first_line(error).removeprefix(f'{path}: ')}", mend=mend) from None


def present(path: Path) -> dict[str, tuple[int, int] | None]:
    """Which files (device, inode) the two of a store are now; None: not there."""
    found: dict[str, tuple[int, int] | None] = {}
    for name in ("data.mdb", "lock.mdb"):
        try:
            told = (path / name).stat()
        except OSError:
            found[name] = None
        else:
            found[name] = told.st_dev, told.st_ino
    return found
