"""Parts of the prediction log that wait to be written: handed to the writer a few at a time, or written here.

Here is where it comes to when there is no writer (it died, none can be started), when it stands still (others want its
core all the time), or when what waits is more than may.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from bentos.log.hand import BEGUN, FORGET, WRITE, LogHand
from bentos.log.part import write_part
from bentos.log.spool import Spool, Spools
from bentos.log.waiting import Answered, model_of
from parked.predictions import PART_EARLY, PART_SPAN

log = structlog.get_logger(__name__)

_DAY_US: Final = 86_400_000_000
_BACK_US: Final = PART_EARLY // timedelta(microseconds=1)
"""By which a clock may be set back within a part, and an answer's id be younger than the answer."""
_SPAN_US: Final = PART_SPAN // timedelta(microseconds=1)
_SENT: Final = 4
"""Parts the writer is told to write before it has written the first of them."""
_ROW_US: Final = 1.5
"""What a row costs the writer, until it has told."""
_IDLE_S: Final = 60.0
"""After which memory that nothing waited in is given back."""
_AGAIN_S: Final = 10.0
"""Between two starts of a writer."""


class Part:
    """Answers of one model and day on their way into one file."""

    def __init__(self, number: int, path: str, first: Answered, spool: Spool, began_s: float) -> None:
        """``spool``: an empty one. Raises OSError where memory is refused."""
        first_us, scorer = first.answered_at_us, first.scorer
        self.number = number
        self.rows = 0
        self.began_s = began_s
        day_us = first_us - first_us % _DAY_US
        self.from_us = max(day_us, first_us - _BACK_US)
        self.until_us = min(day_us + _DAY_US, first_us + _SPAN_US)
        """It takes answers of moments from the one on, before the other."""
        self.last_us = first_us
        self.scorer = scorer
        self.known_to: LogHand | None = None
        """The writer that holds the spool too."""
        self.spool = spool
        spool.append({"path": path, **model_of(scorer)})

    def takes(self, answered: Answered) -> bool:
        """Whether an answer is of this part's model and time."""
        return answered.scorer is self.scorer and self.from_us <= answered.answered_at_us < self.until_us


class Backlog:
    """``add``, ``begun``, ``row_us`` and ``since_s`` may be used from any thread, the rest from one at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        many: int,
        small_s: float,
        still_s: float,
        on_written: Callable[[Part, int], None],
        now_s: Callable[[], float],
    ) -> None:
        """``still_s``: a writer that has finished nothing for so long stands still; where what it was to write is less
        than ``many`` rows, which takes no time here, after ``small_s``. ``on_written``: its rows; -1: they are lost."""
        self._folder = folder
        self._many = many
        self._small_s = small_s
        self._still_s = still_s
        self._on_written = on_written
        self._spools = Spools(idle_s=_IDLE_S, now_s=now_s)
        self._now_s = now_s
        self._waiting: deque[Part] = deque()
        self._sent: dict[int, Part] = {}
        self._sent_s = self._done_s = 0.0
        """When the first of ``_sent`` was sent, and when the writer last finished one."""
        self.row_us = _ROW_US
        """What a row costs the writer, microseconds."""
        self._writer: LogHand | None = None
        self._writer_s = -_AGAIN_S

    def __len__(self) -> int:
        """Parts not written yet."""
        return len(self._waiting) + len(self._sent)

    def add(self, part: Part) -> None:
        """One more that is to be written."""
        self._waiting.append(part)

    @property
    def since_s(self) -> float | None:
        """When the oldest part that is not written was begun; None where all are."""
        with contextlib.suppress(StopIteration, RuntimeError):  # another thread may be about to change it
            return next(iter(self._sent.values())).began_s
        with contextlib.suppress(IndexError):
            return self._waiting[0].began_s
        return None

    def begin(self, number: int, path: str, first: Answered) -> Part:
        """A new part, for ``first`` and what is like it. Raises OSError or ValueError where there is no room for it."""
        spool = self._spools.take()
        try:
            part = Part(number, path, first, spool, self._now_s())
        except (OSError, ValueError):
            spool.close()
            raise
        self.begun(part)
        return part

    def begun(self, part: Part) -> bool:
        """Let the writer hold a part that is not complete yet; False where there is none to."""
        writer = self._writer
        if writer is not None and part.known_to is not writer and writer.tell(BEGUN, part.number, fd=part.spool.fd):
            part.known_to = writer
        return writer is not None and part.known_to is writer

    def hire(self) -> None:
        """Have a writer, if there is none and the last was not started just now."""
        now = self._now_s()
        if self._hired() or now - self._writer_s < _AGAIN_S:
            return
        if self._writer is not None:
            log.error("prediction_log_writer_died", pid=self._writer.pid)
            self._writer.close(0.0)
        self._writer, self._writer_s = None, now
        try:
            self._writer = LogHand(self._folder)
        except OSError as error:
            log.error("prediction_log_writer_not_started", error=repr(error))

    def turn(self, *, too_many: Callable[[], bool]) -> None:
        """Send and settle without waiting, and write here what the writer will not; all but ``too_many`` may wait."""
        self._spools.trim()
        self._settle(0.0)
        self._send()
        if self._sent:
            first = next(iter(self._sent.values()))
            patience_s = self._still_s if first.rows >= self._many else self._small_s
            if self._now_s() - max(self._done_s, self._sent_s) > patience_s:
                self._write_sent()
        while self._waiting and (too_many() or not self._hired()):
            self._write(self._waiting.popleft())

    def write_of(self, at_us: int) -> None:
        """Write here the parts that may hold an answer whose id is of a moment, a little after the answer's own."""
        self._settle(0.0)
        for part in (*self._sent.values(), *self._waiting.copy()):
            if not part.from_us <= at_us <= part.last_us + _BACK_US:
                continue
            if self._sent.pop(part.number, None) is None:
                self._waiting.remove(part)
            self._write(part)

    def clear(self, patience_s: float) -> None:
        """Have all written: by the writer within ``patience_s``, then here."""
        until = self._now_s() + patience_s
        self._send()
        while self._sent and (left := until - self._now_s()) > 0:
            self._settle(left)
            self._send()
        self._write_sent()
        while self._waiting:
            self._write(self._waiting.popleft())

    def close(self, patience_s: float) -> None:
        """Let the writer go, and the memory."""
        self._spools.trim(all_of_them=True)
        if self._writer is not None:
            self._writer.close(patience_s)
            self._writer = None

    def _hired(self) -> bool:
        return self._writer is not None and self._writer.alive

    def _send(self) -> None:
        while self._waiting and len(self._sent) < _SENT and self._writer is not None:
            part = self._waiting[0]
            if not self.begun(part) or not self._writer.tell(WRITE, part.number, part.spool.end):
                return
            if not self._sent:
                self._sent_s = self._now_s()
            self._sent[part.number] = self._waiting.popleft()

    def _settle(self, wait_s: float) -> None:
        for done in self._writer.done(wait_s) if self._writer is not None else ():
            self._done_s = self._now_s()
            if done.rows > 0:
                self.row_us = done.cpu_us / done.rows
            part = self._sent.pop(done.part, None)
            if part is not None:  # else it took too long, and was written here
                self._spools.give(part.spool)
                self._end(part, done.rows, done.error)
        if not self._hired():
            self._write_sent()

    def _write_sent(self) -> None:
        while self._sent:
            self._write(self._sent.pop(min(self._sent)))

    def _write(self, part: Part) -> None:
        if self._writer is not None and part.known_to is self._writer:
            self._writer.tell(FORGET, part.number)
        rows, why = -1, ""
        try:
            rows = write_part(part.spool.fd, self._folder, part.spool.end)
        except Exception as error:  # a full disk or a bad value must not end the log, only lose this part
            why = repr(error)
        if part.known_to is None:
            self._spools.give(part.spool)
        else:
            part.spool.close()  # a writer that stands still may yet read it
        self._end(part, rows, why)

    def _end(self, part: Part, rows: int, why: str) -> None:
        if rows < 0:
            log.error("prediction_log_write_failed", rows=part.rows, error=why)
        self._on_written(part, rows)
