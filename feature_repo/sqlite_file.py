"""Feast's SQLite store keeps one connection for good, also of a file that another has taken the place of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureStore


def keep_up(store: FeatureStore) -> None:
    """Let the connection go that reads a file which was removed or replaced: the next read opens what is there now.

    For one thread at a time, between two reads. Raises FileNotFoundError where there is no file (a connection would
    make an empty one), OSError.
    """
    online: Any = store._get_provider().online_store
    told = Path(store.config.online_store.path).stat()
    there = told.st_dev, told.st_ino
    if online._conn is not None and online.__dict__.get("_parked_file", there) != there:
        online._conn.close()
        online._conn = None
    online._parked_file = there
