"""Where a question about a phone starts: its newest candidates and whether it is being driven now."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from feature_repo.declare import BOOL, DEVICE, FLOAT64, INT64, LEFT, STRING, Dtype, feature
from feature_repo.fact import Fact
from feature_repo.known import Known

RANKS: Final = (1, 2, 3)
"""How many candidates an answer may walk back through, newest first."""

_COLUMNS: Final[tuple[tuple[str, Dtype, Callable[[Fact], Any], str], ...]] = (
    ("candidate", STRING, attrgetter("fact_id"), "fact_id"),
    ("cell", STRING, attrgetter("cell"), "H3 cell"),
    ("left_at_us", INT64, attrgetter("started_at"), "when the vehicle was left, microseconds since the epoch,"),
    ("lat", FLOAT64, attrgetter("lat"), "latitude, degrees,"),
    ("lon", FLOAT64, attrgetter("lon"), "longitude, degrees,"),
    ("uncertainty_m", FLOAT64, attrgetter("uncertainty_m"), "uncertainty of the place, metres,"),
    ("ended_at_us", INT64, attrgetter("ended_at"), "when a vehicle leg next began, microseconds since the epoch,"),
    ("return_m", FLOAT64, attrgetter("return_m"), "distance to where the next vehicle leg began, metres,"),
    ("reasons", STRING, attrgetter("reasons"), "reason codes, comma-separated,"),
)


def _declare(stem: str, dtype: Dtype, read: Callable[[Fact], Any], meaning: str, rank: int) -> None:
    def column(known: Known) -> Any:
        candidate = known.newest(rank)
        return None if candidate is None else read(candidate)

    column.__doc__ = (
        f"{meaning.capitalize()} of the candidate of rank {rank} (1 is the newest); null where there is none."
    )
    feature(view=DEVICE, dtype=dtype, reads=LEFT, name=f"{stem}_{rank}")(column)


for _rank in RANKS:
    for _stem, _dtype, _read, _meaning in _COLUMNS:
        _declare(_stem, _dtype, _read, _meaning, _rank)


@feature(view=DEVICE, dtype=BOOL, reads=LEFT)
def driving(known: Known) -> bool | None:
    """Whether the newest vehicle leg is still going on: the newest candidate has been driven from, and no newer one is
    known. Null where no candidate is known."""
    newest = known.newest(1)
    return None if newest is None else newest.ended_at is not None
