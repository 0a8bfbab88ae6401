"""Decision moments and their features, joined in memory (``feature_repo.as_of``): for ``parked score``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.as_of import InMemory, known_at
from feature_repo.declare import CANDIDATE
from feature_repo.fact import RETRACTED
from feature_repo.services import PARKING_V1, service_dtypes
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
    found = known_at(moments, {view: InMemory(rows) for view, rows in snapshots.items()}, service)
    kept = [name for name in moments.column_names if name not in dtypes]
    return pa.table(
        [moments[name] for name in kept] + list(found.values()),
        schema=pa.schema(
            [moments.schema.field(name) for name in kept]
            + [pa.field(name, dtype.arrow) for name, dtype in dtypes.items()]
        ),
    )
