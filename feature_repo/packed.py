"""Rows as the LMDB online store's file keeps them: one msgpack array per key and view, in one memory-mapped file.

Without Feast, whose import takes seconds and a hundred megabytes: who answers thousands of questions a second reads
rows here (``bentos.lmdb_source``); ``feature_repo.lmdb_store`` is the same file as Feast sees it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lmdb
import msgpack

EVENT_US: Final = "event_timestamp_us"
"""First field of every row: when it became known, microseconds since the epoch."""

MAP_BYTES: Final = 1 << 40
"""Address space, not disk or memory: the file is as large as what is in it."""

_FIELDS: Final = b"\x00fields\x00"
"""What the key of a view's list of fields begins with."""

_TYPES: Final = b"\x00types\x00"
"""What the key of a view's types by field begins with."""

_WAS: Final = "\x00"
"""Stands between a field's name and its type in the name of what it was when it had that type."""

EMPTY: Final = b"\x90"
"""A row without values."""

LONGEST_KEY: Final = 511

Row = tuple[Any, ...]


class PackedRows:
    """Reads rows. Safe to use from several threads and beside any writer."""

    def __init__(self, path: Path) -> None:
        """``path``: the store's folder (made where it is not there)."""
        self._environment = environment_of(path)

    def rows(self, keys: Sequence[bytes]) -> list[Row | None]:
        """Rows by ``key_of`` keys, of any views, all from one moment; None where there is none. A row may be shorter
        (written before a field was declared) or longer (after) than ``fields``."""
        with self._environment.begin(buffers=True) as transaction:
            get, unpack = transaction.get, msgpack.unpackb
            return [None if (packed := get(key)) is None else unpack(packed, use_list=False) for key in keys]

    def stored(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Rows as they are stored, all from one moment; None where there is none."""
        with self._environment.begin() as transaction:
            return [transaction.get(key) for key in keys]

    def first(self, view: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """The first rows of a view, at most ``count``: the rest of each one's key, and the row as it is stored."""
        found: list[tuple[bytes, bytes]] = []
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            there = cursor.set_range(view)
            while there and len(found) < count and cursor.key().startswith(view):
                found.append((cursor.key()[len(view) :], cursor.value()))
                there = cursor.next()
        return found

    def joined(self, keys: Sequence[bytes | tuple[bytes]]) -> bytearray:
        """The rows as they are stored, one after another, all from one moment; an empty one where there is none. In
        the place of a key may stand a row itself, in a tuple."""
        with self._environment.begin() as transaction:  # a copy costs less than a buffer
            get = transaction.get
            return bytearray().join([key[0] if isinstance(key, tuple) else get(key, EMPTY) for key in keys])

    def fields(self, view: bytes) -> list[str]:
        """Names of a row's values, EVENT_US first; empty where nothing was ever declared.

        They only grow, and each means the same for ever but one whose type changed (``declare``): it moves.
        """
        with self._environment.begin() as transaction:
            return fields_of(told_fields(transaction, view))


def view_of(project: str, name: str) -> bytes:
    """What the keys of a project's view begin with."""
    return f"{project}/{name}\x00".encode()


def key_of(view: bytes, values: Sequence[str]) -> bytes:
    """The key of a row: its view and its join keys' values in the order of their names, each told apart by length.

    A key too long for LMDB is its SHA-256.
    """
    if len(values) == 1:
        key = view + str(values[0]).encode()
    else:
        parts = [str(value).encode() for value in values]
        key = view + b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return key if len(key) <= LONGEST_KEY else view + b"\x00" + hashlib.sha256(key).digest()


def moment_of(packed: Any) -> int:
    """EVENT_US of a packed row (bytes-like) without unpacking the rest."""
    at = 1 if packed[0] != 0xDC else 3
    if packed[at] in (0xCF, 0xD3):  # the moments of our time, unsigned as msgpack packs them or signed as `pack` does
        return int.from_bytes(packed[at + 1 : at + 9], "big", signed=packed[at] == 0xD3)
    return int(msgpack.unpackb(packed)[0])


def told_fields(transaction: lmdb.Transaction, view: bytes) -> bytes:
    """A view's fields as they are stored: to see whether they changed. Empty where none were declared."""
    told = transaction.get(_FIELDS + view)
    return b"" if told is None else bytes(told)


def fields_of(told: bytes) -> list[str]:
    """What ``told_fields`` says, as ``PackedRows.fields``."""
    return json.loads(told) if told else []


def declare(transaction: lmdb.Transaction, view: bytes, fields: Mapping[str, str]) -> list[str]:
    """A view's fields with those of ``fields`` (name → type, as Feast's ValueType names it) among them.

    New ones come last, so that rows already there stay readable. A field whose type is another than before begins anew
    at the end: what rows hold of the old type stays in its place under a name that nobody asks for, and is the field's
    again should the type come back. An empty type: not known.
    """
    known, types = fields_of(told_fields(transaction, view)), _types(transaction, view)
    before = list(known), dict(types)
    for name, kind in fields.items():
        had = types.get(name) or kind
        if name not in known:
            known.append(name)
        elif kind and kind != had:
            was, again = f"{name}{_WAS}{had}", f"{name}{_WAS}{kind}"
            known[known.index(name)] = was
            if again in known:
                known[known.index(again)] = name
            else:
                known.append(name)
        if kind:
            types[name] = kind
    if (known, types) != before:
        transaction.put(_FIELDS + view, json.dumps(known).encode())
        transaction.put(_TYPES + view, json.dumps(types).encode())
    return known


def _types(transaction: lmdb.Transaction, view: bytes) -> dict[str, str]:
    told = transaction.get(_TYPES + view)
    return {} if told is None else json.loads(bytes(told))


def drop(transaction: lmdb.Transaction, view: bytes) -> None:
    """Remove a view: its rows and its fields."""
    transaction.delete(_FIELDS + view)
    transaction.delete(_TYPES + view)
    cursor = transaction.cursor()
    if cursor.set_range(view):
        while bytes(cursor.key()).startswith(view) and cursor.delete():
            pass


_LOCK = threading.Lock()
_OPEN: dict[Path, lmdb.Environment] = {}
"""LMDB allows one handle per file and process."""


def environment_of(path: Path) -> lmdb.Environment:
    """The process's handle of the file in the folder ``path``."""
    found = _OPEN.get(path)
    if found is None:
        with _LOCK:
            found = _OPEN.get(path)
            if found is None:
                path.mkdir(parents=True, exist_ok=True)
                found = lmdb.open(str(path), map_size=MAP_BYTES, max_readers=512, readahead=False, max_spare_txns=16)
                _OPEN[path] = found
    return found


def remove(path: Path) -> None:
    """Close this process's handle, if there is one, and remove the file."""
    with _LOCK:
        opened = _OPEN.pop(path, None)
        if opened is not None:
            opened.close()
        shutil.rmtree(path, ignore_errors=True)


def _reset_after_fork() -> None:
    _OPEN.clear()  # a handle must not be used on both sides of a fork


os.register_at_fork(after_in_child=_reset_after_fork)
