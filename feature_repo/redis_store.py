"""Feast's own Redis store, for several machines, with what the platform needs beside it.

* A server that does not answer is one line naming the setting, not a traceback of sockets.
* A key that is not there is NOT_FOUND, as with the other stores (Feast's gives nulls that are PRESENT).
* Whether the platform's loader has ever filled it is kept there: a server that lost its memory, or another one, would
  otherwise say of every phone that it was never seen.
* Rows that the loader has compared already are written as they are (``write_compared``): Feast's own write passes over
  rows of an equal moment, so a build of new definitions would change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

from feast.entity import Entity
from feast.feature_view import FeatureView
from feast.infra.online_stores.helpers import _redis_key_prefix
from feast.infra.online_stores.redis import RedisOnlineStore as FeastRedisStore
from feast.infra.online_stores.redis import RedisOnlineStoreConfig as FeastRedisConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from feature_repo.redis_address import place_of
from parked.errors import SettingError, first_line

Data = list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]
_AT_ONCE = 1_000
_LOOKED_AT = 50_000
Found = tuple[datetime | None, dict[str, Value] | None]


class RedisOnlineStoreConfig(FeastRedisConfig):  # type: ignore[misc]
    """``online_store`` of a feature_store.yaml: Feast's own options."""

    type: Literal["feature_repo.redis_store.RedisOnlineStore"] = "feature_repo.redis_store.RedisOnlineStore"


class RedisOnlineStore(FeastRedisStore):  # type: ignore[misc]
    """See the module. Everything raises SettingError where the server does not answer or refuses."""

    def _get_client(self, online_store_config: RedisOnlineStoreConfig) -> Any:
        fresh = self._client is None
        client = super()._get_client(online_store_config)
        if fresh:
            client.set_retry(Retry(NoBackoff(), 1))  # redis-py's own three tries take seconds, which a request has not
        return client

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Data, progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows; one that is not newer than the one stored is passed over."""
        with _answering(config.online_store.connection_string):
            super().online_write_batch(config, table, data, progress)

    def write_compared(self, config: RepoConfig, table: FeatureView, data: Data) -> None:
        """Write rows whatever is stored: for who has compared them, or means to replace."""
        unguarded = config.model_copy()
        unguarded._online_store = config.online_store.model_copy(update={"skip_dedup": True})
        self.online_write_batch(unguarded, table, data, None)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Remove the rows of views that are gone."""
        with _answering(config.online_store.connection_string):
            super().update(config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Remove the keys of these views."""
        with _answering(config.online_store.connection_string):
            super().teardown(config, tables, entities)
            self._get_client(config.online_store).delete(_loaded_key(config))

    def note_loaded(self, config: RepoConfig) -> None:
        """Keep that the newest rows of all views were written."""
        with _answering(config.online_store.connection_string):
            self._get_client(config.online_store).set(_loaded_key(config), "yes")

    def was_loaded(self, config: RepoConfig) -> bool:
        """Whether ``note_loaded`` was said to this server, and it kept it."""
        with _answering(config.online_store.connection_string):
            return bool(self._get_client(config.online_store).exists(_loaded_key(config)))

    def some_keys(self, config: RepoConfig, table: FeatureView, most: int) -> list[bytes]:
        """Serialized entity keys that rows of ``table``'s entities are under, about ``most``, whichever come first.

        Looked for among the database's first ``_LOOKED_AT`` keys or so: others' may be there in any number.
        """
        prefix, project = _redis_key_prefix(table.join_keys), config.project.encode()
        client, found, cursor = self._get_client(config.online_store), set[bytes](), 0
        with _answering(config.online_store.connection_string):
            for _ in range(0, _LOOKED_AT, _AT_ONCE):
                cursor, keys = client.scan(cursor, count=_AT_ONCE)
                ours = (key for key in keys if key.startswith(prefix) and key.endswith(project))
                found.update(key.removesuffix(project) for key in ours)
                if not cursor or len(found) >= most:
                    break
        return sorted(found)[:most]

    def _read_hash_fields(self, config: RepoConfig, commands: list[Any]) -> list[Any]:
        with _answering(config.online_store.connection_string):
            return list(super()._read_hash_fields(config, commands))

    def _get_features_for_entity(
        self, values: Sequence[bytes | None], feature_view: str, requested_features: list[str]
    ) -> Found:
        known = dict(zip(requested_features, values, strict=True)).get(f"_ts:{feature_view}")
        if known is None:
            return None, None
        found: Found = super()._get_features_for_entity(values, feature_view, requested_features)
        return found


def require_answer(connection: str) -> None:
    """Raises SettingError where the server of a connection (``feast_connection``) does not answer, or one of
    its options is wrong. Changes nothing."""
    (node, *_), options = FeastRedisStore._parse_connection_string(connection)
    try:
        with (
            _answering(connection),
            Redis(host=node["host"], port=node["port"], retry=Retry(NoBackoff(), 1), **options) as client,
        ):
            client.ping()
    except (TypeError, ValueError) as error:  # redis-py's, of an option that it does not have or cannot use
        raise SettingError(
            f"PARKED_REDIS_CONNECTION: {place_of(connection)}: an option is wrong ({first_line(error)})",
            mend="say host:port[,db=0][,password=...], and of options those of redis-py",
        ) from None


@contextmanager
def _answering(connection: str) -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        place = place_of(connection)
        raise SettingError(
            f"PARKED_REDIS_CONNECTION: {place} does not serve ({first_line(error)})",
            mend="start the Redis server or correct the setting",
        ) from None


def _loaded_key(config: RepoConfig) -> str:
    return f"{config.project}:loaded"
