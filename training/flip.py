"""The one flip that publishes: a rules version's next champion, in the records and in the pointer that servers follow.

The operations database decides, the published pointer follows: a publish commits to the database first and then
replaces the pointer file. A crash in between leaves the pointer one generation behind; ``recover`` (run before every
change) brings it up to what was committed. The other order could serve a model that the records know nothing of.

Each rules version has a champion and a pointer of its own, and its publishes are a history of their own; generations
are counted over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from parked.clock import Clock
from parked.errors import ConflictError, NotFoundError
from parked.locks import locked
from parked.opsdb.engine import transaction
from parked.opsdb.tables import ModelVersion, Publish
from parked.pointer import Pointer, read_pointer, write_pointer
from parked.settings import Settings
from training.generations import UNDO, WITHDRAW, standing
from training.model_store import load_model
from training.registry import CHAMPION, REJECTED, RETIRED, champion_of, change_state, publishable, row_of


def publish(settings: Settings, engine: Engine, tag: str, who: str, why: str, clock: Clock) -> Pointer:
    """Make ``tag`` the champion of the rules in use: checks that it loads and is what its card says, commits, flips the
    pointer.

    Raises NotFoundError (no such model), ConflictError (of other rules, already champion, or another publish got in
    first) and InternalError (damaged model); then nothing changed.
    """
    with _one_at_a_time(settings):
        tag = publishable(engine, tag, settings.rules)
        recover(settings, engine)
        return _flip(settings, engine, tag, "publish", who, why, clock)


def rollback(settings: Settings, engine: Engine, who: str, why: str, clock: Clock) -> Pointer:
    """Undo the last publish that was not undone yet: a new generation that names the champion before it.

    Raises NotFoundError where there is no earlier champion.
    """
    with _one_at_a_time(settings):
        recover(settings, engine)
        with Session(engine) as session:
            stack = standing(_history(session, settings.rules))
        if len(stack) < 2:
            raise NotFoundError("no earlier champion to roll back to", mend="publish a model instead")
        return _flip(settings, engine, stack[-2], "rollback", who, why, clock)


def undo(settings: Settings, engine: Engine, generation: int, who: str, why: str, clock: Clock) -> Pointer | None:
    """Take back a publish or rollback that the servers would not serve: its model is rejected, the champion before it
    comes back as a new generation. Where there was none, nothing is published any more: answers None.

    Raises ConflictError where another publish came after it: then that one stands.
    """
    with _one_at_a_time(settings):
        with Session(engine) as session:
            last = _last(session, settings.rules)
            if last is None or last.generation != generation:
                raise ConflictError(f"generation {generation} is not the last", mend="see `parked models`")
            before = last.previous_tag
        if before is not None:
            return _flip(settings, engine, before, UNDO, who, why, clock)
        now = clock()
        with transaction(engine) as session:
            row = row_of(session, last.tag)
            change_state(session, row, REJECTED, who, why, now)
            following = _last_generation(session) + 1
            session.add(Publish(generation=following, tag=row.tag, action=WITHDRAW, at=now, who=who, why=why))
        settings.pointer_file.unlink(missing_ok=True)
        return None


def recover(settings: Settings, engine: Engine) -> Pointer | None:
    """Bring the pointer up to the last committed publish, if a crash kept it behind; answers what stands."""
    pointer = read_pointer(settings.pointer_file)
    with Session(engine) as session:
        last = _last(session, settings.rules)
        if last is None or (pointer is not None and pointer.generation >= last.generation):
            return pointer
        if last.action == WITHDRAW:
            settings.pointer_file.unlink(missing_ok=True)
            return None
        committed = _pointer(last, row_of(session, last.tag))
    write_pointer(settings.pointer_file, committed)
    return committed


def _flip(settings: Settings, engine: Engine, tag: str, action: str, who: str, why: str, clock: Clock) -> Pointer:
    stored = load_model(settings, tag)
    standing_pointer = read_pointer(settings.pointer_file)
    now = clock()
    try:
        with transaction(engine) as session:
            row = row_of(session, tag)
            if row.manifest_sha256 != stored.card.manifest_sha256:
                raise ConflictError(
                    f"model {tag}: the store holds another model than was registered", mend="train again"
                )
            if row.state == CHAMPION:
                raise ConflictError(f"model {tag} is already champion", mend="nothing to do")
            previous = champion_of(session, settings.rules)
            last = _last_generation(session)
            # a pointer can be ahead of a database that was lost; servers only follow greater generations
            generation = max(last, standing_pointer.generation if standing_pointer else 0) + 1
            if previous is not None:
                left = REJECTED if action == UNDO else RETIRED
                change_state(session, previous, left, who, f"{action} of {tag}: {why}", now)
            change_state(session, row, CHAMPION, who, why, now)
            entry = Publish(
                generation=generation,
                tag=tag,
                previous_tag=previous.tag if previous is not None else None,
                action=action,
                at=now,
                who=who,
                why=why,
            )
            session.add(entry)
            session.flush()
            pointer = _pointer(entry, row)
    except IntegrityError:
        raise ConflictError("another publish got in first", mend="look at `parked models` and try again") from None
    write_pointer(settings.pointer_file, pointer)
    return pointer


def _pointer(entry: Publish, row: ModelVersion) -> Pointer:
    return Pointer(
        generation=entry.generation,
        model_tag=entry.tag,
        rules_version=row.rules_version,
        feature_service=row.feature_service,
        published_at=entry.at,
    )


def _history(session: Session, rules: str) -> Sequence[Publish]:
    """All publishes of a rules version's models, oldest first."""
    its = select(Publish).join(ModelVersion, Publish.tag == ModelVersion.tag).where(ModelVersion.rules_version == rules)
    return session.scalars(its.order_by(Publish.generation)).all()


def _last(session: Session, rules: str) -> Publish | None:
    history = _history(session, rules)
    return history[-1] if history else None


def _last_generation(session: Session) -> int:
    """Of any rules version's publishes; 0: there was none."""
    return session.scalar(select(func.max(Publish.generation))) or 0


def _one_at_a_time(settings: Settings) -> AbstractContextManager[None]:
    """Publishers of one home take turns, so that a slower one never puts an older pointer over a newer."""
    return locked(settings.home / "published.lock")
