"""Feast's online store in one memory-mapped file (LMDB): the embedded default.

One packed row per key and view (msgpack), where Feast's SQLite store keeps one row per feature and turns every value
into protobuf twice. Many processes read while one writes, without waiting for one another; a row is there whole or not
at all, also after ``kill -9``. ``FeatureStore.get_online_features`` is answered from packed rows (``lmdb_answer``); who
wants the rows themselves reads them by ``feature_repo.packed``, who has columns to write, by ``lmdb_load``.

A key that is not there is NOT_FOUND, a null is a null that is PRESENT, a row outside its view's ttl is OUTSIDE_MAX_AGE
and null, and an older row never replaces a newer one. Where Feast's other stores differ: docs/online-stores.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgpack
from feast.entity import Entity
from feast.feature_service import FeatureService
from feast.feature_view import FeatureView
from feast.infra.infra_object import InfraObject
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.online_response import OnlineResponse
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.lmdb_answer import Answerer, PackedResponse, Reading
from feature_repo.lmdb_files import named
from feature_repo.lmdb_infra import LmdbView
from feature_repo.lmdb_values import Found, found, path_of, plain, values_of, view_key
from feature_repo.packed import (
    EVENT_US,
    declare,
    drop,
    drop_older,
    fields_of,
    file_of,
    key_of,
    moment_of,
    remove,
    told_fields,
    unpacked,
)
from parked.clock import Clock, system_clock, to_us


class LmdbOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """``online_store`` of a feature_store.yaml."""

    type: Literal["feature_repo.lmdb_store.LmdbOnlineStore"] = "feature_repo.lmdb_store.LmdbOnlineStore"
    path: str
    """A folder; relative to the repo, as Feast's other paths."""


class LmdbOnlineStore(OnlineStore):  # type: ignore[misc]
    """See the module. Safe to use from several threads."""

    def __init__(self, clock: Clock = system_clock) -> None:
        """``clock``: by which a view's ttl is told (Feast makes a store without arguments)."""
        self._clock = clock
        self._answerer = Answerer()

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Reads are quicker than any hand-over to a thread."""
        return SupportedAsyncMethods(read=True, write=False)

    # --- writing ---

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows, all or none of them. An older row than the one stored is passed over."""
        view, file = view_key(config, table), file_of(path_of(config))
        handle = file.view(view, make=True)
        with file.begin(write=True, buffers=True) as transaction:
            known = declare(transaction, view, _fields_of(table))
            for entity, values, event, _ in data:
                key, event_us = key_of(values_of(entity)), _us(event)
                old = transaction.get(key, None, handle)
                if old is None or moment_of(old) <= event_us:
                    row = [plain(values[name]) if name in values else None for name in known[1:]]
                    transaction.put(key, msgpack.packb([event_us, *row]), db=handle)
        if progress is not None:
            progress(len(data))

    # --- Feast's reads ---

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: list[dict[str, Any]] | Mapping[str, Any],
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> OnlineResponse:
        """Feast's answer without a protobuf per value; what that cannot do, Feast's own way does."""
        asked = (features, entity_rows, registry, project, full_feature_names, include_feature_view_version_metadata)
        if not full_feature_names and not include_feature_view_version_metadata:
            now_us = to_us(self._clock())
            answer = self._answerer.answer(config, features, entity_rows, registry, project, now_us)
            if answer is not None:
                columns, reading = answer
                return PackedResponse(columns, lambda: OnlineStore.get_online_features(_Read(reading), config, *asked))
        return super().get_online_features(config, *asked)

    async def get_online_features_async(self, config: RepoConfig, *asked: Any, **options: Any) -> OnlineResponse:
        """``get_online_features``, which does not block."""
        return self.get_online_features(config, *asked, **options)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Found]:
        """Feast's read: newest row per key, as protobuf."""
        view = view_key(config, table)
        keys = [key_of(values_of(entity)) for entity in entity_keys]
        reading = self._read(config, view, keys)
        rows = [reading.rows[view][key] for key in keys]
        return found(table, requested_features, reading.fields[view], rows, reading.now_us)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Found]:
        """``online_read``, which does not block."""
        return self.online_read(config, table, entity_keys, requested_features)

    def _read(self, config: RepoConfig, view: bytes, keys: Sequence[bytes]) -> Reading:
        file = file_of(path_of(config))
        handle = file.view(view)
        with file.begin(buffers=True) as transaction:
            fields = {view: fields_of(told_fields(transaction, view))}
            rows = dict(zip(keys, unpacked(transaction, handle, keys), strict=True))
        return Reading(fields, {view: rows}, to_us(self._clock()))

    def _read_features_per_fv(
        self, config: RepoConfig, grouped_refs: list[Any], keys: Any, names: Any, response: Any, *rest: Any
    ) -> None:
        """Feast's, and a row that has a moment but no values is said to be outside its age."""
        super()._read_features_per_fv(config, grouped_refs, keys, names, response, *rest)
        for vector in response.results:
            for index, (status, at) in enumerate(zip(vector.statuses, vector.event_timestamps, strict=True)):
                if status == FieldStatus.NOT_FOUND and (at.seconds or at.nanos):
                    vector.statuses[index] = FieldStatus.OUTSIDE_MAX_AGE

    # --- what Feast tells of its views ---

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002  Feast's signature
        entities_to_keep: Sequence[Entity],  # noqa: ARG002
        partial: bool,  # noqa: ARG002
    ) -> None:
        """Make the file, declare the views' fields, remove the rows of views that are gone, and of an older layout."""
        file = file_of(path_of(config))
        kept = {view_key(config, table): _fields_of(table) for table in tables_to_keep}
        gone = {view: file.view(view) for view in (view_key(config, table) for table in tables_to_delete)}
        with named(path_of(config)):
            for view in kept:
                file.view(view, make=True)
            with file.begin(write=True) as transaction:
                drop_older(transaction)
                for view, fields in kept.items():
                    declare(transaction, view, fields)
                for view, handle in gone.items():
                    drop(transaction, view, handle)

    def plan(self, config: RepoConfig, desired_registry_proto: Registry) -> list[InfraObject]:
        """What the desired views need here."""
        tables = [FeatureView.from_proto(view) for view in desired_registry_proto.feature_views]
        return [LmdbView(path_of(config), view_key(config, table), _fields_of(table)) for table in tables]

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:  # noqa: ARG002
        """Remove the file."""
        remove(path_of(config))


class _Read(LmdbOnlineStore):
    """A store of what was read already, so that an answer's protobuf is of the same moment as its values."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading

    def _read(self, config: RepoConfig, view: bytes, keys: Sequence[bytes]) -> Reading:  # noqa: ARG002
        return self._reading


def _fields_of(table: FeatureView) -> dict[str, str]:
    return {EVENT_US: "INT64"} | {field.name: field.dtype.to_value_type().name for field in table.features}


def _us(moment: datetime) -> int:
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
