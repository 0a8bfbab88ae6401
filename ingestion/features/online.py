"""Loading the newest snapshots into Feast's online store, whichever it is, so that newer always wins.

Feast's SQLite and PostgreSQL stores overwrite whatever is there, its Redis store ignores a row of an equal moment even
of other definitions, and SQLite keeps event times in whole seconds; so each row carries ``facts_as_of_us`` and
``built_by``, and what is stored is read and compared before writing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.declare import CANDIDATE, DEVICE, KEYS, PLACE, STAMPS, Catalogue, Dtype, declared
from feature_repo.features.device_carried import RANKS
from feature_repo.store import LMDB, REDIS
from parked.clock import from_us

if TYPE_CHECKING:
    from feast import FeatureStore

Progress = Callable[[int], None]

CHUNK_KEYS: Final = 500
"""Keys per transaction: short enough that a server's read never waits long."""

PACKED_KEYS: Final = 50_000
"""The same, where readers do not wait for writers."""

_NO_FEATURES: Final = ("available_at", "device_id", "candidate_id", "cell")
"""Columns of a snapshot that are no fields of a row: its keys, and where to look next."""

_SETTERS: Final = {
    Dtype.FLOAT64: "double_val",
    Dtype.INT64: "int64_val",
    Dtype.STRING: "string_val",
    Dtype.BOOL: "bool_val",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did."""

    written: int
    kept: int
    """Rows not written, as the store held a newer one of the same build."""


def load_online(
    store: FeatureStore,
    snapshots: Mapping[str, pa.Table],
    *,
    replace: bool = False,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> dict[str, Loaded]:
    """Write the newest row of every device, and of the candidates and places those rows name; view → counts.

    A stored row of the same ``built_by`` and a later ``facts_as_of_us`` is kept, unless ``replace`` (after an erasure
    or an import of older history, when the newest truth may be older). Devices come last, so that a server never meets
    a candidate whose features are not there yet. ``progress`` is called with the number of keys done.
    """
    return load_rows(store, online_rows(snapshots), replace=replace, catalogue=catalogue, progress=progress)


def load_rows(
    store: FeatureStore,
    rows: Mapping[str, pa.Table],
    *,
    replace: bool = False,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> dict[str, Loaded]:
    """``load_online`` of rows already chosen (``online_rows``): one per key."""
    catalogue = catalogue or declared()
    return {view: _load(store, view, rows[view], catalogue, replace, progress) for view in (CANDIDATE, PLACE, DEVICE)}


def online_rows(snapshots: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The rows that serving can ask for: newest per device, and per candidate and place that a device's row names."""
    devices = newest(snapshots[DEVICE], KEYS[DEVICE])
    named = pa.concat_tables(
        [
            devices.select(["device_id", f"candidate_{rank}", f"cell_{rank}"]).rename_columns(
                ["device_id", "candidate_id", "cell"]
            )
            for rank in RANKS
        ]
    )
    named = named.filter(pc.is_valid(named["candidate_id"]))
    return {
        DEVICE: devices,
        CANDIDATE: newest(snapshots[CANDIDATE], KEYS[CANDIDATE], named),
        PLACE: newest(snapshots[PLACE], KEYS[PLACE], named),
    }


def newest(rows: pa.Table, keys: Sequence[str], named: pa.Table | None = None) -> pa.Table:
    """The newest row of each key (of those in ``named``, where given), ordered by key.

    ``available_at`` strictly increases per key, so there is one.
    """
    # Snapshots are wide: what decides is worked out without the features, which are then taken once.
    short = rows.select([*keys, "available_at"]).append_column("row", pa.array(np.arange(rows.num_rows)))
    if named is not None:
        from feature_repo.lmdb_load import told_apart

        here, wanted = (told_apart([of[key].combine_chunks() for key in keys]) for of in (short, named))
        short = short.filter(pc.is_in(here, value_set=wanted))
    short = short.sort_by([*((key, "ascending") for key in keys), ("available_at", "descending")])
    is_first = np.ones(short.num_rows, dtype=bool)
    columns = [short[key].combine_chunks() for key in keys]
    is_first[1:] = np.any([pc.not_equal(column[1:], column[:-1]).to_numpy(False) for column in columns], axis=0)
    chosen = short["row"].filter(pa.array(is_first))
    every = len(chosen) == rows.num_rows and chosen.equals(pa.chunked_array([np.arange(len(chosen))]))
    return rows if every else rows.take(chosen)


def _load(
    store: FeatureStore, view: str, rows: pa.Table, catalogue: Catalogue, replace: bool, progress: Progress | None
) -> Loaded:
    target = store.get_feature_view(view)
    provider = store._get_provider()
    if store.config.online_store.type == LMDB:
        return _load_packed(store, target, rows, replace, progress)
    written = 0
    for start in range(0, rows.num_rows, CHUNK_KEYS):
        chunk = rows.slice(start, CHUNK_KEYS)
        entities = _entity_keys(chunk, KEYS[view])
        keep = list(range(chunk.num_rows))
        if not replace:
            stored = provider.online_read(store.config, target, entities, list(STAMPS))
            stamps = zip(chunk["facts_as_of_us"].to_pylist(), chunk["built_by"].to_pylist(), stored, strict=True)
            keep = [index for index, (us, by, (_, old)) in enumerate(stamps) if not _is_newer(old, us, by)]
        if keep:
            values = _values(chunk, view, catalogue)
            moments = chunk["facts_as_of_us"].to_pylist()
            batch = [(entities[index], values[index], from_us(moments[index]), None) for index in keep]
            if store.config.online_store.type == REDIS:
                provider.online_store.write_compared(store.config, target, batch)
            else:
                provider.online_write_batch(store.config, target, batch, None)
        written += len(keep)
        if progress is not None:
            progress(chunk.num_rows)
    return Loaded(written=written, kept=rows.num_rows - written)


def _load_packed(store: FeatureStore, target: Any, rows: pa.Table, replace: bool, progress: Progress | None) -> Loaded:
    """Columns as they are, without a protobuf per value; compared with what is stored as they are written."""
    from feature_repo.lmdb_load import keys_of, load_columns
    from feature_repo.lmdb_values import path_of, view_key
    from feature_repo.packed import EVENT_US

    names = [name for name in rows.column_names if name not in (*_NO_FEATURES, *KEYS[target.name])]
    view = view_key(store.config, target)
    written = 0
    for start in range(0, rows.num_rows, PACKED_KEYS):
        chunk = rows.slice(start, PACKED_KEYS)
        keys = keys_of([chunk[key] for key in sorted(KEYS[target.name], reverse=True)])
        columns = {EVENT_US: chunk["facts_as_of_us"], **{name: chunk[name] for name in names}}
        built_by = chunk["built_by"]

        def same_build(stored: dict[str, Any], index: int, built_by: pa.ChunkedArray = built_by) -> bool:
            return bool(stored["built_by"] == built_by[index].as_py())

        stays = None if replace else same_build
        written += load_columns(path_of(store.config), view, keys, columns, stays=stays)
        if progress is not None:
            progress(chunk.num_rows)
    return Loaded(written=written, kept=rows.num_rows - written)


def _is_newer(stored: Mapping[str, Any] | None, as_of_us: int, built_by: str) -> bool:
    if not stored or "facts_as_of_us" not in stored or "built_by" not in stored:
        return False
    same_build = stored["built_by"].string_val == built_by
    return bool(same_build and stored["facts_as_of_us"].int64_val > as_of_us)


def _entity_keys(rows: pa.Table, keys: Sequence[str]) -> list[Any]:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    columns = [rows[key].to_pylist() for key in keys]
    return [
        EntityKey(join_keys=list(keys), entity_values=[Value(string_val=value) for value in values])
        for values in zip(*columns, strict=True)
    ]


def _values(rows: pa.Table, view: str, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Feast's value messages by feature, one dict per row; an empty message is null."""
    from feast.protos.feast.types.Value_pb2 import Value

    dtypes = {feature.name: feature.dtype for feature in catalogue.of(view)} | STAMPS
    null = Value()
    values: list[dict[str, Any]] = [{} for _ in range(rows.num_rows)]
    for name, dtype in dtypes.items():
        setter = _SETTERS[dtype]
        for row, value in zip(values, rows[name].to_pylist(), strict=True):
            row[name] = null if value is None else Value(**{setter: value})
    return values
