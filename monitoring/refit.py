"""What the loop does about a raised trigger: refit, let the gate judge, publish. The loop sees a port only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from parked.clock import Clock
from parked.errors import ConflictError
from parked.settings import Settings
from training.ports import Progress, Sources

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True)
class Refit:
    """What a refit came to."""

    outcome: Literal["published", "rejected"]
    challenger_tag: str
    why: str


class RefitPort(Protocol):
    """The door to training."""

    def __call__(self, *, who: str, why: str, progress: Progress) -> Refit:
        """Train a challenger from what is known now, gate it, publish it if the gate says so."""
        ...


def training_refit(
    settings: Settings,
    engine: Engine,
    clock: Clock,
    *,
    config: Path | None = None,
    sources: Sources | None = None,
) -> RefitPort:
    """The real one, through ``training.pipeline`` and ``training.challenge``.

    ``config``: a training file, None: the packaged one. ``sources`` None: Feast and the operations database.
    """

    def refit(*, who: str, why: str, progress: Progress) -> Refit:
        from training.challenge import decide_and_publish
        from training.pipeline import train_candidate

        trained = train_candidate(settings, engine, clock, progress, config, who=who, sources=sources)
        try:
            outcome = decide_and_publish(settings, engine, clock, trained.tag, who, why, sources=sources)
        except ConflictError as error:  # the same data gave the very model that is champion
            return Refit("rejected", trained.tag, str(error))
        said = outcome.undone or "; ".join(outcome.decision.reasons)
        return Refit("published" if outcome.published else "rejected", trained.tag, said)

    return refit
