"""Decision moments and their features, joined in memory as Feast's point-in-time join does: for ``parked score``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.asked import ASKED, ASKED_INPUTS, ask
from feature_repo.declare import CANDIDATE, KEYS
from feature_repo.fact import RETRACTED
from feature_repo.services import PARKING_V1, SERVICES, service_dtypes
from parked.schemas import TIME

MOMENTS: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("candidate_id", pa.string(), nullable=False),
        pa.field("cell", pa.string(), nullable=False),
        pa.field("event_timestamp", TIME, nullable=False),
        pa.field("asked_at_us", pa.int64(), nullable=False),
        pa.field("left_at", TIME, nullable=False),
        pa.field("lat", pa.float64(), nullable=False),
        pa.field("lon", pa.float64(), nullable=False),
    ]
)
"""A candidate at a moment at which what is known of it changed; ``asked_at_us`` is that moment in microseconds."""


def candidate_moments(snapshots: Mapping[str, pa.Table]) -> pa.Table:
    """MOMENTS, one row per snapshot of a candidate that is not retracted, in the snapshots' order."""
    rows = snapshots[CANDIDATE]
    rows = rows.filter(pc.not_equal(rows["status"], RETRACTED))
    columns = {
        "device_id": rows["device_id"],
        "candidate_id": rows["candidate_id"],
        "cell": rows["cell"],
        "event_timestamp": rows["available_at"],
        "asked_at_us": rows["available_at"].cast(pa.int64()),
        "left_at": rows["left_at_us"].cast(TIME),
        "lat": rows["lat"],
        "lon": rows["lon"],
    }
    return pa.table(list(columns.values()), schema=MOMENTS)


def assemble(moments: pa.Table, snapshots: Mapping[str, pa.Table], service: str = PARKING_V1) -> pa.Table:
    """``moments`` (keys, ``event_timestamp``, ``asked_at_us``, any other columns) with the features of ``service``.

    Features are those of the newest snapshot at or before ``event_timestamp``, in the service's order and declared
    types, null where nothing was known: equal to ``feature_repo.retrieve.historical_features`` row for row. A column of
    ``moments`` that is also a feature is dropped. Raises NotFoundError for a service that is not declared.
    """
    dtypes = service_dtypes(service)
    wanted = SERVICES[service]
    found: dict[str, pa.ChunkedArray] = {}
    inputs: dict[str, pa.ChunkedArray] = {"asked_at_us": moments["asked_at_us"]}
    for view, rows in snapshots.items():
        reads = ASKED_INPUTS.get(view, ()) if ASKED in wanted else ()
        if not reads and view not in wanted:
            continue
        known = _as_of(moments, rows, KEYS[view])
        found |= {name: known[name] for name in wanted.get(view, ())}
        inputs |= {name: known[name] for name in reads}
    if ASKED in wanted:
        answers = ask({name: column.to_pylist() for name, column in inputs.items()})
        found |= {name: pa.chunked_array([pa.array(answers[name], dtypes[name].arrow)]) for name in wanted[ASKED]}
    kept = [name for name in moments.column_names if name not in dtypes]
    return pa.table(
        [moments[name] for name in kept] + [found[name].cast(dtype.arrow) for name, dtype in dtypes.items()],
        schema=pa.schema(
            [moments.schema.field(name) for name in kept]
            + [pa.field(name, dtype.arrow) for name, dtype in dtypes.items()]
        ),
    )


def _as_of(moments: pa.Table, rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """For each moment the newest of ``rows`` with its keys at or before it; a row of nulls where there is none."""
    import numpy as np
    import pandas as pd

    def frame(table: pa.Table, stamp: str, name: str) -> pd.DataFrame:
        columns = {key: table[key].to_pandas() for key in keys}
        at = table[stamp].cast(TIME).cast(pa.int64()).to_numpy()
        numbered = pd.DataFrame({**columns, "at": at, name: np.arange(table.num_rows)})
        return numbered.sort_values("at", kind="stable")

    left = frame(moments, "event_timestamp", "moment")
    right = frame(rows, "available_at", "row")
    joined = pd.merge_asof(left, right, on="at", by=list(keys), direction="backward")
    index = joined.set_index("moment")["row"].sort_index()
    return rows.take(pa.array(index.to_numpy(dtype="float64"), from_pandas=True).cast(pa.int64()))
