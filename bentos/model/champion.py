"""The model being served, and its replacement while requests run.

Every worker polls the published pointer. A new generation is loaded and tried beside the old one; only then one
reference is replaced, which is atomic: a request sees the old champion or the new one, never a mixture. What cannot
be loaded or fails its trial is refused, and the old one keeps serving. Where there is no store to try it on, it waits,
loaded, until there is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bentos.model.scorer import Scorer
from bentos.ports import NotReadyError
from parked.errors import InternalError, ParkedError
from parked.pointer import Pointer

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Champion:
    """A scorer and the publication that made it champion."""

    scorer: Scorer
    pointer: Pointer


class ChampionWatch:
    """Holds the champion and looks for a newer one. ``poll`` is called from one thread; ``current`` from any."""

    def __init__(
        self,
        pointer: Callable[[], Pointer | None],
        load: Callable[[str], Scorer],
        *,
        trial: Callable[[Scorer], None],
        on_swap: Callable[[Champion], None] = lambda _champion: None,
        on_refusal: Callable[[str], None] = lambda _why: None,
    ) -> None:
        """``pointer`` reads what is published (raises ParkedError where that is damaged); ``load``: tag → scorer;
        ``trial`` raises for a scorer that must not serve, NotReadyError where it cannot be tried yet."""
        self._pointer = pointer
        self._load = load
        self._trial = trial
        self._on_swap = on_swap
        self._on_refusal = on_refusal
        self._current: Champion | None = None
        self._waiting: Champion | None = None
        self._looked = False
        self._refused: tuple[Pointer | None, str] | None = None

    @property
    def current(self) -> Champion | None:
        """The champion; None where nothing was ever published (or never loadable)."""
        return self._current

    @property
    def waiting(self) -> Champion | None:
        """What is published and loaded, and cannot be tried yet; None where that is not so. It answers nothing."""
        return self._waiting

    @property
    def looked(self) -> bool:
        """Whether the pointer was ever looked at: before, nobody can say that nothing is published."""
        return self._looked

    @property
    def trouble(self) -> str | None:
        """Why the published model is not the one serving, in words; None where all is well."""
        return self._refused[1] if self._refused else None

    @property
    def refused_generation(self) -> int | None:
        """The generation that was refused, if its pointer could be read."""
        return getattr(self._refused[0], "generation", None) if self._refused else None

    def poll(self) -> bool:
        """Look at the pointer once; True where a new champion took over. Never raises for a bad publication.

        A refused publication is tried again at every poll (its model may still be on its way), but counted once.
        """
        pointer: Pointer | None = None
        challenger: Champion | None = None
        try:
            pointer = self._pointer()
            challenger = self._challenger(pointer)
            if challenger is not None:
                self._trial(challenger.scorer)
        except NotReadyError:
            self._settle(challenger, None)
            return False
        except (ParkedError, OSError) as error:
            self._settle(None, (pointer, str(error)))
            return False
        except Exception as error:  # whatever a damaged model makes a library raise, the old one must keep serving
            self._settle(None, (pointer, f"{type(error).__name__}: {error}"))
            return False
        if challenger is not None:
            self._current = challenger
            self._on_swap(challenger)
            log.info("model_swapped", model=challenger.scorer.tag, generation=challenger.pointer.generation)
        self._settle(None, None)
        return challenger is not None

    def _challenger(self, pointer: Pointer | None) -> Champion | None:
        """What is published, loaded, where that is not the champion."""
        if pointer is None:
            if self._current is not None:
                raise InternalError("the published pointer is gone")
            return None
        if self._current is not None and pointer == self._current.pointer:
            return None
        if self._waiting is not None and pointer == self._waiting.pointer:
            return self._waiting
        return self._loaded(pointer)

    def _loaded(self, pointer: Pointer) -> Champion:
        if self._current is not None and pointer.generation <= self._current.pointer.generation:
            raise InternalError(
                f"published generation {pointer.generation} is not newer than {self._current.pointer.generation}"
            )
        scorer = self._load(pointer.model_tag)
        for what in ("rules_version", "feature_service"):
            told, true = getattr(pointer, what), getattr(scorer.card, what)
            if told != true:
                raise InternalError(
                    f"model {pointer.model_tag}: published with {what} {told!r}, its card says {true!r}"
                )
        return Champion(scorer, pointer)

    def _settle(self, waiting: Champion | None, refused: tuple[Pointer | None, str] | None) -> None:
        if waiting is not None and waiting is not self._waiting:
            log.info("model_waits_for_its_trial", model=waiting.scorer.tag, generation=waiting.pointer.generation)
        if refused is not None and refused != self._refused:
            pointer, why = refused
            self._on_refusal(why)
            log.error("model_refused", generation=pointer.generation if pointer else None, why=why)
        self._waiting, self._refused, self._looked = waiting, refused, True


class Poller:
    """Calls ``tick`` now and every ``every_s`` seconds on a daemon thread, until stopped."""

    def __init__(self, tick: Callable[[], object], every_s: float) -> None:
        self._tick = tick
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="champion-watch", daemon=True)

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread (waits for a running tick)."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            try:
                self._tick()
            except Exception:  # the watch must outlive any surprise: a server without it never swaps again
                log.exception("champion_watch_failed")
            if self._stop.wait(self._every_s):
                return
