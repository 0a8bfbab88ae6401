"""Rows as the LMDB online store's file keeps them: one msgpack array per key, each view in a database of its own.

Without Feast, whose import takes seconds and a hundred megabytes: who answers thousands of questions a second reads
rows here (``bentos.store.lmdb_source``); ``feature_repo.lmdb_store`` is the same file as Feast sees it. Why it lies so:
docs/adr/0020.
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

from feature_repo.lmdb_files import named, present
from parked.errors import ConflictError

EVENT_US: Final = "event_timestamp_us"
"""First field of every row: when it became known, microseconds since the epoch."""

MAP_BYTES: Final = 1 << 40
"""Address space, not disk or memory: the file is as large as what is in it."""

MOST_VIEWS: Final = 1024
"""Of all projects in one file."""

_FIELDS: Final = b"\x00fields\x00"
"""What the key of a view's list of fields begins with; it lies beside the views."""

_TYPES: Final = b"\x00types\x00"
"""What the key of a view's types by field begins with."""

_WAS: Final = "\x00"
"""Stands between a field's name and its type in the name of what it was when it had that type."""

EMPTY: Final = b"\x90"
"""A row without values."""

LONGEST_KEY: Final = 511

Row = tuple[Any, ...]
Keys = Mapping[bytes, Sequence[bytes]]
"""``key_of`` keys by view."""


class PackedFile:
    """The file as this process holds it open. Safe to use from several threads and beside any writer."""

    def __init__(self, path: Path) -> None:
        """``path``: the store's folder (made where it is not there). Raises InputError where it holds no such file."""
        path.mkdir(parents=True, exist_ok=True)
        with named(path):
            self._environment: Any = lmdb.open(
                str(path), map_size=MAP_BYTES, max_readers=512, readahead=False, max_spare_txns=16, max_dbs=MOST_VIEWS
            )
        self._path, self._opened = path, present(path)
        self._environment.reader_check()  # what killed readers had: there are only so many places
        self._views: dict[bytes, Any] = {}
        self._lock = threading.Lock()

    def begin(self, *, write: bool = False, buffers: bool = False) -> lmdb.Transaction[Any]:
        """A transaction, all of one moment; one that writes waits for the one before.

        Who writes first lets go what readers that were killed still held: LMDB would keep it, and every page written
        since, until all processes have closed the file.
        """
        if write:
            self._environment.reader_check()
        begun: lmdb.Transaction[Any] = self._environment.begin(write=write, buffers=buffers)
        return begun

    def view(self, view: bytes, *, make: bool = False) -> Any:
        """The handle of a view's rows, for LMDB's calls; None where the view is not there, unless to ``make`` it.

        Waits for who writes, once: not to be called within a transaction.
        """
        found = self._views.get(view)
        if found is None:
            with self._lock:
                try:
                    found = self._views.get(view) or self._environment.open_db(view, create=make)
                except lmdb.NotFoundError:
                    return None
                self._views[view] = found
        return found

    def taken(self) -> list[str]:
        """Which of its files were removed or replaced since: this goes on reading what was there before."""
        return [name for name, opened in self._opened.items() if present(self._path)[name] != opened]

    def close(self) -> None:
        """Let it go."""
        self._environment.close()


class PackedRows:
    """Reads rows. Safe to use from several threads and beside any writer."""

    def __init__(self, path: Path) -> None:
        """``path``: the store's folder (made where it is not there)."""
        self._file = file_of(path)

    def rows(self, keys: Keys) -> dict[bytes, list[Row | None]]:
        """Rows by view and ``key_of`` keys, all from one moment; None where there is none. A row may be shorter
        (written before a field was declared) or longer (after) than ``fields``."""
        views = {view: self._file.view(view) for view in keys}
        with self._file.begin(buffers=True) as transaction:
            return {view: unpacked(transaction, views[view], of) for view, of in keys.items()}

    def replaced(self) -> bool:
        """Whether the folder was removed, or holds another file by now."""
        return bool(self._file.taken())

    def handle(self, view: bytes) -> Any:
        """By what ``stored`` knows a view (made where it is not there)."""
        return self._file.view(view, make=True)

    def stored(self, *wanted: tuple[Any, Sequence[bytes]]) -> list[list[bytes]]:
        """Rows as they are stored, for each (``handle`` of a view, keys) a list, all from one moment; ``EMPTY`` where
        there is none."""
        with self._file.begin() as transaction:  # a copy costs less than a buffer
            get = transaction.get
            return [[get(key, EMPTY, view) for key in keys] for view, keys in wanted]

    def first(self, view: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """The first rows of a view, at most ``count``: each one's key, and the row as it is stored."""
        handle = self._file.view(view)
        if handle is None:
            return []
        with self._file.begin() as transaction, transaction.cursor(handle) as cursor:
            return [item for _, item in zip(range(count), cursor, strict=False)]

    def fields(self, view: bytes) -> list[str]:
        """Names of a row's values, EVENT_US first; empty where nothing was ever declared.

        They only grow, and each means the same for ever but one whose type changed (``declare``): it moves.
        """
        with self._file.begin() as transaction:
            return fields_of(told_fields(transaction, view))


def unpacked(transaction: lmdb.Transaction, view: Any, keys: Sequence[bytes]) -> list[Row | None]:
    """Rows of the view with this handle; None where there is none, or no view."""
    if view is None:
        return [None] * len(keys)
    get, unpack = transaction.get, msgpack.unpackb
    return [None if (packed := get(key, None, view)) is None else unpack(packed, use_list=False) for key in keys]


def view_of(project: str, name: str) -> bytes:
    """By what the rows of a project's view are found."""
    return f"{project}/{name}".encode()


def key_of(values: Sequence[str]) -> bytes:
    """The key of a row in its view: its join keys' values from the last of their names to the first, each told apart
    by its length. So a place (``device_id``, ``cell``) lies beside its phone's other places.

    A key too long for LMDB is its SHA-256; an empty one, which LMDB does not take, a zero byte.
    """
    if len(values) == 1:
        key = values[0].encode()
    else:
        parts = [value.encode() for value in values]
        key = b"".join([b"%d:%b" % (len(part), part) for part in parts])
    return (key or b"\x00") if len(key) <= LONGEST_KEY else b"\x00" + hashlib.sha256(key).digest()


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


def drop(transaction: lmdb.Transaction, view: bytes, handle: Any) -> None:
    """Remove a view: its rows and its fields. ``handle``: of its rows, None where there are none."""
    transaction.delete(_FIELDS + view)
    transaction.delete(_TYPES + view)
    if handle is not None:
        transaction.drop(handle, delete=False)  # others may hold the emptied view open


def drop_older(transaction: lmdb.Transaction) -> int:
    """Remove what an older version left: rows of all views beside one another; says how many."""
    removed = 0
    with transaction.cursor() as cursor:
        there = cursor.first()
        while there:
            key = bytes(cursor.key())
            # A view's name holds no zero byte; rows had one after the name, and what is told of fields had one at the
            # end, too.
            older = b"\x00" in key and (not key.startswith((_FIELDS, _TYPES)) or key.endswith(b"\x00"))
            removed += older
            there = cursor.delete() if older else cursor.next()
    return removed


_LOCK = threading.Lock()
_OPEN: dict[Path, PackedFile] = {}
"""LMDB allows one handle per file and process."""


def file_of(path: Path) -> PackedFile:
    """The process's handle of the file in the folder ``path``."""
    found = _OPEN.get(path)
    if found is None:
        with _LOCK:
            found = _OPEN.get(path)
            if found is None:
                found = _OPEN[path] = PackedFile(path)
    return found


def forget_replaced(path: Path) -> None:
    """Let this process's handle go if the folder was removed or made anew: ``file_of`` opens what is there now. Who
    still reads from it may finish.

    Raises ConflictError where one of its two files alone was: LMDB would take away the other one's locks.
    """
    with _LOCK:
        opened = _OPEN.get(path)
        taken = opened.taken() if opened is not None else []
        if len(taken) == 1:
            raise ConflictError(f"{path}: {taken[0]} was removed or replaced alone", mend="restart the server")
        if taken:
            del _OPEN[path]


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
