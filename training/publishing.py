"""Publishing to servers that run: flip the pointer, wait until every worker answers with it, else take it back."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from parked.clock import Clock
from parked.errors import ConflictError
from parked.pointer import Pointer
from parked.settings import Settings
from parked.take_up import TakeUp, Wait, await_generation
from parked.worker_status import workers_dir
from training import flip


@dataclass(frozen=True)
class Published:
    """What became of a publish or rollback."""

    generation: int
    """of the change itself, also where it was undone"""
    tag: str
    workers: int
    """running workers asked; 0: no server is running, it is published for those to come"""
    undone: str | None = None
    """why it was taken back, and to what, in one line"""


def publish(
    settings: Settings, engine: Engine, tag: str, who: str, why: str, clock: Clock, *, wait: Wait | None = None
) -> Published:
    """``flip.publish``, and then as the module says. ``wait`` None: for the workers of this home.

    Raises what ``flip.publish`` raises; then nothing changed.
    """
    pointer = flip.publish(settings, engine, tag, who, why, clock)
    return _settle(settings, engine, pointer, who, clock, wait)


def rollback(
    settings: Settings, engine: Engine, who: str, why: str, clock: Clock, *, wait: Wait | None = None
) -> Published:
    """``flip.rollback``, on the same path."""
    pointer = flip.rollback(settings, engine, who, why, clock)
    return _settle(settings, engine, pointer, who, clock, wait)


def _settle(
    settings: Settings, engine: Engine, pointer: Pointer, who: str, clock: Clock, wait: Wait | None
) -> Published:
    def look(generation: int) -> TakeUp:
        return await_generation(workers_dir(settings), generation, timeout_s=settings.publish_wait_s)

    wait = wait or look
    taken = wait(pointer.generation)
    if taken.trouble is None:
        return Published(pointer.generation, pointer.model_tag, taken.workers)
    said = f"generation {pointer.generation} ({pointer.model_tag}) is not served: {taken.trouble}"
    try:
        back = flip.undo(settings, engine, pointer.generation, who, said, clock)
    except ConflictError:
        said += "; another publish came after it and stands"
    else:
        said += _after(back, wait)
    return Published(pointer.generation, pointer.model_tag, taken.workers, said)


def _after(back: Pointer | None, wait: Wait) -> str:
    if back is None:
        return "; nothing is published now"
    taken = wait(back.generation)
    said = f"; rolled back to {back.model_tag} as generation {back.generation}"
    return said if taken.trouble is None else f"{said}, of which {taken.trouble}"
