"""The online stores side by side: the same views in LMDB, in Feast's SQLite store and in a real Redis server."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feast.types
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Int64List, StringList, Value
from feast.value_type import ValueType

from feature_repo.store import sqlite_file, store_config
from ingestion.features.apply import readers_beside_writers
from parked.settings import Settings

KINDS = ("lmdb", "sqlite", "redis")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

TYPES = {
    "double": (feast.types.Float64, Value(double_val=0.1)),
    "float": (feast.types.Float32, Value(float_val=0.1)),
    "long": (feast.types.Int64, Value(int64_val=-(2**60))),
    "int": (feast.types.Int32, Value(int32_val=7)),
    "text": (feast.types.String, Value(string_val="ß")),
    "flag": (feast.types.Bool, Value(bool_val=False)),
    "bytes": (feast.types.Bytes, Value(bytes_val=b"\x00\xff")),
    "moment": (feast.types.UnixTimestamp, Value(unix_timestamp_val=1_700_000_000)),
    "texts": (feast.types.Array(feast.types.String), Value(string_list_val=StringList(val=["a", "b"]))),
    "longs": (feast.types.Array(feast.types.Int64), Value(int64_list_val=Int64List(val=[1, -2]))),
}
VALUES = {name: value for name, (_, value) in TYPES.items()}
NULLS = dict.fromkeys(VALUES, Value())

ENTITIES = {name: Entity(name=f"the_{name}", join_keys=[name], value_type=ValueType.STRING) for name in ("a", "b", "k")}

Data = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


def view(
    name: str, fields: dict[str, Any] | None = None, keys: Sequence[str] = ("k",), ttl: timedelta | None = None
) -> FeatureView:
    kinds = fields or {field: kind for field, (kind, _) in TYPES.items()}
    return FeatureView(
        name=name,
        entities=[ENTITIES[key] for key in keys],
        schema=[
            *(Field(name=key, dtype=feast.types.String) for key in keys),
            *(Field(name=field, dtype=kind) for field, kind in kinds.items()),
        ],
        source=FileSource(name=f"{name}_source", path="none.parquet", timestamp_field="at"),
        ttl=ttl,
    )


def entity(**keys: str) -> EntityKey:
    return EntityKey(join_keys=list(keys), entity_values=[Value(string_val=value) for value in keys.values()])


def number(key: str, value: int, at: datetime = NOON, name: str = "x") -> Data:
    return (entity(k=key), {name: Value(int64_val=value)}, at, None)


@dataclass
class Shop:
    """A FeatureStore over one of the online stores, and short ways to its parts."""

    kind: str
    store: FeatureStore
    settings: Settings

    @property
    def online(self) -> Any:
        return self.store._get_provider().online_store

    @property
    def config(self) -> RepoConfig:
        return self.store.config

    def apply(self, *views: FeatureView) -> None:
        self.store.apply([*ENTITIES.values(), *views])
        self.store.refresh_registry()

    def write(self, table: FeatureView, *rows: Data) -> None:
        self.online.online_write_batch(self.config, table, list(rows), None)

    def read(self, table: FeatureView, *keys: EntityKey, names: list[str] | None = None) -> list[Any]:
        return list(self.online.online_read(self.config, table, list(keys), names))

    def numbers(self, table: FeatureView, *keys: str) -> list[int | None]:
        rows = self.read(table, *(entity(k=key) for key in keys))
        return [None if values is None else values["x"].int64_val for _, values in rows]


def open_shop(kind: str, home: Path, redis: str) -> Shop:
    """A shop of its own home; ``redis``: ``host:port``, where ``kind`` is redis."""
    settings = Settings(home=home, online_store=kind, redis_connection=redis or "127.0.0.1:1")  # type: ignore[arg-type]
    settings.feast_dir.mkdir(parents=True, exist_ok=True)
    if kind == "sqlite":
        readers_beside_writers(sqlite_file(settings))
    return Shop(kind, FeatureStore(config=RepoConfig(**store_config(settings), repo_path=home)), settings)


def online_of(config: RepoConfig) -> Any:
    """The online store of a configuration, made as Feast makes it."""
    module, _, name = {
        "sqlite": "feast.infra.online_stores.sqlite.SqliteOnlineStore",
    }.get(config.online_store.type, config.online_store.type).rpartition(".")
    return getattr(importlib.import_module(module), name)()
