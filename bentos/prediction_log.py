"""What was served, kept: a bounded queue, one writer thread, batched Parquet parts (``parked.predictions``).

The answering path only appends to columns: the rows as they were encoded for the model, nothing is formatted there.
``kill -9`` loses at most what was not flushed yet (``flush_s`` seconds or ``flush_rows`` rows); an orderly stop loses
nothing. A part is written durably (temporary name, fsync, rename), so a reader never sees half of one. Parts lie in
``date=YYYY-MM-DD`` folders, by UTC day of ``answered_at``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from bentos.scorer import Scorer
from bentos.waiting import Answered, Waiting
from parked.clock import from_us
from parked.files import atomic_path

log = structlog.get_logger(__name__)

_DAY_US: Final = 86_400_000_000


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
        self._waiting: dict[tuple[int, Scorer], Waiting] = {}
        self._answers = self._rows = 0
        self._hand = threading.Lock()
        """Held for a moment by who adds an answer and who takes them all."""
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
        whose = (answered.answered_at_us // _DAY_US, answered.scorer)
        with self._hand:
            if self._answers >= self._limit:
                self._on_drop(rows)
                return
            waiting = self._waiting.get(whose)
            if waiting is None:
                waiting = self._waiting[whose] = Waiting(answered.scorer)
            waiting.add(answered)
            self._answers += 1
            self._rows += rows
            enough = self._rows >= self._flush_rows
        if enough:
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
            with self._hand:
                taken, self._waiting = self._waiting, {}
                self._answers = self._rows = 0
            written = 0
            for (day, _), waiting in taken.items():
                try:
                    self._write(from_us(day * _DAY_US).date().isoformat(), waiting)
                    written += waiting.rows
                except Exception as error:  # a full disk or a bad value must not end the log, only lose this part
                    self._on_drop(waiting.rows)
                    log.error("prediction_log_write_failed", rows=waiting.rows, error=repr(error))
            return written

    def _write(self, day: str, waiting: Waiting) -> None:
        self._parts += 1
        name = f"{waiting.first_us}-{os.getpid()}-{self._parts:06d}.parquet"
        table = waiting.table()
        repeated = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        with atomic_path(self._folder / f"date={day}" / name) as temporary:
            # lz4, no statistics, no search for repeated numbers: the writer shares the core with who answers. Without
            # Arrow's own schema the dictionaries are read back as what they spell.
            pq.write_table(
                table, temporary, compression="lz4", use_dictionary=repeated, write_statistics=False, store_schema=False
            )

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._flush_s)
            self._wake.clear()
            self.flush()
