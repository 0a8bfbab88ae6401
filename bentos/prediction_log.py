"""What was served, kept: a bounded queue, one writer thread, batched Parquet parts (``parked.predictions``).

The answering path only appends to a deque: the rows as they were encoded for the model, nothing is formatted there.
``kill -9`` loses at most what was not flushed yet (``flush_s`` seconds or ``flush_rows`` rows); an orderly stop loses
nothing. A part is written durably (temporary name, fsync, rename), so a reader never sees half of one. Parts lie in
``date=YYYY-MM-DD`` folders, by UTC day of ``answered_at``.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from bentos.ports import CandidateKey
from bentos.scorer import Fed, Scorer
from parked.clock import from_us
from parked.files import atomic_path
from parked.predictions import FED, SHARED

log = structlog.get_logger(__name__)

_DAY_US: Final = 86_400_000_000

_AT_ONCE: Final = 1_000
"""Values made into a column at once: that holds the interpreter, and whoever answers waits for it."""

_REPEATED = ("state", "model_tag", "rules_version")


class Answered(NamedTuple):
    """One answer: what was asked, what the model was fed, what it said. Lists are parallel, one entry per candidate."""

    answer_id: str
    answered_at_us: int
    state: str
    generation: int
    rules_version: str
    scorer: Scorer
    keys: Sequence[CandidateKey]
    ranks: Sequence[int]
    """0: the device's newest candidate."""
    fed: Fed
    """Exactly what the model was fed."""
    probabilities: Sequence[float]


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
        rows = len(answered.keys)
        if not rows:
            return
        if len(self._waiting) >= self._limit:
            self._on_drop(rows)
            return
        self._waiting.append(answered)
        self._rows += rows
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
            groups: dict[tuple[int, Scorer], list[Answered]] = {}
            for _ in range(len(self._waiting)):
                answered = self._waiting.popleft()
                groups.setdefault((answered.answered_at_us // _DAY_US, answered.scorer), []).append(answered)
            written = 0
            for (day, _), answers in groups.items():
                rows = sum(len(answered.keys) for answered in answers)
                try:
                    self._write(from_us(day * _DAY_US).date().isoformat(), answers)
                    written += rows
                except Exception as error:  # a full disk or a bad value must not end the log, only lose this part
                    self._on_drop(rows)
                    log.error("prediction_log_write_failed", rows=rows, error=repr(error))
            return written

    def _write(self, day: str, answers: Sequence[Answered]) -> None:
        self._parts += 1
        name = f"{answers[0].answered_at_us}-{os.getpid()}-{self._parts:06d}.parquet"
        table = to_table(answers)
        texts = [field.name for field in table.schema if field.name.startswith(FED) and field.type == pa.string()]
        with atomic_path(self._folder / f"date={day}" / name) as temporary:
            # lz4, no statistics, no search for repeated numbers: the writer shares the core with who answers.
            pq.write_table(
                table, temporary, compression="lz4", use_dictionary=[*_REPEATED, *texts], write_statistics=False
            )

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            self.flush()


def to_table(answers: Sequence[Answered]) -> pa.Table:
    """Answers of one model as a part of the log, in order."""
    scorer = answers[0].scorer
    sizes = [len(answered.keys) for answered in answers]
    keys = [key for answered in answers for key in answered.keys]

    def column(values: list[Any], kind: pa.DataType) -> pa.ChunkedArray:
        chunks = [pa.array(values[at : at + _AT_ONCE], kind) for at in range(0, len(values), _AT_ONCE)]
        return pa.chunked_array(chunks, kind)

    whose = pa.array(np.repeat(np.arange(len(answers)), sizes))

    def of_each(values: list[Any], kind: pa.DataType) -> pa.ChunkedArray:
        return column(values, kind).take(whose)

    columns = {
        "answer_id": of_each([a.answer_id for a in answers], pa.string()),
        "answered_at": of_each([a.answered_at_us for a in answers], pa.int64()),
        "asked_at": column([key[3] for key in keys], pa.int64()),
        "device_id": column([key[0] for key in keys], pa.string()),
        "candidate_id": column([key[1] for key in keys], pa.string()),
        "rank": column([rank for a in answers for rank in a.ranks], pa.int32()),
        "probability": column([p for a in answers for p in a.probabilities], pa.float64()),
        "state": of_each([a.state for a in answers], pa.string()),
        "model_tag": of_each([scorer.tag] * len(answers), pa.string()),
        "generation": of_each([a.generation for a in answers], pa.int64()),
        "rules_version": of_each([a.rules_version for a in answers], pa.string()),
    }
    shared = [columns[field.name].cast(field.type) for field in SHARED]
    fed = scorer.columns([answered.fed for answered in answers])
    return pa.table([*shared, *fed.values()], names=[*SHARED.names, *(FED + name for name in fed)])
