"""What was served in a window: the prediction log as a frame of the features the champion was fed.

An answer holds one row per candidate. A phone that asks every second says nothing new about the world, so of the
answers a phone got within an hour one is kept, with all of its rows: the one with the smallest hash, which is as good
as a random one and the same at every reading.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd

from parked.clock import to_us
from parked.errors import InputError, first_line
from parked.predictions import FED
from parked.schemas import PREDICTIONS

KEY_COLUMNS: Final = ("device_id", "candidate_id", "asked_at_us", "probability", "model_tag")
"""Columns of a served frame before its features."""

PREFIX: Final = "f_"
"""Feature columns carry it, so that a feature named like a key column clashes with nothing."""

DAY_US: Final = 86_400_000_000


@dataclass(frozen=True)
class Window:
    """A span of asked-about time, ``start`` included, ``end`` not. Aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InputError(
                f"window from {self.start.isoformat()} to {self.end.isoformat()} is empty",
                mend="give --from before --to",
            )

    def __str__(self) -> str:
        return f"{self.start.astimezone(UTC):%Y-%m-%d %H:%M} to {self.end.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

    def before(self, count: int) -> list[Window]:
        """The ``count`` windows of this length that end where this one starts, newest first."""
        length = self.end - self.start
        return [Window(self.start - length * (i + 1), self.start - length * i) for i in range(count)]

    @property
    def bounds_us(self) -> tuple[int, int]:
        """Start and end in microseconds since the epoch."""
        return to_us(self.start), to_us(self.end)

    @property
    def weekend(self) -> bool:
        """Whether most of it lies on a Saturday or Sunday (UTC)."""
        return (self.start + (self.end - self.start) / 2 - timedelta(microseconds=1)).weekday() >= 5


@dataclass(frozen=True)
class Question:
    """Which rows and features of the log are wanted."""

    features: Sequence[str]
    categorical: Sequence[str]
    states: Sequence[str]
    """Answers that count (``PREDICTIONS.state``)."""
    model_tag: str | None = None
    """Answers of this model only; none: of any."""
    slot_us: int = 3_600_000_000
    """Of the answers a phone got within so long (µs) one counts."""
    max_rows: int = 100_000
    """Above so many rows a window, whole phones are left out (by hash), never rows."""


@dataclass(frozen=True)
class Served:
    """The served rows of a window."""

    window: Window
    frame: pd.DataFrame
    """KEY_COLUMNS + ``f_<feature>``: numbers float64 (missing NaN), categories object (missing ""). Ordered by
    (device_id, asked_at_us, candidate_id)."""
    logged: int
    """Rows in the log before answers in quick succession and unreadable rows were left out."""
    unreadable: int
    """Rows whose ``features`` is no JSON."""

    @property
    def rows(self) -> int:
        """Rows of the frame."""
        return len(self.frame)

    @property
    def devices(self) -> int:
        """Distinct phones."""
        return int(self.frame["device_id"].nunique())


def read_served(folder: Path, window: Window, question: Question) -> Served:
    """The served rows of one window. Raises as ``read_windows`` does."""
    return read_windows(folder, [window], question)[0]


def read_windows(folder: Path, windows: Sequence[Window], question: Question) -> list[Served]:
    """The served rows of adjoining windows of one length, by ``asked_at``, in one pass; in the given order.

    Raises InputError where a part of the log is damaged or lacks columns of ``PREDICTIONS``.
    """
    if not any(folder.rglob("*.parquet")):
        return [Served(window, empty_frame(question), 0, 0) for window in windows]
    length = to_us(windows[0].end) - to_us(windows[0].start)
    origin = min(to_us(window.start) for window in windows)
    parameters: dict[str, object] = {
        "parts": str(folder / "**" / "*.parquet"),
        "start": origin,
        "end": max(to_us(window.end) for window in windows),
        "length": length,
        "slot": question.slot_us,
        "states": list(question.states),
        "tag": question.model_tag,
    }
    kinds = set(question.categorical)
    shape = {name: "VARCHAR" if name in kinds else "DOUBLE" for name in question.features}
    with duckdb.connect() as connection:
        connection.execute("SET threads=2; SET TimeZone='UTC'")
        try:
            columns = {name for name, *_ in connection.execute(_COLUMNS, {"parts": parameters["parts"]}).fetchall()}
            readable, fed = _reading(columns, shape)
            counting = {key: value for key, value in parameters.items() if key != "slot"}
            counts = connection.execute(_COUNT.format(readable=readable), counting).fetchall()
            table = connection.sql(
                _READ.format(readable=readable, fed=fed),
                params={**parameters, "max_rows": question.max_rows * len(windows)},
            ).to_arrow_table()
        except (duckdb.BinderException, duckdb.InvalidInputException, duckdb.IOException) as error:
            wanted = ", ".join(PREDICTIONS.names)
            said = f"{folder}: unreadable prediction log ({first_line(error)})"
            raise InputError(said, mend=f"its parts must be Parquet with {wanted}") from None
    frame = _frame(table, question)
    logged = {int(index): (int(rows), int(bad)) for index, rows, bad in counts}
    parts = {index: part.drop(columns="window").reset_index(drop=True) for index, part in frame.groupby("window")}
    nothing = empty_frame(question)
    served = []
    for window in windows:
        index = (to_us(window.start) - origin) // length
        served.append(Served(window, parts.get(index, nothing), *logged.get(index, (0, 0))))
    return served


def _reading(columns: set[str], shape: dict[str, str]) -> tuple[str, str]:
    """SQL for whether a row's features can be read, and for them as a struct of ``shape``: from columns of their own
    (``parked.predictions``), from JSON text in older parts, or, while a log holds both kinds, whichever the row has."""
    typed = "{{{}}}".format(
        ", ".join(
            f"'{name}': {f'{quoted(FED + name)}::{kind}' if FED + name in columns else f'NULL::{kind}'}"
            for name, kind in shape.items()
        )
    )
    text = "from_json(features, '{}')".format(json.dumps(shape).replace("'", "''"))
    if not any(name.startswith(FED) for name in columns):
        return "json_valid(features)", text
    if "features" not in columns:
        return "true", typed
    return "(features IS NULL OR json_valid(features))", f"CASE WHEN features IS NULL THEN {typed} ELSE {text} END"


def quoted(name: str) -> str:
    """A column's name as SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))


def _frame(table: Any, question: Question) -> pd.DataFrame:
    fed = table.column("fed").combine_chunks()
    frame: pd.DataFrame = table.drop_columns(["fed"]).to_pandas()
    kinds = set(question.categorical)
    values = {name: fed.field(name).to_pandas() for name in question.features}
    columns = {PREFIX + n: as_category(v) if n in kinds else as_number(v) for n, v in values.items()}
    return pd.concat([frame, pd.DataFrame(columns, index=frame.index)], axis=1)


def as_number(column: pd.Series) -> pd.Series:
    """float64, NaN for what is missing or infinite."""
    numbers = column.astype(np.float64)
    return numbers.where(np.isfinite(numbers))


def as_category(column: pd.Series) -> pd.Series:
    """Object strings, a missing one being the empty string."""
    objects = column.astype(object)
    return objects.where(objects.notna(), "").astype(str).astype(object)


def empty_frame(question: Question) -> pd.DataFrame:
    """No rows, all columns."""
    kinds = {"asked_at_us": "int64", "probability": "float64"}
    columns = {name: pd.Series(dtype=kinds.get(name, "object")) for name in KEY_COLUMNS}
    columns |= {
        PREFIX + n: pd.Series(dtype="object" if n in set(question.categorical) else "float64")
        for n in question.features
    }
    return pd.DataFrame(columns)


_ROWS = """
    SELECT *, (epoch_us(asked_at) - $start) // $length AS "window"
    FROM read_parquet($parts, union_by_name=true, hive_partitioning=false)
    WHERE epoch_us(asked_at) >= $start AND epoch_us(asked_at) < $end
      AND list_contains($states, state) AND ($tag IS NULL OR model_tag = $tag)
"""

_COLUMNS = "DESCRIBE SELECT * FROM read_parquet($parts, union_by_name=true, hive_partitioning=false)"

_COUNT = 'SELECT "window", count(*), count(*) FILTER (NOT {readable}) FROM (' + _ROWS + ') GROUP BY "window"'

_READ = (
    """
    WITH kept AS (
        SELECT DISTINCT ON ("window", answer_id, device_id, candidate_id)
            "window", device_id, candidate_id, epoch_us(asked_at) AS asked_at_us, probability, model_tag, {fed} AS fed
        FROM ("""
    + _ROWS
    + """)
        WHERE {readable}
        QUALIFY dense_rank() OVER (
            PARTITION BY device_id, epoch_us(asked_at) // $slot ORDER BY md5(answer_id), answer_id
        ) = 1
    ), phones AS (
        SELECT device_id, sum(count(*)) OVER (ORDER BY md5(device_id), device_id) AS rows_so_far
        FROM kept GROUP BY device_id
    )
    SELECT "window", device_id, candidate_id, asked_at_us, probability, model_tag, fed
    FROM kept JOIN phones USING (device_id)
    WHERE rows_so_far <= $max_rows OR rows_so_far = (SELECT min(rows_so_far) FROM phones)
    ORDER BY "window", device_id, asked_at_us, candidate_id
    """
)
