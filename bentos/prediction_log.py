"""What was served, kept: a bounded queue, one writer thread, batched Parquet parts of ``PREDICTIONS``.

The answering path only appends to a deque. ``kill -9`` loses at most what was not flushed yet (``flush_s`` seconds or
``flush_rows`` rows); an orderly stop loses nothing. A part is written durably (temporary name, fsync, rename), so a
reader never sees half of one. Parts lie in ``date=YYYY-MM-DD`` folders, by UTC day of ``answered_at``.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import structlog

from parked.clock import to_us
from parked.files import write_table
from parked.schemas import PREDICTIONS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ScoredRow:
    """One candidate as it was scored."""

    device_id: str
    candidate_id: str
    rank: int
    """0: the device's newest candidate."""
    probability: float
    features: Mapping[str, object]
    """Exactly what the model was fed, before encoding."""
    asked_at: datetime


@dataclass(frozen=True)
class Answered:
    """One answer's rows and what they share."""

    answer_id: str
    answered_at: datetime
    state: str
    model_tag: str
    generation: int
    rules_version: str
    rows: Sequence[ScoredRow]


class PredictionLog:
    """Writes answers behind the back of whoever answers."""

    def __init__(
        self,
        folder: Path,
        *,
        queue: int = 10_000,
        flush_rows: int = 5_000,
        flush_s: float = 2.0,
        on_drop: Callable[[int], None] = lambda _rows: None,
    ) -> None:
        """``folder``: root of the parts. ``queue``: answers held before new ones are dropped (``on_drop(rows)``)."""
        self._folder = folder
        self._limit = queue
        self._flush_rows = flush_rows
        self._flush_s = flush_s
        self._on_drop = on_drop
        self._waiting: deque[Answered] = deque()
        self._rows = 0
        self._wake = threading.Event()
        self._stopping = False
        self._parts = 0
        self._write_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def add(self, answered: Answered) -> None:
        """Queue an answer; never blocks, never raises. Over the limit it is dropped and counted."""
        if not answered.rows:
            return
        if len(self._waiting) >= self._limit:
            self._on_drop(len(answered.rows))
            return
        self._waiting.append(answered)
        self._rows += len(answered.rows)
        if self._rows >= self._flush_rows:
            self._wake.set()

    def stop(self) -> None:
        """Flush what is queued and end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def flush(self) -> int:
        """Write all that is queued now; returns the rows written. On a write error they are dropped and counted."""
        with self._write_lock:
            self._rows = 0
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            written = 0
            by_day = groupby(sorted(batch, key=lambda a: a.answered_at), key=lambda a: a.answered_at.date().isoformat())
            for day, group in by_day:
                answers = list(group)
                rows = sum(len(answered.rows) for answered in answers)
                try:
                    self._write(day, answers)
                    written += rows
                except Exception as error:  # a full disk or a bad value must not end the log, only lose this part
                    self._on_drop(rows)
                    log.error("prediction_log_write_failed", rows=rows, error=repr(error))
            return written

    def _write(self, day: str, answers: Sequence[Answered]) -> None:
        self._parts += 1
        name = f"{to_us(answers[0].answered_at)}-{os.getpid()}-{self._parts:06d}.parquet"
        write_table(self._folder / f"date={day}" / name, to_table(answers))

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            self.flush()


def to_table(answers: Sequence[Answered]) -> pa.Table:
    """Answers as ``PREDICTIONS`` rows, in order."""
    pairs = [(answered, row) for answered in answers for row in answered.rows]
    columns: dict[str, list[object]] = {
        "answer_id": [a.answer_id for a, _ in pairs],
        "answered_at": [a.answered_at for a, _ in pairs],
        "asked_at": [r.asked_at for _, r in pairs],
        "device_id": [r.device_id for _, r in pairs],
        "candidate_id": [r.candidate_id for _, r in pairs],
        "rank": [r.rank for _, r in pairs],
        "probability": [r.probability for _, r in pairs],
        "state": [a.state for a, _ in pairs],
        "model_tag": [a.model_tag for a, _ in pairs],
        "generation": [a.generation for a, _ in pairs],
        "rules_version": [a.rules_version for a, _ in pairs],
        "features": [features_json(r.features) for _, r in pairs],
    }
    return pa.table(columns, schema=PREDICTIONS)


def features_json(features: Mapping[str, object]) -> str:
    """A JSON object without NaN: missing is null; floats keep every digit.

    >>> features_json({"age_s": 0.1, "cell": None, "speed": float("nan")})
    '{"age_s":0.1,"cell":null,"speed":null}'
    """
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in features.items()}
    return json.dumps(clean, separators=(",", ":"), allow_nan=False)
