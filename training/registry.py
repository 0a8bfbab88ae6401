"""Which model is what, who said so and why; and the one flip that publishes.

States: candidate → shadow → champion → retired, and rejected for those the gate refused. The operations database
decides, the published pointer follows: a publish commits to the database first and then replaces the pointer file. A
crash in between leaves the pointer one generation behind; ``recover`` (run before every change) brings it up to what
was committed. The other order could serve a model that the records know nothing of.

Each rules version has a champion and a pointer of its own, and its publishes are a history of their own; generations
are counted over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from parked.clock import Clock
from parked.errors import ConflictError, NotFoundError
from parked.locks import locked
from parked.model_card import ModelCard
from parked.opsdb.engine import transaction
from parked.opsdb.tables import ModelStateChange, ModelVersion, Publish
from parked.pointer import Pointer, read_pointer, write_pointer
from parked.settings import Settings
from training.generations import UNDO, WITHDRAW, standing
from training.model_store import load_model

CANDIDATE: Final = "candidate"
SHADOW: Final = "shadow"
CHAMPION: Final = "champion"
RETIRED: Final = "retired"
REJECTED: Final = "rejected"

MOVES: Final = {
    CANDIDATE: {SHADOW, REJECTED, CHAMPION},
    SHADOW: {CANDIDATE, REJECTED, CHAMPION},
    REJECTED: {CANDIDATE, CHAMPION},
    RETIRED: {CHAMPION},
    CHAMPION: {RETIRED, REJECTED},
}
"""From a state to which others. To and from champion only by ``publish``, ``rollback`` and ``undo``."""


@dataclass(frozen=True)
class Change:
    """One line of a model's history."""

    from_state: str
    to_state: str
    at: datetime
    who: str
    why: str


@dataclass(frozen=True)
class ModelRecord:
    """A registered model."""

    tag: str
    state: str
    created_at: datetime
    manifest: str
    manifest_sha256: str
    rules_version: str
    feature_service: str
    metrics: dict[str, Any]
    history: tuple[Change, ...] = ()


def register(
    engine: Engine, settings: Settings, tag: str, card: ModelCard, manifest: Path, clock: Clock, who: str = "train"
) -> bool:
    """Enter a trained model as a candidate; False where it is already registered (then nothing changes)."""
    with transaction(engine) as session:
        if session.get(ModelVersion, tag) is not None:
            return False
        now = clock()
        session.add(
            ModelVersion(
                tag=tag,
                state=CANDIDATE,
                created_at=now,
                manifest=str(manifest.relative_to(settings.home)),
                manifest_sha256=card.manifest_sha256,
                rules_version=card.rules_version,
                feature_service=card.feature_service,
                metrics=dict(card.metrics),
            )
        )
        session.flush()
        session.add(ModelStateChange(tag=tag, from_state="", to_state=CANDIDATE, at=now, who=who, why="trained"))
    return True


def models(engine: Engine) -> list[ModelRecord]:
    """All registered models, newest first, without their histories."""
    with Session(engine) as session:
        rows = session.scalars(select(ModelVersion).order_by(ModelVersion.created_at.desc(), ModelVersion.tag)).all()
        return [_record(row) for row in rows]


def show(engine: Engine, tag: str) -> ModelRecord:
    """One model with its history. Raises NotFoundError."""
    with Session(engine) as session:
        row = _row(session, tag)
        changes = session.scalars(
            select(ModelStateChange).where(ModelStateChange.tag == tag).order_by(ModelStateChange.id)
        ).all()
        return _record(row, changes)


def champion(engine: Engine, rules: str) -> str | None:
    """The tag of the champion of a rules version, None where nothing is published for it."""
    with Session(engine) as session:
        found = _champion(session, rules)
        return None if found is None else found.tag


def resolve(engine: Engine, tag: str, rules: str) -> str:
    """``latest``: the newest registered model of a rules version; any other tag as it is, of whatever rules.

    Raises NotFoundError for one not registered.
    """
    newest_first = select(ModelVersion.tag).order_by(ModelVersion.created_at.desc(), ModelVersion.tag)
    with Session(engine) as session:
        if tag != "latest":
            return _row(session, tag).tag
        newest = session.scalar(newest_first.where(ModelVersion.rules_version == rules))
    if newest is None:
        raise NotFoundError(f"no model is registered for rules {rules}", mend="run `parked train` first")
    return newest


def publishable(engine: Engine, tag: str, rules: str) -> str:
    """``resolve``, for who means to publish it. Raises ConflictError too: for a model of other rules."""
    with Session(engine) as session:
        row = _row(session, resolve(engine, tag, rules))
        if row.rules_version != rules:
            raise ConflictError(
                f"model {row.tag} was trained on facts of rules {row.rules_version}, and this publishes for {rules}",
                mend=f"say --rules {row.rules_version}",
            )
        return row.tag


def move(engine: Engine, tag: str, state: str, who: str, why: str, clock: Clock) -> None:
    """Change a model's state (to and from champion: ``publish``). Raises NotFoundError and ConflictError."""
    with transaction(engine) as session:
        row = _row(session, tag)
        if CHAMPION in (state, row.state) or state not in MOVES[row.state]:
            raise ConflictError(
                f"model {tag} is {row.state}: it cannot become {state}", mend="see `parked models show`"
            )
        _move(session, row, state, who, why, clock())


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
            row = _row(session, last.tag)
            _move(session, row, REJECTED, who, why, now)
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
        committed = _pointer(last, _row(session, last.tag))
    write_pointer(settings.pointer_file, committed)
    return committed


def _flip(settings: Settings, engine: Engine, tag: str, action: str, who: str, why: str, clock: Clock) -> Pointer:
    stored = load_model(settings, tag)
    standing_pointer = read_pointer(settings.pointer_file)
    now = clock()
    try:
        with transaction(engine) as session:
            row = _row(session, tag)
            if row.manifest_sha256 != stored.card.manifest_sha256:
                raise ConflictError(
                    f"model {tag}: the store holds another model than was registered", mend="train again"
                )
            if row.state == CHAMPION:
                raise ConflictError(f"model {tag} is already champion", mend="nothing to do")
            previous = _champion(session, settings.rules)
            last = _last_generation(session)
            # a pointer can be ahead of a database that was lost; servers only follow greater generations
            generation = max(last, standing_pointer.generation if standing_pointer else 0) + 1
            if previous is not None:
                left = REJECTED if action == UNDO else RETIRED
                _move(session, previous, left, who, f"{action} of {tag}: {why}", now)
            _move(session, row, CHAMPION, who, why, now)
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


def _champion(session: Session, rules: str) -> ModelVersion | None:
    chosen = select(ModelVersion).where(ModelVersion.state == CHAMPION, ModelVersion.rules_version == rules)
    return session.scalar(chosen)


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


def _row(session: Session, tag: str) -> ModelVersion:
    row = session.get(ModelVersion, tag)
    if row is None:
        raise NotFoundError(f"model {tag!r}: not registered", mend="see `parked models`")
    return row


def _move(session: Session, row: ModelVersion, state: str, who: str, why: str, at: datetime) -> None:
    session.add(ModelStateChange(tag=row.tag, from_state=row.state, to_state=state, at=at, who=who, why=why))
    row.state = state


def _record(row: ModelVersion, changes: Sequence[ModelStateChange] = ()) -> ModelRecord:
    return ModelRecord(
        tag=row.tag,
        state=row.state,
        created_at=row.created_at,
        manifest=row.manifest,
        manifest_sha256=row.manifest_sha256,
        rules_version=row.rules_version,
        feature_service=row.feature_service,
        metrics=dict(row.metrics),
        history=tuple(Change(c.from_state, c.to_state, c.at, c.who, c.why) for c in changes),
    )


def _one_at_a_time(settings: Settings) -> AbstractContextManager[None]:
    """Publishers of one home take turns, so that a slower one never puts an older pointer over a newer."""
    return locked(settings.home / "published.lock")
