"""Loading the newest snapshots into Feast's online store, whichever it is, so that newer always wins.

Feast's SQLite and PostgreSQL stores overwrite whatever is there, its Redis store ignores a row of an equal moment even
of other definitions, and SQLite keeps event times in whole seconds; so each row carries ``facts_as_of_us`` and
``built_by``, and what is stored is read and compared before writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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

    from feature_repo import lmdb_load

Progress = Callable[[int], None]

CHUNK_KEYS: Final = 500
"""Keys per transaction: short enough that a server's read never waits long."""

PACKED_KEYS: Final = 200_000
"""The same, where readers do not wait for writers."""

PACKED_ROWS: Final = 10_000
"""Rows that are made at once: what is made of them stays in the caches."""

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
    rows: Mapping[str, Chosen],
    *,
    replace: bool = False,
    catalogue: Catalogue | None = None,
    progress: Progress | None = None,
) -> dict[str, Loaded]:
    """``load_online`` of rows already chosen (``online_rows``): one per key."""
    catalogue = catalogue or declared()
    done = {view: _load(store, view, rows[view], catalogue, replace, progress) for view in (CANDIDATE, PLACE, DEVICE)}
    if store.config.online_store.type == REDIS:
        store._get_provider().online_store.note_loaded(store.config)
    return done


def online_rows(snapshots: Mapping[str, pa.Table]) -> dict[str, Chosen]:
    """The rows that serving can ask for: newest per device, and per candidate and place that a device's row names."""
    devices = newest(snapshots[DEVICE], KEYS[DEVICE])
    told = devices.slice()
    named = pa.concat_tables(
        [
            told.select(["device_id", f"candidate_{rank}", f"cell_{rank}"]).rename_columns(
                ["device_id", "candidate_id", "cell"]
            )
            for rank in RANKS
        ]
    )
    named = named.filter(pc.is_valid(named["candidate_id"]))
    return {
        DEVICE: Chosen(told, None),
        CANDIDATE: newest(snapshots[CANDIDATE], KEYS[CANDIDATE], named),
        PLACE: newest(snapshots[PLACE], KEYS[PLACE], named),
    }


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of a table, in an order, not gathered yet: all at once would be memory touched for the first time."""

    table: pa.Table
    index: pa.ChunkedArray | None
    """int64, which rows in which order; None: all as they are."""

    def __len__(self) -> int:
        return self.table.num_rows if self.index is None else len(self.index)

    def slice(self, start: int = 0, length: int | None = None) -> pa.Table:
        """At most ``length`` of them from the ``start``-th on; without ``length`` all."""
        if self.index is None:
            return self.table.slice(start, length)
        return self.table.take(self.index.slice(start, length))


def newest(rows: pa.Table, keys: Sequence[str], named: pa.Table | None = None) -> Chosen:
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
    return Chosen(rows, None if every else chosen)


def _load(
    store: FeatureStore, view: str, rows: Chosen, catalogue: Catalogue, replace: bool, progress: Progress | None
) -> Loaded:
    target = store.get_feature_view(view)
    provider = store._get_provider()
    if store.config.online_store.type == LMDB:
        return _load_packed(store, target, rows, replace, progress)
    written = 0
    for start in range(0, len(rows), CHUNK_KEYS):
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
    return Loaded(written=written, kept=len(rows) - written)


def _load_packed(store: FeatureStore, target: Any, rows: Chosen, replace: bool, progress: Progress | None) -> Loaded:
    """Columns as they are, without a protobuf per value; compared with what is stored as they are written."""
    from feature_repo.lmdb_load import load_columns
    from feature_repo.lmdb_values import path_of, view_key

    path, view = path_of(store.config), view_key(store.config, target)
    written = 0
    for start in range(0, len(rows), PACKED_KEYS):
        count = min(PACKED_KEYS, len(rows) - start)
        written += load_columns(path, view, _parts(rows, KEYS[target.name], range(start, start + count), replace))
        if progress is not None:
            progress(count)
    return Loaded(written=written, kept=len(rows) - written)


def _parts(rows: Chosen, keys: Sequence[str], of: range, replace: bool) -> Iterator[lmdb_load.Rows]:
    from feature_repo.lmdb_load import Rows, keys_of
    from feature_repo.packed import EVENT_US

    names = [name for name in rows.table.column_names if name not in (*_NO_FEATURES, *keys)]
    for start in range(of.start, of.stop, PACKED_ROWS):
        part = rows.slice(start, min(PACKED_ROWS, of.stop - start))
        built_by = part["built_by"]

        def same_build(stored: dict[str, Any], index: int, built_by: pa.ChunkedArray = built_by) -> bool:
            return bool(stored["built_by"] == built_by[index].as_py())

        yield Rows(
            keys_of([part[key] for key in sorted(keys, reverse=True)]),
            {EVENT_US: part["facts_as_of_us"], **{name: part[name] for name in names}},
            None if replace else same_build,
        )


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
