"""Which model is what, and who said so and why.

States: candidate → shadow → champion → retired, and rejected for those the gate refused. Each rules version has a
champion of its own. To and from champion it goes by ``training.flip``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.orm import Session

from parked.clock import Clock
from parked.errors import ConflictError, NotFoundError
from parked.model_card import ModelCard
from parked.opsdb.engine import transaction
from parked.opsdb.tables import ModelStateChange, ModelVersion
from parked.settings import Settings

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
"""From a state to which others. To and from champion only by ``training.flip``."""


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
        return [_record(row) for row in session.scalars(_newest_first())]


def show(engine: Engine, tag: str) -> ModelRecord:
    """One model with its history. Raises NotFoundError."""
    with Session(engine) as session:
        row = row_of(session, tag)
        changes = session.scalars(
            select(ModelStateChange).where(ModelStateChange.tag == tag).order_by(ModelStateChange.id)
        ).all()
        return _record(row, changes)


def champion(engine: Engine, rules: str) -> str | None:
    """The tag of the champion of a rules version, None where nothing is published for it."""
    with Session(engine) as session:
        found = champion_of(session, rules)
        return None if found is None else found.tag


def resolve(engine: Engine, tag: str, rules: str) -> str:
    """``latest``: the newest registered model of a rules version; any other tag as it is, of whatever rules.

    Raises NotFoundError for one not registered.
    """
    with Session(engine) as session:
        if tag != "latest":
            return row_of(session, tag).tag
        newest = session.scalar(_newest_first().where(ModelVersion.rules_version == rules).limit(1))
    if newest is None:
        raise NotFoundError(f"no model is registered for rules {rules}", mend="run `parked train` first")
    return newest.tag


def publishable(engine: Engine, tag: str, rules: str) -> str:
    """``resolve``, for who means to publish it. Raises ConflictError too: for a model of other rules."""
    with Session(engine) as session:
        row = row_of(session, resolve(engine, tag, rules))
        if row.rules_version != rules:
            raise ConflictError(
                f"model {row.tag} was trained on facts of rules {row.rules_version}, and this publishes for {rules}",
                mend=f"say --rules {row.rules_version}",
            )
        return row.tag


def move(engine: Engine, tag: str, state: str, who: str, why: str, clock: Clock) -> None:
    """Change a model's state (to and from champion: ``training.flip``). Raises NotFoundError and ConflictError."""
    with transaction(engine) as session:
        row = row_of(session, tag)
        if CHAMPION in (state, row.state) or state not in MOVES[row.state]:
            raise ConflictError(
                f"model {tag} is {row.state}: it cannot become {state}", mend="see `parked models show`"
            )
        change_state(session, row, state, who, why, clock())


def _newest_first() -> Select[ModelVersion]:
    """All models, by when they were registered: in the order of their first entries, since clocks are moved."""
    first = select(ModelStateChange.tag, func.min(ModelStateChange.id).label("id")).group_by(ModelStateChange.tag)
    entered = first.subquery()
    return select(ModelVersion).join(entered, entered.c.tag == ModelVersion.tag).order_by(entered.c.id.desc())


def champion_of(session: Session, rules: str) -> ModelVersion | None:
    """The champion of a rules version, None where nothing is published for it."""
    chosen = select(ModelVersion).where(ModelVersion.state == CHAMPION, ModelVersion.rules_version == rules)
    return session.scalar(chosen)


def row_of(session: Session, tag: str) -> ModelVersion:
    """Raises NotFoundError for one not registered."""
    row = session.get(ModelVersion, tag)
    if row is None:
        raise NotFoundError(f"model {tag!r}: not registered", mend="see `parked models`")
    return row


def change_state(session: Session, row: ModelVersion, state: str, who: str, why: str, at: datetime) -> None:
    """Move a model on and enter it in its history; whether it may is the caller's to know."""
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
