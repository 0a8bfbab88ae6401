"""What was served, kept: a bounded queue, a writer process that steps aside, batched Parquet parts.

The answering path appends an answer to a list; every ``PIECE`` rows, the list is handed over (``bentos.log.waiting``,
``bentos.log.spool``) with nothing formatted. The writer (``bentos.log.writer``) makes parts of what it was handed while
nobody else wants its core; bursts wait, up to half the queue and for some seconds. Beyond that the worker leaves the
writer the core for as long as it needs, a millisecond at a time; where that does not help, or the writer died, this
process writes itself, by the same code. A part is closed after ``flush_rows`` rows or ``flush_s`` seconds and
written durably (temporary name, fsync, rename), in ``date=YYYY-MM-DD`` folders by UTC day of ``answered_at``.
``kill -9`` of a worker loses at most a piece; an orderly stop loses nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from bentos.log.backlog import Backlog, Part
from bentos.log.waiting import Answered, piece_of
from bentos.model.scorer import Scorer
from parked.clock import from_us

log = structlog.get_logger(__name__)

PIECE: Final = 128
"""Rows handed over at once: a tenth of a millisecond."""
SETTLED: Final = 8
"""Times ``flush_s`` after which an answer is in the log, unless a disk or a writer's core is in the way."""

_DAY_US: Final = 86_400_000_000
_SHORTEST_REST_US: Final = 600.0
"""That is worth it: each costs both who share the core what they had in their caches."""
_LONGEST_REST_US: Final = 3_000.0
_LATE: Final = 5
"""Times ``flush_s`` that a part may wait for a core that nobody else wants."""
_STILL: Final = 7
"""Times ``flush_s`` in which a writer writes something, or stands still. The worker has rested for it by then."""
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
        """``folder``: root of the parts. ``queue``: rows held before new answers are dropped (``on_drop(rows)``); 0:
        no log is kept."""
        self._limit = queue
        self._flush_rows = flush_rows
        self._piece = min(PIECE, flush_rows)
        self._flush_s = flush_s
        self._on_drop = on_drop
        self._now_s = now_s
        self._rest = rest
        self._added: deque[Answered] = deque()
        """What was added and not taken up yet; grows without a lock."""
        self._added_rows = 0
        self._hand = threading.Lock()
        """Held by who takes up answers and who closes parts: guards what follows."""
        self._open: dict[tuple[int, Scorer], Part] = {}
        self._rows = self._number = 0
        self._owed = 0.0
        self._turn = threading.Lock()
        """Held by who sends, settles or writes."""
        self._backlog = Backlog(
            folder,
            many=flush_rows,
            small_s=flush_s,
            still_s=_STILL * flush_s,
            on_written=self._written,
            now_s=now_s,
        )
        self._rows_written = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the writer, and the thread that speaks with it. Without this, ``flush`` writes."""
        self._thread.start()

    def add(self, answered: Answered) -> None:
        """Queue an answer; never raises. Over the limit it is dropped and counted. Rests where the writer is behind."""
        if not self._limit:
            return
        self._added.append(answered)
        self._added_rows += len(answered.keys)
        if self._added_rows >= self._piece:
            with self._hand:
                rest_us = self._take()
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

    def write_of(self, at_us: int) -> None:
        """Have what was answered at a moment (microseconds since the epoch) written here and now, and no more: for who
        looks for an answer just given, while much else may wait."""
        with self._turn:
            self._close_since(None)
            self._backlog.write_of(at_us)

    def _run(self) -> None:
        while not self._stopping:
            with self._turn:
                self._backlog.hire()
                self._close_since(self._now_s() - self._flush_s)
                self._backlog.turn(too_many=lambda: self._rows > self._limit * 3 // 4)
            self._wake.wait(min(self._flush_s, _LOOK_S) if len(self._backlog) else self._flush_s)
            self._wake.clear()

    def _take(self) -> float:
        """Hand over all that was added; how long to rest then, microseconds."""
        self._added_rows = 0
        added = [self._added.popleft() for _ in range(len(self._added))]
        rows = sum(len(answered.keys) for answered in added)
        part = self._of_all(added) if added and self._rows + rows <= self._limit else None
        if part is not None:
            self._hand_over(part, added, rows)
        else:
            self._take_each(added)
        return self._owed_us(rows)

    def _of_all(self, added: Sequence[Answered]) -> Part | None:
        """The part that takes all of them, as it nearly always is; None where that is not sure."""
        part = self._open.get((added[0].answered_at_us // _DAY_US, added[0].scorer))
        _, moments, _, generations, rules, scorers, keys, _, _, _ = zip(*added, strict=True)
        alike = all(of.count(of[0]) == len(of) for of in (scorers, generations, rules))
        if part is None or not (alike and all(keys) and part.from_us <= min(moments) and max(moments) < part.until_us):
            return None
        return part

    def _take_each(self, added: Sequence[Answered]) -> None:
        run: list[Answered] = []
        part: Part | None = None
        rows = dropped = 0
        for answered in added:
            count = len(answered.keys)
            if not count:
                continue
            if part is not None and run and not (part.takes(answered) and answered[3:5] == run[0][3:5]):
                self._hand_over(part, run, rows)
                run, rows = [], 0
            room = self._rows + rows < self._limit
            if room and not run:
                part = self._part(answered)
            if part is None or not room:
                dropped += count
                continue
            run.append(answered)
            rows += count
        if part is not None and run:
            self._hand_over(part, run, rows)
        if dropped:
            self._on_drop(dropped)

    def _owed_us(self, rows: int) -> float:
        """How long to rest now, with ``rows`` more for the writer."""
        over = self._rows - self._limit // 2
        since_s = self._backlog.since_s
        late = since_s is not None and self._now_s() - since_s > _LATE * self._flush_s
        if over <= 0 and not late:
            self._owed = 0.0
            return 0.0
        self._owed += rows * self._backlog.row_us * (1 + late + max(0, over) / (self._limit / 8))
        if self._owed < _SHORTEST_REST_US:
            return 0.0
        owed, self._owed = min(self._owed, _LONGEST_REST_US), 0.0
        return owed

    def _part(self, answered: Answered) -> Part | None:
        """Where an answer belongs; None where there is no room for another part."""
        day, scorer = answered.answered_at_us // _DAY_US, answered.scorer
        part = self._open.get((day, scorer))
        if part is not None:
            if part.takes(answered):
                return part
            self._close(part)
        self._number += 1
        folder = f"date={from_us(day * _DAY_US).date().isoformat()}"
        name = f"{answered.answered_at_us}-{os.getpid()}-{self._number:06d}.parquet"
        try:
            part = self._backlog.begin(self._number, f"{folder}/{name}", answered)
        except (OSError, ValueError) as error:
            log.error("prediction_log_part_not_begun", error=repr(error))
            return None
        self._open[day, scorer] = part
        return part

    def _hand_over(self, part: Part, run: Sequence[Answered], rows: int) -> None:
        """Answers that a part takes, of ``rows`` candidates, become a piece of it."""
        try:
            part.spool.append(*piece_of(run))
        except (OSError, ValueError) as error:  # no memory, or a value that cannot be said
            self._on_drop(rows)
            log.error("prediction_log_not_handed_over", rows=rows, error=repr(error))
            return
        part.rows += rows
        part.last_us = max(part.last_us, *(answered.answered_at_us for answered in run))
        self._rows += rows
        if part.rows >= self._flush_rows:
            self._close(part)

    def _close(self, part: Part) -> None:
        self._open = {whose: other for whose, other in self._open.items() if other is not part}
        self._backlog.add(part)
        self._wake.set()

    def _close_since(self, began_s: float | None) -> None:
        """Close what was begun by then; all for None."""
        with self._hand:
            self._take()
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
