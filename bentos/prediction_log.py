"""What was served, kept: a bounded queue, a writer process that steps aside, batched Parquet parts.

The answering path appends to columns, and every ``PIECE`` rows hands them over as they are (``bentos.log_spool``):
nothing is formatted there. The writer (``bentos.log_writer``) makes parts of them while nobody else wants its core.
Where it falls behind, this worker leaves it the core for as long as it needs, a millisecond at a time;
where that does not help, or it died, this process writes itself, by the same code. A part is closed after
``flush_rows`` rows or ``flush_s`` seconds and written durably (temporary name, fsync, rename), in ``date=YYYY-MM-DD``
folders by UTC day of ``answered_at``. ``kill -9`` of a worker loses at most a piece; an orderly stop loses nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from bentos.log_backlog import Backlog, Part
from bentos.scorer import Scorer
from bentos.waiting import Answered
from parked.clock import from_us
from parked.predictions import PART_SPAN

log = structlog.get_logger(__name__)

PIECE: Final = 128
"""Rows handed over at once: a tenth of a millisecond."""

_SPAN_US: Final = PART_SPAN // timedelta(microseconds=1)
_DAY_US: Final = 86_400_000_000
_SHORTEST_REST_US: Final = 600.0
"""That is worth it: each costs both who share the core what they had in their caches."""
_LONGEST_REST_US: Final = 3_000.0
_PATIENCE_S: Final = 1.0
"""How long who wants all to be written waits for the writer, before it writes itself."""
_LOOK_S: Final = 0.1
"""Between two looks at what the writer has done, while it has something to do."""


class PredictionLog:
    """Writes answers behind the back of whoever answers."""

    def __init__(
        self,
        folder: Path,
        *,
        queue: int = 50_000,
        flush_rows: int = 5_000,
        flush_s: float = 2.0,
        on_drop: Callable[[int], None] = lambda _rows: None,
        now_s: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        """``folder``: root of the parts. ``queue``: rows held before new answers are dropped (``on_drop(rows)``)."""
        self._limit = queue
        self._flush_rows = flush_rows
        self._flush_s = flush_s
        self._on_drop = on_drop
        self._now_s = now_s
        self._rest = rest
        self._hand = threading.Lock()
        """Held for a moment by who adds an answer and who closes parts: guards what follows."""
        self._open: dict[tuple[int, Scorer], Part] = {}
        self._rows = self._number = 0
        self._owed = 0.0
        self._turn = threading.Lock()
        """Held by who sends, settles or writes."""
        self._backlog = Backlog(folder, still_s=flush_s, on_written=self._written, now_s=now_s)
        self._rows_written = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the writer, and the thread that speaks with it. Without this, ``flush`` writes."""
        self._thread.start()

    def add(self, answered: Answered) -> None:
        """Queue an answer; never raises. Over the limit it is dropped and counted. Rests where the writer is behind."""
        rows = len(answered.keys)
        if not rows:
            return
        rest_us = 0.0
        with self._hand:
            part = self._part(answered) if self._rows < self._limit else None
            if part is None:
                self._on_drop(rows)
                return
            part.waiting.add(answered)
            part.rows += rows
            self._rows += rows
            if part.waiting.rows >= PIECE:
                rest_us = self._owed_us(part.waiting.rows)
                self._hand_over(part)
            if part.rows >= self._flush_rows:
                self._close(part)
                self._wake.set()
        if rest_us:
            self._rest(rest_us * 1e-6)

    def stop(self) -> None:
        """Write what is queued, and end thread and writer."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()
        with self._turn:
            self._backlog.close(_PATIENCE_S)

    def flush(self) -> int:
        """Have all that is queued written; returns the rows. On a write error they are dropped and counted."""
        with self._turn:
            before = self._rows_written
            self._close_since(None)
            self._backlog.clear(_PATIENCE_S)
            return self._rows_written - before

    def _run(self) -> None:
        while not self._stopping:
            with self._turn:
                self._backlog.hire()
                self._close_since(self._now_s() - self._flush_s)
                self._backlog.turn(too_many=lambda: self._rows > self._limit // 2)
            self._wake.wait(min(self._flush_s, _LOOK_S) if len(self._backlog) else self._flush_s)
            self._wake.clear()

    def _owed_us(self, rows: int) -> float:
        """How long to rest now, with ``rows`` more for the writer."""
        need = self._backlog.need_us(rows)
        self._owed = self._owed + need if need else 0.0
        if self._owed < _SHORTEST_REST_US:
            return 0.0
        owed, self._owed = min(self._owed, _LONGEST_REST_US), 0.0
        return owed

    def _part(self, answered: Answered) -> Part | None:
        """Where an answer belongs; None where there is no room for another part."""
        day, scorer = answered.answered_at_us // _DAY_US, answered.scorer
        part = self._open.get((day, scorer))
        if part is not None:
            if answered.answered_at_us - part.first_us < _SPAN_US:
                return part
            self._close(part)
            self._wake.set()
        self._number += 1
        folder = f"date={from_us(day * _DAY_US).date().isoformat()}"
        name = f"{answered.answered_at_us}-{os.getpid()}-{self._number:06d}.parquet"
        try:
            part = Part(self._number, f"{folder}/{name}", scorer, self._now_s(), answered.answered_at_us)
        except (OSError, ValueError) as error:
            log.error("prediction_log_part_not_begun", error=repr(error))
            return None
        self._open[day, scorer] = part
        self._backlog.begun(part)
        return part

    def _hand_over(self, part: Part) -> None:
        """What waits becomes a piece."""
        rows = part.waiting.rows
        if not rows:
            return
        try:
            part.spool.append(part.waiting.piece())
        except (OSError, ValueError) as error:  # no memory, or a value that cannot be said
            part.rows -= rows
            self._rows -= rows
            self._on_drop(rows)
            log.error("prediction_log_not_handed_over", rows=rows, error=repr(error))

    def _close(self, part: Part) -> None:
        self._open = {whose: other for whose, other in self._open.items() if other is not part}
        self._hand_over(part)
        self._backlog.add(part)

    def _close_since(self, began_s: float | None) -> None:
        """Close what was begun by then; all for None."""
        with self._hand:
            for part in list(self._open.values()):
                if began_s is None or part.began_s <= began_s:
                    self._close(part)

    def _written(self, part: Part, rows: int) -> None:
        with self._hand:
            self._rows -= part.rows
        if rows < 0:
            self._on_drop(part.rows)
        else:
            self._rows_written += rows
