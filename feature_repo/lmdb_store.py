"""Feast's online store in one memory-mapped file (LMDB): the embedded default.

One packed row per key and view (msgpack), where Feast's SQLite store keeps one row per feature and turns every value
into protobuf twice. Many processes read while one writes, without waiting for one another; a row is there whole or not
at all, also after ``kill -9``. Who wants rows rather than protobuf reads them by ``feature_repo.packed``.

As Feast's other stores do it: a key that is not there is None (NOT_FOUND), a null is an empty value (NULL_VALUE), ttl
is not enforced online. Unlike its SQLite store: an older row never replaces a newer one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import lmdb
import msgpack
from feast.entity import Entity
from feast.feature_view import FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.packed import EVENT_US, FIELDS, Row, close, environment_of, fields_of, key_of, view_of
from parked.clock import to_us

_SCALARS: Final = {
    "double_val", "float_val", "int32_val", "int64_val", "string_val", "bool_val", "bytes_val", "unix_timestamp_val",
}  # fmt: skip


class LmdbOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """``online_store`` of a feature_store.yaml."""

    type: Literal["feature_repo.lmdb_store.LmdbOnlineStore"] = "feature_repo.lmdb_store.LmdbOnlineStore"
    path: str
    """A folder; relative to the repo, as Feast's other paths."""


class LmdbOnlineStore(OnlineStore):  # type: ignore[misc]
    """See the module. Safe to use from several threads."""

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Reads are quicker than any hand-over to a thread."""
        return SupportedAsyncMethods(read=True, write=False)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows, all or none of them. An older row than the one stored is passed over."""
        names = [field.name for field in table.features]
        keys = [key_of(view_key(config, table), values_of(entity)) for entity, _, _, _ in data]
        rows = [
            (_us(event), *(_plain(values[name]) if name in values else None for name in names))
            for _, values, event, _ in data
        ]
        self.write_rows(config, table, [EVENT_US, *names], keys, rows, keep=lambda old, new: old[EVENT_US] > new[0])
        if progress is not None:
            progress(len(data))

    def write_rows(
        self,
        config: RepoConfig,
        table: FeatureView,
        names: Sequence[str],
        keys: Sequence[bytes],
        rows: Iterable[Row],
        *,
        keep: Callable[[dict[str, Any], Row], bool] | None = None,
    ) -> int:
        """Write ``rows`` of the fields ``names`` (EVENT_US first) under ``keys``, in one transaction; says how many.

        ``keep(stored, new)``: whether the stored row stays. Without it, what comes last stands.
        """
        environment = environment_of(_path(config))
        written = 0
        with environment.begin(write=True) as transaction:
            known = _declare(transaction, view_key(config, table), names)
            order = [names.index(name) if name in names else None for name in known]
            same = order == list(range(len(names)))
            for key, row in zip(keys, rows, strict=True):
                if keep is not None:
                    old = transaction.get(key)
                    if old is not None and keep(dict(zip(known, msgpack.unpackb(old), strict=False)), row):
                        continue
                packed = row if same else [None if index is None else row[index] for index in order]
                transaction.put(key, msgpack.packb(packed))
                written += 1
        return written

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Feast's read: newest row per key, as protobuf."""
        view = view_key(config, table)
        setters = {field.name: _setter(field) for field in table.features}
        wanted = list(setters) if requested_features is None else [n for n in requested_features if n in setters]
        answers: list[tuple[datetime | None, dict[str, Value] | None]] = []
        with environment_of(_path(config)).begin() as transaction:
            known = fields_of(transaction, view)
            for entity in entity_keys:
                packed = transaction.get(key_of(view, values_of(entity)))
                if packed is None:
                    answers.append((None, None))
                    continue
                row = dict(zip(known, msgpack.unpackb(packed), strict=False))
                values = {name: _value(setters[name], row.get(name)) for name in wanted}
                answers.append((datetime.fromtimestamp(row[EVENT_US] / 1e6, UTC), values))
        return answers

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """``online_read``, which does not block."""
        return self.online_read(config, table, entity_keys, requested_features)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002  Feast's signature
        entities_to_keep: Sequence[Entity],  # noqa: ARG002
        partial: bool,  # noqa: ARG002
    ) -> None:
        """Make the file, declare the views' fields, remove the rows of views that are gone."""
        with environment_of(_path(config)).begin(write=True) as transaction:
            for table in tables_to_keep:
                _declare(transaction, view_key(config, table), [EVENT_US, *(field.name for field in table.features)])
            for table in tables_to_delete:
                _drop(transaction, view_key(config, table))

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:  # noqa: ARG002
        """Remove the file."""
        path = _path(config)
        close(path)
        shutil.rmtree(path, ignore_errors=True)


def view_key(config: RepoConfig, table: Any) -> bytes:
    """What keys of a view begin with."""
    return view_of(config.project, table.name)


def values_of(entity: EntityKey) -> list[str]:
    """An entity key's values in the order of their names."""
    pairs = sorted(zip(entity.join_keys, entity.entity_values, strict=True), key=lambda pair: pair[0])
    return [str(getattr(value, value.WhichOneof("val"))) for _, value in pairs]


def _path(config: RepoConfig) -> Path:
    path = Path(config.online_store.path)
    return path if path.is_absolute() or config.repo_path is None else Path(config.repo_path) / path


def _declare(transaction: lmdb.Transaction, view: bytes, names: Sequence[str]) -> list[str]:
    """The fields of a view with ``names`` among them; new ones come last, so that rows already there stay readable."""
    known = fields_of(transaction, view)
    new = [name for name in names if name not in known]
    if new:
        known += new
        transaction.put(FIELDS + view, json.dumps(known).encode())
    return known


def _drop(transaction: lmdb.Transaction, view: bytes) -> None:
    transaction.delete(FIELDS + view)
    cursor = transaction.cursor()
    if cursor.set_range(view):
        while bytes(cursor.key()).startswith(view) and cursor.delete():
            pass


def _us(moment: datetime) -> int:
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _plain(value: Value) -> Any:
    """A protobuf value as Python; what is no scalar stays the message's bytes."""
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    return getattr(value, kind) if kind in _SCALARS else value.SerializeToString()


def _setter(field: Any) -> str:
    """The member of a Value that holds a field's type; empty for what is kept as a whole message."""
    name = f"{field.dtype.to_value_type().name.lower()}_val"
    return name if name in _SCALARS else ""


def _value(setter: str, plain: Any) -> Value:
    if plain is None:
        return Value()
    return Value(**{setter: plain}) if setter else Value.FromString(plain)
