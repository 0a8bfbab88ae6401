"""The closed loop: look at a window, report, decide, and where the policy says so refit, gate and publish.

Every run is a row before it looks and every decision a row after it acted, whatever happened in between. One monitor
works at a time on a rules version (a file lock, freed by the system if the process dies); the next one closes what a
dead one left open.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring import history
from monitoring.observe import Seen, observe, report_frames
from monitoring.policy import Policy, load_policy
from monitoring.reference import Reference, champion_reference
from monitoring.refit import Refit, RefitPort
from monitoring.report import ReportError, make_report
from monitoring.triggers import Action, Decision, Outcome, decide
from monitoring.windows import Window
from parked.clock import Clock
from parked.errors import ConflictError, ParkedError, first_line
from parked.settings import Settings
from training.ports import Progress, Sources, silent

if TYPE_CHECKING:
    from sqlalchemy import Engine

STEPS = 5
"""Reference, look, report, decision, refit: what ``progress`` counts (a refit counts its own steps on top)."""


@dataclass(frozen=True)
class MonitorOutcome:
    """What a run saw and did."""

    run_id: int
    window: Window
    model_tag: str
    rows: int
    devices: int
    drifted: tuple[str, ...]
    """Features beyond their limit, farthest first."""
    action: Action
    outcome: Outcome
    challenger_tag: str | None
    why: str
    report_html: Path | None
    report_json: Path | None
    report_error: str
    """Why there is no report; empty where there is one."""
    statistics: dict[str, Any]


def default_window(policy: Policy, end: datetime, start: datetime | None = None) -> Window:
    """The window up to ``end``, of the policy's length where no ``start`` is given. Raises InputError if empty."""
    return Window(start or end - timedelta(hours=policy.window.hours), end)


def run_monitor(
    settings: Settings,
    engine: Engine,
    clock: Clock,
    *,
    window_from: datetime | None = None,
    window_to: datetime | None = None,
    refit: RefitPort | None,
    policy: Policy | None = None,
    sources: Sources | None = None,
    progress: Progress = silent,
    report_timeout_s: float = 180.0,
) -> MonitorOutcome:
    """Look at the window [``window_from``, ``window_to``) (default: the policy's length, up to now) and act on it.

    ``refit`` None: decide and record, change nothing. ``sources`` None: Feast and the operations database.
    A report that fails is told and does not stop the run; a refit that a user's mistake stops (no labels, ...) is a row
    saying failed; anything else that breaks leaves such a row and is raised again.

    Raises NotFoundError (nothing published), InputError (damaged log, empty window) and ConflictError (another monitor
    is at work); but for the damaged log there is then no row.
    """
    policy = policy or load_policy()
    window = default_window(policy, window_to or clock(), window_from)
    progress(0, total=STEPS)
    with _alone(settings):
        history.close_broken_runs(engine, settings.rules, clock())
        reference = champion_reference(settings, sources or _real_sources(settings, engine))
        progress()
        run_id = history.begin(engine, window, reference.model_tag, clock())
        run = _Run(settings, engine, clock, policy, window, reference, run_id)
        try:
            return run.go(refit, progress, report_timeout_s)
        except BaseException as error:  # also Ctrl-C: the row must say so
            run.failed(error)
            raise


@dataclass
class _Run:
    settings: Settings
    engine: Engine
    clock: Clock
    policy: Policy
    window: Window
    reference: Reference
    run_id: int
    decision: Decision | None = None
    ended: bool = False

    def go(self, refit: RefitPort | None, progress: Progress, report_timeout_s: float) -> MonitorOutcome:
        past = history.past_decisions(self.engine, self.settings.rules)
        seen = observe(self.settings, self.engine, self.reference, self.window, self.policy, past, self.clock())
        progress()
        html, json_file, report_error = self.report(seen, report_timeout_s)
        progress()
        decision = decide(past, seen.observation, self.policy)
        if not seen.served.rows:
            decision = replace(decision, why=f"no rows served in the window; {decision.why}")
        if decision.action == "refit" and refit is None:
            decision = Decision("none", f"{decision.why}; no refit: this run only looks (--no-refit)", decision.states)
        self.decision = decision
        statistics = {
            **seen.statistics,
            "report_error": report_error,
            "decided": {
                "action": decision.action,
                "why": decision.why,
                "policy_version": self.policy.version,
                "states": {name: state.as_dict() for name, state in decision.states.items()},
            },
        }
        history.saw(
            self.engine,
            self.run_id,
            rows=seen.served.rows,
            statistics=statistics,
            html=self._kept(html),
            json=self._kept(json_file),
        )
        progress()
        outcome, tag, why = self.act(decision, refit, progress)
        self.end(decision.action, outcome, tag, why)
        progress()
        return MonitorOutcome(
            run_id=self.run_id,
            window=self.window,
            model_tag=self.reference.model_tag,
            rows=seen.served.rows,
            devices=seen.served.devices,
            drifted=tuple(f.name for f in seen.findings if f.verdict == "drift"),
            action=decision.action,
            outcome=outcome,
            challenger_tag=tag,
            why=why,
            report_html=html,
            report_json=json_file,
            report_error=report_error,
            statistics=statistics,
        )

    def report(self, seen: Seen, timeout_s: float) -> tuple[Path | None, Path | None, str]:
        """The Evidently report's files, or why there are none."""
        if not seen.served.rows:
            return None, None, "no rows: nothing to report"
        reference, current = report_frames(seen, self.reference)
        drifted = [f.name for f in seen.findings if f.verdict == "drift"]
        stem = self.settings.reports_dir / f"monitor-{self.run_id:05d}"
        try:
            made = make_report(
                reference,
                current,
                seen.findings,
                title=f"Where You Parked: what {self.reference.model_tag} was served, {self.window}",
                lines=[
                    f"{seen.served.rows} candidates weighed for {seen.served.devices} phones (current) against "
                    f"{len(reference)} of the model's training period and phones, asked as people ask (reference), "
                    "weighted to the same ages and times of day.",
                    f"Beyond their limits: {', '.join(drifted) or 'none'}.",
                    "Distances: Kolmogorov-Smirnov D for numbers (missing values count as a value), Jensen-Shannon for "
                    "categories. Limits are calibrated on quiet data (monitoring/limits.py).",
                ],
                html=stem.with_suffix(".html"),
                json_path=stem.with_suffix(".json"),
                weights=seen.weights,
                seed=self.run_id,
                timeout_s=timeout_s,
            )
        except ReportError as error:
            return None, None, str(error)
        return made.html, made.json, ""

    def act(self, decision: Decision, refit: RefitPort | None, progress: Progress) -> tuple[Outcome, str | None, str]:
        """Refit where it was decided; what came of it."""
        if decision.action != "refit" or refit is None:
            return "none", None, decision.why
        try:
            done: Refit = refit(who=history.who_of(self.run_id), why=decision.why, progress=progress)
        except ParkedError as error:
            return "failed", None, f"{decision.why}; refit failed: {error}"
        return done.outcome, done.challenger_tag, f"{decision.why}; {done.outcome}: {done.why}"

    def end(self, action: Action, outcome: Outcome, tag: str | None, why: str) -> None:
        """Enter the decision row."""
        states = self.decision.states if self.decision else {}
        history.end(
            self.engine,
            self.run_id,
            self.clock(),
            policy_version=self.policy.version,
            states={name: state.as_dict() for name, state in states.items()},
            action=action,
            outcome=outcome,
            challenger_tag=tag,
            why=why,
        )
        self.ended = True

    def failed(self, error: BaseException) -> None:
        """Enter the row of a run that broke."""
        if self.ended:
            return
        action: Action = self.decision.action if self.decision else "none"
        so_far = f"{self.decision.why}; " if self.decision else ""
        self.end(action, "failed", None, f"{so_far}broke: {type(error).__name__}: {first_line(error)}")

    def _kept(self, path: Path | None) -> str | None:
        return str(path.relative_to(self.settings.home)) if path else None


def _real_sources(settings: Settings, engine: Engine) -> Sources:
    from training.pipeline import real_sources

    return real_sources(settings, engine)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the lock of the monitor of the rules in use. Raises ConflictError where another one holds it."""
    lock = settings.rules_dir / "monitor.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = f"another monitor is at work on rules {settings.rules} of this home"
            raise ConflictError(said, mend="wait for it to finish") from None
        yield
