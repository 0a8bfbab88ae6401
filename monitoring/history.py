"""Monitor runs and trigger decisions in the operations database: every look and every decision is a row."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Engine, select
from sqlalchemy.orm import Session

from monitoring.triggers import Action, Outcome, Past, TriggerState
from monitoring.windows import Window
from parked.errors import InternalError, NotFoundError
from parked.opsdb.engine import transaction
from parked.opsdb.tables import ModelVersion, MonitorRun, Publish, TriggerDecision

KEPT: Final = 500
"""Decisions read back: with a window a day, more than a year."""


def who_of(run_id: int) -> str:
    """How a run signs what it publishes."""
    return f"monitor run {run_id}"


def begin(engine: Engine, window: Window, model_tag: str, at: datetime) -> int:
    """Enter a run before it looks; its id."""
    with transaction(engine) as session:
        run = MonitorRun(
            started_at=at, window_from=window.start, window_to=window.end, rows=0, model_tag=model_tag, statistics={}
        )
        session.add(run)
        session.flush()
        return run.id


def saw(
    engine: Engine,
    run_id: int,
    *,
    rows: int,
    statistics: dict[str, Any],
    html: str | None,
    json: str | None,
) -> None:
    """Keep what a run saw and means to do, before it does it."""
    with transaction(engine) as session:
        run = _run(session, run_id)
        run.rows, run.statistics, run.report_html, run.report_json = rows, statistics, html, json


def end(
    engine: Engine,
    run_id: int,
    at: datetime,
    *,
    policy_version: str,
    states: dict[str, Any],
    action: Action,
    outcome: Outcome,
    challenger_tag: str | None,
    why: str,
) -> int:
    """Enter the decision and what came of it, and close the run; the decision's id."""
    with transaction(engine) as session:
        _run(session, run_id).finished_at = at
        decision = TriggerDecision(
            monitor_run_id=run_id,
            at=at,
            policy_version=policy_version,
            triggers=states,
            action=action,
            outcome=outcome,
            challenger_tag=challenger_tag,
            why=why,
        )
        session.add(decision)
        session.flush()
        return decision.id


def of_rules(rules: str) -> ColumnElement[bool]:
    """Runs that looked at a rules version's champion (also at one that the registry has lost)."""
    others = select(ModelVersion.tag).where(ModelVersion.rules_version != rules)
    return MonitorRun.model_tag.not_in(others)


def close_broken_runs(engine: Engine, rules: str, at: datetime) -> list[int]:
    """Give every run of a rules version that never ended (the machine stopped) its decision row; the runs' ids.

    Only for who holds the monitor's lock: then no run can still be going on. What the run meant to do is taken from
    what it kept; a refit that got as far as publishing is found by its signature.
    """
    with Session(engine) as session:
        unfinished = select(MonitorRun).where(MonitorRun.finished_at.is_(None), of_rules(rules))
        open_runs = session.scalars(unfinished).all()
        left = [(run.id, dict(run.statistics.get("decided", {}))) for run in open_runs]
        published = dict(
            session.execute(
                select(Publish.who, Publish.tag).where(Publish.who.in_([who_of(run_id) for run_id, _ in left]))
            ).all()
        )
    for run_id, decided in left:
        tag = published.get(who_of(run_id))
        end(
            engine,
            run_id,
            at,
            policy_version=str(decided.get("policy_version", "")),
            states=decided.get("states", {}),
            action=cast(Action, decided.get("action", "none")),
            outcome="published" if tag else "failed",
            challenger_tag=tag,
            why=f"{decided.get('why', 'no decision was reached')}; the monitor was stopped before it finished",
        )
    return [run_id for run_id, _ in left]


def past_decisions(engine: Engine, rules: str) -> list[Past]:
    """The last ``KEPT`` decisions that belong to a run of a rules version, newest first."""
    query = (
        select(TriggerDecision, MonitorRun)
        .join(MonitorRun, TriggerDecision.monitor_run_id == MonitorRun.id)
        .where(of_rules(rules))
        .order_by(TriggerDecision.at.desc(), TriggerDecision.id.desc())
        .limit(KEPT)
    )
    with Session(engine) as session:
        return [_past(decision, run) for decision, run in session.execute(query).all()]


def runs(engine: Engine, limit: int) -> list[tuple[MonitorRun, TriggerDecision | None]]:
    """The newest runs, each with its decision (None while it is going on)."""
    query = (
        select(MonitorRun, TriggerDecision)
        .outerjoin(TriggerDecision, TriggerDecision.monitor_run_id == MonitorRun.id)
        .order_by(MonitorRun.id.desc())
        .limit(limit)
    )
    with Session(engine) as session:
        found: list[tuple[MonitorRun, TriggerDecision | None]] = [(r[0], r[1]) for r in session.execute(query)]
        session.expunge_all()
        return found


def run(engine: Engine, run_id: int) -> tuple[MonitorRun, TriggerDecision | None]:
    """One run and its decision. Raises NotFoundError."""
    query = (
        select(MonitorRun, TriggerDecision)
        .outerjoin(TriggerDecision, TriggerDecision.monitor_run_id == MonitorRun.id)
        .where(MonitorRun.id == run_id)
    )
    with Session(engine) as session:
        found = session.execute(query).first()
        session.expunge_all()
    if found is None:
        raise NotFoundError(f"monitor run {run_id}: no such run", mend="see `parked monitor list`")
    return found[0], found[1]


def _run(session: Session, run_id: int) -> MonitorRun:
    found = session.get(MonitorRun, run_id)
    if found is None:
        raise InternalError(f"monitor run {run_id} vanished from the operations database")
    return found


def _past(decision: TriggerDecision, run: MonitorRun) -> Past:
    return Past(
        at=decision.at,
        start=run.window_from,
        end=run.window_to,
        model_tag=run.model_tag,
        labels_known=int(run.statistics.get("labels_known", 0)),
        states={name: state_of(state) for name, state in decision.triggers.items()},
        action=cast(Action, decision.action),
        outcome=cast(Outcome, decision.outcome),
    )


def state_of(kept: dict[str, Any]) -> TriggerState:
    """A trigger's state from its JSON (``TriggerState.as_dict``)."""
    lists = {name: tuple(kept.get(name, ())) for name in ("reached", "raised")}
    return TriggerState(**{**kept, **lists})
