"""One worker's parts, put together: who is built from what, in which order they start and stop."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable

import structlog

from bentos.application import Application
from bentos.config import ServingConfig
from bentos.feedback.hindsight import Hindsight
from bentos.lean import give_back
from bentos.log.answer_id import NewId, answer_ids
from bentos.log.logged import AnswerLog
from bentos.log.prediction_log import SETTLED, PredictionLog
from bentos.metrics.files import forget_dead
from bentos.metrics.prometheus import Metrics
from bentos.model.champion import Champion, ChampionWatch, Poller
from bentos.model.kept_trees import load_proved
from bentos.model.scorer import Scorer, load_scorer, model_dir_of
from bentos.ports import CandidateKey, FeatureSource, LabelSink, NotReadyError, Readiness
from bentos.store.watch import StoreWatch
from bentos.web.gatekeeper import OPEN, REFRESH_S, Gatekeeper, Refreshing
from parked.clock import Clock, to_us
from parked.errors import InternalError, NotFoundError, UserError
from parked.pointer import Pointer, published
from parked.settings import Settings
from parked.worker_status import (
    WorkerStatus,
    process_started,
    remove_status,
    siblings,
    sweep,
    workers_dir,
    write_status,
)

log = structlog.get_logger(__name__)

_TURN_S = 0.0002
"""How long another thread may hold the interpreter while the event loop waits for it."""
_STUCK_S = 10.0
"""After which a worker that cannot answer says so, though it may be only about to."""
_NO_MODEL = "no model is published; run `parked train`, then `parked publish`"
_WAITS = "it is loaded, and answers once the online store does and it passed its trial there"


class Runtime:
    """Everything a worker holds. Starts at once and becomes ready by itself: store and model may come later."""

    def __init__(
        self,
        settings: Settings,
        config: ServingConfig,
        *,
        clock: Clock,
        metrics: Metrics,
        open_source: Callable[[], FeatureSource],
        labels: LabelSink,
        seed: Pointer | None = None,
        gatekeeper: Gatekeeper = OPEN,
        new_id: NewId | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``open_source`` may take seconds and raise; it is tried until it succeeds. ``seed``: what is served until
        something is published. ``monotonic``: seconds that go as ``clock`` does where nobody moves it."""
        self.config = config
        self.metrics = metrics
        self.gatekeeper = gatekeeper
        self._tokens = Poller(Refreshing(gatekeeper), REFRESH_S)
        self._clock = clock
        self._settings = settings
        self._labels = labels
        self._store = StoreWatch(open_source, config.store_timeout_s)
        self._frozen = self._looked = False
        self._began = time.monotonic()
        self._status_dir = workers_dir(settings)
        self._status: WorkerStatus | None = None
        self._started = process_started(os.getpid())
        self._log = PredictionLog(
            settings.predictions_dir,
            queue=config.log_queue,
            flush_rows=config.log_flush_rows,
            flush_s=config.log_flush_s,
            on_drop=metrics.log_dropped.inc,
        )
        # Generations count one home's publications, of which the seed is none: the first is newer.
        seed = seed and seed.model_copy(update={"generation": 0})
        self._watch = ChampionWatch(
            lambda: published(settings, seed),
            self._load,
            trial=self.try_out,
            on_swap=self._swapped,
            on_refusal=lambda _why: metrics.swap_failures.inc(),
        )
        self._poller = Poller(self.tick, settings.pointer_poll_s)
        self.application = Application(
            champion=lambda: self._watch.current,
            loaded=lambda: self._watch.current or self._watch.waiting,
            missing=lambda: "; ".join(self.readiness().reasons) or "the service is starting; ask again",
            source=lambda: self._store.source,
            labels=labels,
            log=self._log,
            metrics=metrics,
            clock=clock,
            new_id=new_id or answer_ids(clock),
            stale_after_s=config.stale_after_s,
        )
        self.hindsight = Hindsight(
            AnswerLog(
                settings.predictions_dir,
                self._log.write_of,
                clock,
                flush_s=SETTLED * config.log_flush_s,
                monotonic=monotonic,
            ),
            rules=settings.rules,
            load=lambda tag: load_scorer(model_dir_of(settings, tag), tag),
            source=lambda: self._store.source,
            confirm=self.application.confirm,
        )

    def start(self) -> None:
        """Start the background threads; returns at once."""
        # The log's writer shares the interpreter with who answers, who would wait 5 ms (the default) for a turn.
        sys.setswitchinterval(_TURN_S)
        sweep(self._status_dir)
        forget_dead()
        self.metrics.generation.set(0)
        self._log.start()
        self._poller.start()
        threading.Thread(target=self._prepare_labels, name="labels-open", daemon=True).start()
        if self.gatekeeper.asks:
            self._tokens.start()

    def stop(self) -> None:
        """Stop the threads; what the prediction log holds is written first."""
        self._poller.stop()
        self._tokens.stop()
        self._log.stop()
        remove_status(self._status_dir, os.getpid())

    def tick(self) -> None:
        """Open the store or see whether it answers, look for a newer champion, and report."""
        try:
            self._look()
        finally:
            self._report()

    def _prepare_labels(self) -> None:
        try:
            self._labels.prepare()
        except Exception as error:  # the confirmation that needs it tries again
            # A UserError is written for who runs the server; of others the text may hold anything.
            log.warning(
                "label_store_not_open", error=str(error) if isinstance(error, UserError) else type(error).__name__
            )

    def _look(self) -> None:
        self._store.look()
        self._watch.poll()
        self._looked = True
        if not self._frozen and self._watch.current is not None:
            # What is alive now lives as long as the worker: the collector need not walk it at every full collection.
            gc.collect()
            gc.freeze()
            # Answers make no cycles; what waits for the prediction log would be walked again and again.
            gc.set_threshold(50_000, 50, 100)
            give_back()
            self._frozen = True

    def _report(self) -> None:
        """Say what this worker answers with, where a publish waits to read it (``parked.worker_status``)."""
        champion = self._watch.current
        status = WorkerStatus(
            pid=os.getpid(),
            started=self._started,
            generation=champion.pointer.generation if champion else 0,
            model_tag=champion.scorer.tag if champion else None,
            at=self._clock(),
            refused=self._watch.trouble,
            trees=None if champion is None else champion.scorer.evaluated_by,
            refused_generation=self._watch.refused_generation,
            waits=self._waits(),
        )
        before = self._status
        if before is not None and status == before.model_copy(update={"at": status.at}):
            return
        try:
            write_status(self._status_dir, status)
        except OSError as error:  # a full disk must not end the watch; a publish will say that nobody answered
            log.warning("status_not_written", error=str(error))
        else:
            self._status = status

    def readiness(self) -> Readiness:
        """Ready while a store and a model answer, even if the newest publication was refused."""
        store, watch = self._store.trouble, self._watch
        model = watch.trouble or self._waits()
        if model is None and watch.current is None:
            model = _NO_MODEL if watch.looked else "the published model is being loaded"
        tokens = self.gatekeeper.trouble
        reasons = tuple(dict.fromkeys(reason for reason in (store, model, tokens) if reason))
        return Readiness(store is None and tokens is None and watch.current is not None, reasons)

    def stands_back(self) -> bool:
        """Whether others had better answer: this worker cannot yet, and another of its server can, or it has not tried.

        A store that is stuck while it is opened, and tokens that cannot be read, are waited for ``_STUCK_S``: then it
        is said why nothing is answered. Siblings tell of their model, not whether they know the tokens.
        """
        if self.readiness().ready:
            return False
        stuck = time.monotonic() - self._began > _STUCK_S
        if stuck and self._watch.current is not None:
            return False  # what is missing (tokens) its siblings may miss too, and each would wait for the other
        tried = self._looked or stuck
        return not tried or any(worker.model_tag is not None for worker in siblings(self._status_dir))

    def _waits(self) -> str | None:
        """That a published model waits, and for what; None where none does."""
        waiting = self._watch.waiting
        if waiting is None:
            return None
        return f"model {waiting.scorer.tag}, generation {waiting.pointer.generation}: {_WAITS}"

    def _load(self, tag: str) -> Scorer:
        """A model that gives a probability of a row of which nothing is known. Raises what ``load_proved`` raises, and
        InternalError."""
        scorer = load_proved(self._settings, tag)
        (probability,) = scorer.score_values([[None] * len(scorer.card.features)])
        _require_probability(scorer, probability)
        return scorer

    def try_out(self, scorer: Scorer) -> None:
        """A question through store and model: a champion's trial (and the first request's warm-up).

        Raises InternalError where the store does not serve what the model eats or the answer is no probability,
        NotReadyError where the store does not answer.
        """
        source = self._store.source
        if source is None or self._store.trouble is not None:
            # Not asked in vain: a store that is stuck would hold up the watch.
            raise NotReadyError(self._store.trouble or "the feature store is not open")
        try:
            self._ask(source, scorer)
        except (InternalError, NotReadyError):
            raise
        except NotFoundError as error:
            raise InternalError(f"model {scorer.tag}: {error}") from None
        except Exception:
            self._store.look()  # whose fault was it?
            if self._store.trouble is not None:
                raise NotReadyError(self._store.trouble) from None
            raise

    def _ask(self, source: FeatureSource, scorer: Scorer) -> None:
        source.devices([""])
        card, now_us = scorer.card, to_us(self._clock())
        (row,) = source.values(card.feature_service, card.features, [CandidateKey("", "", "", now_us)])
        probabilities = scorer.score_values([row])
        known = source.sample(now_us)
        if known:
            probabilities += source.evaluate(scorer, known)[0]
        for probability in probabilities:
            _require_probability(scorer, probability)

    def _swapped(self, champion: Champion) -> None:
        self.metrics.swaps.inc()
        self.metrics.generation.set(champion.pointer.generation)
        self.metrics.compiled.set(champion.scorer.trees is not None)


def _require_probability(scorer: Scorer, probability: float) -> None:
    if not 0.0 <= probability <= 1.0:
        raise InternalError(f"model {scorer.tag}: its trial gives {probability}, not a probability")
