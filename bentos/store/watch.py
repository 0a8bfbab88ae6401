"""The feature store as a worker sees it from aside: opened when it can be, and asked again and again if it answers.

A store that waits for somebody (Redis, SQLite) may stop answering long after it was opened. It is asked on a thread of
its own, so that a store that is stuck holds up one question and not the watch over the models.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from bentos.ports import FeatureSource, NotReadyError
from parked.errors import NotFoundError, ParkedError

log = structlog.get_logger(__name__)

SILENT = "the online store does not answer"


class StoreWatch:
    """``look`` is called from one thread; ``source`` and ``trouble`` may be read from any."""

    def __init__(self, open_source: Callable[[], FeatureSource], patience_s: float) -> None:
        """``open_source`` may take seconds and raise; ``patience_s``: how long an answer may take."""
        self._open_source = open_source
        self._patience_s = patience_s
        self._asking: threading.Thread | None = None
        self._said: str | None = None
        self._why = ""
        """What the log says of it, beside what anyone may read."""
        self._answered, self._until = 0, 0.0
        self.source: FeatureSource | None = None
        """None until it was opened; then for good: one that was replaced answers until the next one is open."""
        self.trouble: str | None = "the feature store is being opened"
        """Why questions cannot be answered, in words; None while it answers."""

    def look(self) -> None:
        """Open the store if it is not open or was replaced, else see whether it answers. Never raises."""
        if self.source is None or self.source.replaced():
            self._open()
        elif self.source.inline:  # what waits for nobody answers, or fails, at once
            self._settle("feature_store", None)
        else:
            self._settle("online_store", self._ask(self.source))

    def _open(self) -> None:
        try:
            opened = self._open_source()
            if self.source is not None and not opened.knows_any():
                raise NotFoundError("the online store was replaced by one that knows no phone yet")
            self.source = opened
        except Exception as error:  # absent, not applied, locked, damaged: not ready, and tried again
            why = str(error) if isinstance(error, ParkedError) else f"{type(error).__name__}: {error}"
            self._settle("feature_store", why)
        else:
            self.trouble = None
            log.info("feature_store_open")

    def _ask(self, source: FeatureSource) -> str | None:
        """Why ``source`` gives no answer; None where it does. A question still on its way is not asked twice.

        One that waits behind others' long reads proves nothing while these are answered.
        """
        if self._asking is None:
            self._be_patient(source)
            self._said = SILENT
            self._asking = threading.Thread(target=self._question, args=(source,), name="store-watch", daemon=True)
            self._asking.start()
            self._asking.join(self._patience_s)
        if self._asking.is_alive():
            if source.answered != self._answered:
                self._be_patient(source)
            return SILENT if time.monotonic() >= self._until else None
        self._asking = None
        return self._said

    def _be_patient(self, source: FeatureSource) -> None:
        self._answered, self._until = source.answered, time.monotonic() + self._patience_s

    def _question(self, source: FeatureSource) -> None:
        try:
            source.devices([""])
        except NotReadyError as error:
            self._said, self._why = str(error), str(error.__cause__ or error)
        except Exception as error:  # a library's, of a disk or a network
            self._said = f"{SILENT}: {type(error).__name__}: {error}"
        else:
            self._said = None

    def _settle(self, what: str, trouble: str | None) -> None:
        if trouble != self.trouble:
            if trouble is None:
                log.info(f"{what}_answers_again")
            else:
                log.warning(f"{what}_not_answering" if self.source else f"{what}_not_open", why=self._why or trouble)
        self._why = ""
        self.trouble = trouble
