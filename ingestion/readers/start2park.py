"""start2park waypoints (ReLUT parking-search-prediction): TripID, lon, lat, time, speed_kmh, label.

``time`` is Europe/Berlin wall time without an offset. In the hour that autumn repeats, a time is read as the first
pass (summer time), unless the same trip, in file order, has already been more than half an hour later: then the
clock went back and it is the second. A time in the hour that spring skips never was: set aside.

The device is ``--device``, else the TripID (each trip is its own phone as far as the data tells). There is no time of
receipt. ``label`` is a person's judgment, not a measurement: not read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.readers.csvfile import TextRows, header_of, rows_again, text_batches
from ingestion.readers.parsing import cast_cells, held, numbers
from ingestion.readers.port import CANDIDATE_FIXES, Batch, Kept, Malformed
from ingestion.readers.reasons import Reason
from parked.errors import InputError
from parked.schemas import TIME

COLUMNS: Final = ("TripID", "lon", "lat", "time", "speed_kmh")
ZONE: Final = "Europe/Berlin"
_WENT_BACK: Final = pd.Timedelta(minutes=30)

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

        for rows in text_batches(path, check_header=check):
            yield _batch(rows, device)

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:  # noqa: ARG002
        """Kept rows. Without its neighbours nobody knows which pass of autumn's hour a row is of: set aside."""
        return _batch(rows_again(kept), device, alone=True)


def to_utc(local: pd.Series[Any], trip: pd.Series[Any]) -> pd.Series[Any]:
    """Naive Berlin wall times to UTC by the rule above; NaT where the time never was.

    ``local``: datetime64, ``trip``: the trip of each, both in file order.

    >>> night = pd.Series(pd.to_datetime(["2020-10-25 02:50:00", "2020-10-25 02:10:00"]))
    >>> [str(t) for t in to_utc(night, pd.Series(["a", "a"]))]
    ['2020-10-25 00:50:00+00:00', '2020-10-25 01:10:00+00:00']
    """
    latest_so_far = local.groupby(trip, dropna=False).cummax()
    first_pass = ~(local + _WENT_BACK < latest_so_far).to_numpy(dtype=bool)
    zoned: pd.Series[Any] = local.dt.tz_localize(ZONE, ambiguous=first_pass, nonexistent="NaT").dt.tz_convert("UTC")
    return zoned


def _twice(local: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """Which wall times were in Berlin twice."""
    zoned = local.dt.tz_localize(ZONE, ambiguous="NaT", nonexistent="shift_forward")
    return np.asarray(zoned.isna() & local.notna(), dtype=np.bool_)


def _batch(rows: TextRows, device: str | None, *, alone: bool = False) -> Batch:
    text = rows.columns
    count = len(rows)
    faults: dict[int, tuple[Reason, str]] = {}

    def note(wrong: npt.NDArray[np.bool_], reason: Reason, name: str) -> None:
        for row in np.flatnonzero(wrong):
            faults.setdefault(int(row), (reason, f"{name}={text[name][row].as_py()!r:.80}"))

    local, unreadable = cast_cells(text["time"], pa.timestamp("us"))
    note(unreadable, Reason.BAD_TIME, "time")
    local = held(local, _FIRST, _LAST)
    utc = to_utc(local.to_pandas(), text["TripID"].to_pandas())
    never = utc.isna().to_numpy() & ~np.asarray(pc.is_null(local).to_numpy(zero_copy_only=False), dtype=np.bool_)
    note(never, Reason.LOCAL_TIME_SKIPPED, "time")
    if alone:
        note(_twice(local.to_pandas()), Reason.LOCAL_TIME_REPEATED, "time")
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
