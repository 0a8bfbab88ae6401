"""One fact revision as the folds see it: a row of ``parked.schemas.FACTS`` with times as integers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import pyarrow as pa

from parked.geo import cell_of
from parked.schemas import FACTS

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US

RETRACTED: Final = "RETRACTED"


class Fact(NamedTuple):
    """One revision of one fact. Times are microseconds since the epoch, UTC; other units as in FACTS.

    A tuple, as there are many: a frozen dataclass of so many fields takes several times as long to make.

    For a ``vehicle_left`` fact (a candidate) ``started_at`` is when the vehicle was left and ``ended_at`` when a
    vehicle leg next began.
    """

    device_id: str
    fact_id: str
    kind: str
    started_at: int
    ended_at: int | None
    lat: float
    lon: float
    uncertainty_m: float
    status: str
    revision: int
    rules_version: str
    available_at: int
    started_uncertainty_s: float
    ended_uncertainty_s: float | None
    radius_m: float | None
    fixes: int
    accuracy_m: float | None
    silence_s: float
    speed_before_mps: float | None
    speed_after_mps: float | None
    motion_before: str | None
    motion_after: str | None
    followed_by: str | None
    walked_m: float | None
    leg_started_at: int | None
    leg_distance_m: float | None
    leg_max_speed_mps: float | None
    leg_fixes: int | None
    leg_halts: int | None
    return_m: float | None
    next_leg_lat: float | None
    next_leg_lon: float | None
    reasons: str
    as_if_live: bool
    cell: str
    """H3 cell of the position (``parked.geo.CELL_RESOLUTION``); empty for a halt, which belongs to no place."""

    @property
    def lasted_s(self) -> float | None:
        """``ended_at`` − ``started_at`` in seconds; None while it has not ended."""
        return None if self.ended_at is None else (self.ended_at - self.started_at) / SECOND_US


COLUMNS: Final = tuple(name for name in Fact._fields if name != "cell")
"""The FACTS columns a Fact is made of, in order."""

_cell = lru_cache(maxsize=65_536)(cell_of)


def facts_of(table: pa.Table) -> Iterator[Fact]:
    """The rows of a FACTS table as facts, in the table's order."""
    columns = []
    for name in COLUMNS:
        column = table.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(FACTS.field(name).type).cast(pa.int64())
        columns.append(column.to_pylist())
    kind, lat, lon = COLUMNS.index("kind"), COLUMNS.index("lat"), COLUMNS.index("lon")
    for row in zip(*columns, strict=True):
        cell = "" if row[kind] == "halt" else _cell(row[lat], row[lon])
        yield Fact._make((*row, cell))
