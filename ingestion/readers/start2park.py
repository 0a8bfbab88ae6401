"""start2park waypoints (ReLUT parking-search-prediction): TripID, lon, lat, time, speed_kmh, label.

``time`` is Europe/Berlin wall time without an offset. Which pass of the hour that autumn repeats a time is of is told
by its trip's other times (``autumn``), or it is set aside. A time in the hour that spring skips never was: set aside.

The device is ``--device``, else the TripID (each trip is its own phone as far as the data tells). There is no time of
receipt. ``label`` is a person's judgment, not a measurement: not read here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.readers.autumn import is_about, is_repeated, passes
from ingestion.readers.csvfile import TextRows, header_of, rows_again, text_batches
from ingestion.readers.parsing import cast_cells, held, numbers
from ingestion.readers.port import CANDIDATE_FIXES, Batch, Kept, Malformed
from ingestion.readers.reasons import Reason
from parked.errors import InputError
from parked.schemas import TIME

COLUMNS: Final = ("TripID", "lon", "lat", "time", "speed_kmh")
ZONE: Final = "Europe/Berlin"

_FIRST: Final = pa.scalar(datetime(1700, 1, 1), pa.timestamp("us"))  # noqa: DTZ001
_LAST: Final = pa.scalar(datetime(2260, 1, 1), pa.timestamp("us"))  # noqa: DTZ001
"""Wall times beyond are held at these, for the accept rules to refuse: pandas' zones know no others."""


class Start2ParkReader:
    """Reads ``waypoints.csv``."""

    name = "start2park"

    def sniff(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """A CSV header with the five columns."""
        return set(COLUMNS) <= set(header_of(head))

    def device_of(self, path: Path, device: str | None) -> str | None:  # noqa: ARG002
        """Only ``--device``: rows name their trip."""
        return device

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """Batches of some 32 MB of text."""

        def check(columns: list[str]) -> None:
            missing = [name for name in COLUMNS if name not in columns]
            if missing:
                raise InputError(f"{path}: no column {', '.join(missing)}", mend=f"it needs {', '.join(COLUMNS)}")

        told = cache(lambda: _told(text_batches(path, check_header=check)))  # where asked: it reads the file once more
        for rows in text_batches(path, check_header=check):
            yield _batch(rows, device, told)

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:  # noqa: ARG002
        """Kept rows. Without its file's others nobody knows which pass of autumn's hour a row is of: set aside."""
        return _batch(rows_again(kept), device, lambda: _told(()))


def _local(rows: TextRows) -> tuple[pd.Series[Any], npt.NDArray[np.bool_], pd.Series[Any]]:
    """The rows' wall times (datetime64), which cells are none, and the trips ("": none is named)."""
    local, unreadable = cast_cells(rows.columns["time"], pa.timestamp("us"))
    return held(local, _FIRST, _LAST).to_pandas(), unreadable, rows.columns["TripID"].to_pandas().fillna("")


def _told(file: Iterable[TextRows]) -> pd.Series[Any]:
    """What all rows of a file tell of repeated hours (``passes``)."""
    times: list[pd.Series[Any]] = [pd.Series(dtype="datetime64[us]")]
    trips: list[pd.Series[Any]] = [pd.Series(dtype=object)]
    for rows in file:
        local, _, trip = _local(rows)
        near = is_about(local, ZONE)
        times.append(local[near])
        trips.append(trip[near])
    return passes(pd.concat(times, ignore_index=True), pd.concat(trips, ignore_index=True), ZONE)


def _utc(
    local: pd.Series[Any], trip: pd.Series[Any], told: Callable[[], pd.Series[Any]]
) -> tuple[pd.Series[Any], npt.NDArray[np.bool_]]:
    """Wall times to UTC (NaT: it never was), and of which of them nothing tells the pass (given as the second)."""
    first = np.zeros(len(local), dtype=np.bool_)
    untold = is_repeated(local, ZONE)
    if untold.any():
        rows = np.flatnonzero(untold)
        known = told().reindex(pd.MultiIndex.from_arrays([trip.iloc[rows], local.iloc[rows]])).to_numpy()
        first[rows] = known == 1.0
        untold[rows] = np.isnan(known)
    zoned = local.dt.tz_localize(ZONE, ambiguous=first, nonexistent="NaT")
    return zoned.dt.tz_convert("UTC"), untold


def _batch(rows: TextRows, device: str | None, told: Callable[[], pd.Series[Any]]) -> Batch:
    text = rows.columns
    count = len(rows)
    faults: dict[int, tuple[Reason, str]] = {}

    def note(wrong: npt.NDArray[np.bool_], reason: Reason, name: str) -> None:
        for row in np.flatnonzero(wrong):
            faults.setdefault(int(row), (reason, f"{name}={text[name][row].as_py()!r:.80}"))

    local, unreadable, trip = _local(rows)
    note(unreadable, Reason.BAD_TIME, "time")
    utc, untold = _utc(local, trip, told)
    note(np.asarray(utc.isna() & local.notna(), dtype=np.bool_), Reason.LOCAL_TIME_SKIPPED, "time")
    note(untold, Reason.LOCAL_TIME_REPEATED, "time")
    parsed: dict[str, Any] = {}
    for name in ("lat", "lon", "speed_kmh"):
        parsed[name], wrong = numbers(text[name])
        note(wrong, Reason.BAD_NUMBER, name)
    speed = parsed["speed_kmh"]
    speed = pc.if_else(pc.less(speed, 0), pa.scalar(None, pa.float64()), pc.divide(speed, 3.6))
    table = pa.table(
        [
            text["TripID"] if device is None else pa.repeat(pa.scalar(device), count),
            pa.array(utc, type=TIME),
            parsed["lat"],
            parsed["lon"],
            pa.nulls(count, pa.float64()),
            speed,
            pa.nulls(count, TIME),
            pa.nulls(count, pa.string()),
            pa.array(rows.offsets),
            pa.nulls(count, pa.bool_()),
        ],
        schema=CANDIDATE_FIXES,
    )
    good = np.ones(count, dtype=np.bool_)
    good[list(faults)] = False
    malformed = list(rows.ragged)
    for index, (reason, detail) in faults.items():
        offset = int(rows.offsets[index])
        malformed.append(Malformed(offset, reason, detail, rows.payload(offset)))
    return Batch(fixes=table.filter(pa.array(good)), malformed=malformed, original=rows.payload)
