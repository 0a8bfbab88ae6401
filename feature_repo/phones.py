"""Whether one of Feast's own online stores knows phones, and some of them. Feast reads by key alone; each store can be
asked for keys.

Of the embedded store ``feature_repo.packed`` says it (``PackedRows.first``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from feature_repo.declare import DEVICE
from feature_repo.store import REDIS

if TYPE_CHECKING:
    from feast import FeatureStore


def some_phones(store: FeatureStore, most: int) -> list[str]:
    """Ids of phones that have a ``device_state``, ``most`` at most, whichever come first; [] of another kind of store.

    Raises SettingError where the store is a server and does not answer.
    """
    view, online = store.get_feature_view(DEVICE), store._get_provider().online_store
    if store.config.online_store.type == REDIS:
        found: Iterable[bytes] = online.some_keys(store.config, view, most)
    elif store.config.online_store.type == "sqlite":
        found = _in_sqlite(store, online, view, most)
    else:
        found = ()
    return [_phone(key) for key in islice(found, most)]


def was_loaded(store: FeatureStore) -> bool:
    """Whether a Redis was ever filled and did not forget it: else whoever it does not know may be known.

    Files do not forget: what of SQLite is gone is an error, and of the embedded store, not open. Raises SettingError
    where the server does not answer.
    """
    return bool(store._get_provider().online_store.was_loaded(store.config))


def _in_sqlite(store: FeatureStore, online: Any, view: Any, most: int) -> list[bytes]:
    from feast.infra.online_stores.sqlite import _quote_id, _table_id

    table = _quote_id(
        _table_id(store.config.project, view, store.config.registry.enable_online_feature_view_versioning)
    )
    connection: sqlite3.Connection = online._get_conn(store.config)
    rows = connection.execute(f"SELECT DISTINCT entity_key FROM {table} LIMIT ?", (most,))
    return [key for (key,) in rows.fetchall()]


def _phone(key: bytes) -> str:
    from feast.infra.key_encoding_utils import deserialize_entity_key

    (value,) = deserialize_entity_key(key, entity_key_serialization_version=3).entity_values
    return str(value.string_val)
