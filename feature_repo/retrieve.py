"""Reading features back: point-in-time for training, newest for serving; the same names, order and types in both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from feature_repo.declare import Dtype
from feature_repo.services import service_dtypes
from feature_repo.store import service as applied_service
from parked.errors import InputError, InternalError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore

ENTITY_COLUMNS: Final = ("device_id", "candidate_id", "cell", "event_timestamp", "asked_at_us")
"""What a training row is named by: the decision moment (aware UTC) and the moment asked, usually the same."""

ROWS_PER_QUERY: Final = 5_000
"""Feast joins each row with all its key's earlier snapshots before it picks the newest: 89,000 rows at once took 4.4 GB
and 26 s, in parts of 5,000 (by device) 0.8 GB and 18 s."""

_ROW: Final = "parked_row"
_PANDAS: Final[dict[Dtype, Any]] = {
    Dtype.FLOAT64: "float64",
    Dtype.INT64: "Int64",
    Dtype.BOOL: "boolean",
    Dtype.STRING: "object",
}

_PYTHON: Final[dict[Dtype, tuple[type, ...]]] = {
    Dtype.FLOAT64: (float, int),
    Dtype.INT64: (int, float),
    Dtype.BOOL: (bool,),
    Dtype.STRING: (str,),
}
"""What a value may be as Feast gives it: ints with nulls come back as floats."""


def canonical(frame: pd.DataFrame, dtypes: dict[str, Dtype]) -> pd.DataFrame:
    """``frame`` with its feature columns in declared types: float64, Int64, boolean, object of str; missing is NaN,
    <NA>, <NA>, None. Feast gives ints with nulls as floats and all-null columns as objects."""
    import pandas as pd

    columns = {}
    for name in frame.columns:
        column: Any = frame[name]
        if name in dtypes:
            if dtypes[name] is Dtype.STRING:
                column = column.astype("object").where(column.notna(), None)
            elif dtypes[name] is Dtype.BOOL:
                column = column.astype("object").where(column.notna(), None).astype("boolean")
            else:
                column = pd.to_numeric(column).astype(_PANDAS[dtypes[name]])
        columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def historical_features(store: FeatureStore, entities: pd.DataFrame, service: str) -> pd.DataFrame:
    """Features of ``service`` as they were known at each row's ``event_timestamp``.

    ``entities`` has ENTITY_COLUMNS and any others; ``event_timestamp`` is aware UTC. Returns the same rows in the same
    order and index: their columns first, then the features in the service's order and in canonical types. A row whose
    keys were not known then has missing values. Snapshots in files are joined by ``as_of``, in another offline store by
    Feast (``feast_historical_features``, which gives the same).

    Raises InputError for missing columns, naive or missing times, ids that are no strings or no snapshots.
    """
    import pandas as pd

    if store.config.offline_store.type != "duckdb":
        return feast_historical_features(store, entities, service)
    from feature_repo.as_of import InFile, known_at

    dtypes = service_dtypes(service)
    applied_service(store, service)
    paths = _check_entities(entities, store, dtypes)
    found = known_at(_moments(entities), {view: InFile(path) for view, path in paths.items()}, service)
    features = {name: _as_pandas(column, dtypes[name]) for name, column in found.items()}
    columns = pd.DataFrame(features, index=entities.index, copy=False)
    return pd.concat([entities, columns], axis=1, copy=False)


def _moments(entities: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.table(
            {
                "device_id": pa.array(entities["device_id"], pa.string(), from_pandas=True),
                "candidate_id": pa.array(entities["candidate_id"], pa.string(), from_pandas=True),
                "cell": pa.array(entities["cell"], pa.string(), from_pandas=True),
                "event_timestamp": pa.array(entities["event_timestamp"].astype("datetime64[us, UTC]")),
                "asked_at_us": pa.array(entities["asked_at_us"], pa.int64(), from_pandas=True),
            }
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(
            f"entities: {error}", mend="give ids as strings and asked_at_us in whole microseconds"
        ) from None


def _as_pandas(column: pa.ChunkedArray, dtype: Dtype) -> Any:
    """A column in its canonical type (``canonical``)."""
    import pandas as pd

    if dtype is Dtype.STRING:
        return column.to_pandas().astype("object").to_numpy()
    if dtype is Dtype.FLOAT64:
        return column.to_numpy()
    missing = column.is_null().to_numpy()
    values = column.fill_null(0 if dtype is Dtype.INT64 else False).to_numpy()
    array = pd.arrays.IntegerArray if dtype is Dtype.INT64 else pd.arrays.BooleanArray
    return array(values, missing.copy())


def feast_historical_features(store: FeatureStore, entities: pd.DataFrame, service: str) -> pd.DataFrame:
    """``historical_features`` by Feast's own join, whatever the offline store: slower, and what ours is held to.

    Raises InputError alike, InternalError where Feast lost rows.
    """
    import pandas as pd

    dtypes = service_dtypes(service)
    resolved = applied_service(store, service)
    _check_entities(entities, store, dtypes)
    if entities.empty:
        empty = entities.assign(**{name: pd.Series(dtype=_PANDAS[dtype]) for name, dtype in dtypes.items()})
        return canonical(empty, dtypes)
    asked = entities.reset_index(drop=True).assign(**{_ROW: range(len(entities))})
    asked["event_timestamp"] = asked["event_timestamp"].astype("datetime64[us, UTC]")
    asked = asked.sort_values(["device_id", "event_timestamp"], kind="stable")
    parts = []
    for start in range(0, len(asked), ROWS_PER_QUERY):
        part = asked.iloc[start : start + ROWS_PER_QUERY].reset_index(drop=True)
        answer = store.get_historical_features(entity_df=part, features=resolved).to_df()
        parts.append(canonical(answer[[_ROW, *dtypes]], dtypes))
    features = pd.concat(parts, ignore_index=True).sort_values(_ROW, kind="stable")
    if list(features[_ROW]) != list(range(len(entities))):
        raise InternalError(f"Feast returned {len(features)} rows for {len(entities)}")
    return pd.concat([entities, features.drop(columns=_ROW).set_axis(entities.index)], axis=1)


def _check_entities(entities: pd.DataFrame, store: FeatureStore, dtypes: dict[str, Dtype]) -> dict[str, Path]:
    """Raises InputError; returns view → its snapshots' file."""
    import pandas as pd

    missing = [name for name in ENTITY_COLUMNS if name not in entities.columns]
    if missing:
        raise InputError(f"entities lack the columns {', '.join(missing)}", mend=f"give {', '.join(ENTITY_COLUMNS)}")
    clash = [name for name in entities.columns if name in dtypes or name == _ROW]
    if clash:
        raise InputError(f"entities already hold {', '.join(map(str, clash))}", mend="drop or rename these columns")
    if not isinstance(entities["event_timestamp"].dtype, pd.DatetimeTZDtype):
        raise InputError("event_timestamp has no time zone", mend="make it aware UTC")
    if entities["event_timestamp"].isna().any():
        raise InputError("event_timestamp has missing values", mend="drop these rows")
    paths = {view.name: Path(view.batch_source.path) for view in store.list_feature_views()}
    for path in paths.values():
        if not path.exists():
            raise InputError(f"{path}: no feature snapshots", mend="run `parked features build`")
    return paths


def online_features(store: FeatureStore, rows: Sequence[dict[str, Any]], service: str) -> list[dict[str, Any]]:
    """Newest features of ``service`` for each row of keys (and ``asked_at_us`` where the service asks for it).

    One dict per row in the order given, features in the service's own order (Feast's varies between processes), None
    where nothing is known, or only a value of another type than is declared now (Feast's own stores give it back as it
    was written). Raises NotFoundError for a service not declared or not applied.
    """
    dtypes = service_dtypes(service)
    if not rows:
        return []
    answer = store.get_online_features(features=applied_service(store, service), entity_rows=list(rows)).to_dict()
    columns = [[_of_type(dtype, value) for value in answer[name]] for name, dtype in dtypes.items()]
    return [dict(zip(dtypes, values, strict=True)) for values in zip(*columns, strict=True)]


def _of_type(dtype: Dtype, value: Any) -> Any:
    if type(value) not in _PYTHON[dtype] or (dtype is Dtype.INT64 and not float(value).is_integer()):
        return None
    return value
