"""One answer, found again in the prediction log, also while it is still on its way there.

An id says when its answer was given and a part's name when its first row was, so a few parts are read, not the log.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from bentos.log.answer_id import asked_us, weighed_nothing
from bentos.ports import NothingWeighedError, NotReadyError, UnknownAnswerError
from parked.clock import Clock, from_us
from parked.files import PARQUET_DAMAGE
from parked.predictions import FED, PART_EARLY, PART_SPAN

log = structlog.get_logger(__name__)

STEP_S: Final = 1.0
"""A clock that goes so much faster or slower than the machine's monotonic one since it was last looked at was moved."""


@dataclass(frozen=True)
class LoggedCandidate:
    """One candidate as it was scored (a row of ``PREDICTIONS``)."""

    device_id: str
    candidate_id: str
    rank: int
    probability: float
    asked_at: datetime
    features: Mapping[str, Any]


@dataclass(frozen=True)
class LoggedAnswer:
    """An answer's rows, best rank first, and what they share."""

    answer_id: str
    answered_at: datetime
    state: str
    model_tag: str
    generation: int
    rules_version: str
    candidates: tuple[LoggedCandidate, ...]
    more: int = 0
    """Candidates of it that follow these and were not read."""


class AnswerLog:
    """Reads what ``bentos.log.prediction_log`` writes. Blocks; not for the threads that answer."""

    def __init__(
        self,
        folder: Path,
        write_of: Callable[[int], object],
        clock: Clock,
        *,
        flush_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``write_of`` writes what this worker still holds of a moment (microseconds); ``flush_s``: how long another
        worker may hold an answer. ``monotonic``: seconds, beside which ``clock`` is seen to be put back or on."""
        self._folder = folder
        self._write_of = write_of
        self._clock = clock
        self._settle = timedelta(seconds=flush_s) + timedelta(seconds=3)
        self._monotonic = monotonic
        self._apart_s = clock().timestamp() - monotonic()
        self._moved_s = -math.inf

    def find(
        self, answer_id: str, allows: Callable[[str], bool], *, skip: int = 0, at_most: int | None = None
    ) -> LoggedAnswer:
        """The answer, with the candidates of the devices that ``allows`` lets through: ``at_most`` so many (None: all),
        after the first ``skip``. What is not asked for of a large batch costs nothing.

        Raises UnknownAnswerError, also where it is only of other devices; NothingWeighedError; NotReadyError where it
        may still be on its way into the log (another worker gave it a moment ago).
        """
        at_us = asked_us(answer_id)
        if at_us is None:
            raise UnknownAnswerError()
        rows = self._rows(answer_id, at_us)
        age = self._clock() - from_us(at_us)
        if rows is None and weighed_nothing(answer_id):
            raise NothingWeighedError()
        recent = rows is None and (timedelta(0) - PART_SPAN < age < self._settle or self._clock_moved())
        if recent:
            self._write_of(at_us)
            rows = self._rows(answer_id, at_us)
        if rows is None:
            if recent:
                raise NotReadyError("this answer is not in the log yet; ask again in a few seconds")
            raise UnknownAnswerError()
        devices = rows["device_id"].to_pylist()
        allowed = {device_id for device_id in set(devices) if allows(device_id)}
        mine = [at for at, device_id in enumerate(devices) if device_id in allowed]
        if not mine:
            raise UnknownAnswerError()
        told = mine[skip:] if at_most is None else mine[skip : skip + at_most]
        few = rows.take(told or mine[:1])
        return _answer(_read(few), len(told), more=max(0, len(mine) - skip - len(told)))

    def _clock_moved(self) -> bool:
        """Whether the clock was put back or on a moment ago: then an id's moment does not say whether it is recent."""
        now_s = self._monotonic()
        apart_s = self._clock().timestamp() - now_s
        if abs(apart_s - self._apart_s) > STEP_S:
            self._apart_s, self._moved_s = apart_s, now_s
        return now_s - self._moved_s < self._settle.total_seconds()

    def _rows(self, answer_id: str, at_us: int) -> pa.Table | None:
        for part in self._parts(at_us):
            try:
                found = _rows_of(part, answer_id)
            except PARQUET_DAMAGE as error:  # or erased since it was listed; the answer may lie in another
                log.warning("prediction_log_part_unreadable", part=part.name, why=repr(error))
                continue
            if found is not None:
                return found
        return None

    def _parts(self, at_us: int) -> Iterator[Path]:
        """Parts that may hold an answer of that moment, the likeliest first."""
        first_us = at_us - PART_SPAN // timedelta(microseconds=1)
        last_us = at_us + PART_EARLY // timedelta(microseconds=1)
        days = sorted({from_us(us).date().isoformat() for us in (max(first_us, 0), at_us)})
        found = []
        for day in days:
            for part in (self._folder / f"date={day}").glob("[0-9]*.parquet"):
                began = part.name.split("-", 1)[0]
                if began.isdigit() and first_us <= int(began) <= last_us:
                    found.append((int(began), part))
        return (part for _, part in sorted(found, reverse=True))


def _rows_of(part: Path, answer_id: str) -> pa.Table | None:
    file = pq.ParquetFile(part)
    ids = file.read(columns=["answer_id"])["answer_id"]
    if pc.index(ids, answer_id).as_py() < 0:
        return None
    table = file.read()
    return table.filter(pc.equal(table["answer_id"], answer_id))


def fed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the model was fed, from a part's row: a column per feature, or all as JSON text.

    >>> fed({"rank": 0, "f.x": 0.5, "f.y": None}), fed({"rank": 0, "features": '{"x":0.5}'})
    ({'x': 0.5, 'y': None}, {'x': 0.5})
    """
    if row.get("features") is not None:
        loaded: dict[str, Any] = json.loads(row["features"])
        return loaded
    return {name.removeprefix(FED): value for name, value in row.items() if name.startswith(FED)}


def _read(rows: pa.Table) -> list[dict[str, Any]]:
    # A few at a time: Arrow holds the interpreter meanwhile, which who answers wants, too.
    return [row for batch in rows.to_batches(max_chunksize=64) for row in batch.to_pylist()]


def _answer(rows: list[dict[str, Any]], count: int, *, more: int) -> LoggedAnswer:
    """The answer that ``rows`` (at least one) are of, with the candidates of the first ``count``."""
    one = rows[0]
    candidates = [
        LoggedCandidate(
            row["device_id"],
            row["candidate_id"],
            row["rank"],
            row["probability"],
            row["asked_at"],
            fed(row),
        )
        for row in rows[:count]
    ]
    return LoggedAnswer(
        one["answer_id"],
        one["answered_at"],
        one["state"],
        one["model_tag"],
        one["generation"],
        one["rules_version"],
        tuple(candidates),
        more,
    )
