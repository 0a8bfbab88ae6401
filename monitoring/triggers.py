"""``decide(history, observation, policy)``: is there reason to refit? Pure: no clock, no file, no chance.

A trigger is *raised* when one of its readings reaches its limit in ``consecutive`` windows running (or lies far beyond
it in one), and stays raised until all of those fall to ``clear_ratio * limit`` (hysteresis). A window below the
trigger's minimum sample neither raises nor clears. Windows that overlap count once, however often they were looked at.

A raised trigger asks for a refit. It gets one unless the last was too recent (cooldown), or the same cause was tried
already and too few labels came since: each rejected try doubles the labels to wait for, so that a refit that does not
help is not repeated for ever; or too many refits in a row broke.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from monitoring.policy import Policy, RefitPolicy, Trigger

NAMES: Final = ("quality", "feature_drift", "prediction_drift", "decay", "volume")
"""Triggers in the order they are told of."""

Action = Literal["none", "refit"]
Outcome = Literal["none", "published", "rejected", "failed"]
State = Literal["off", "too_few", "quiet", "watching", "raised"]


@dataclass(frozen=True)
class Reading:
    """One number held against one limit."""

    name: str
    """What was read: a feature, or a figure such as ``auc_drop``."""
    value: float
    limit: float
    """Reached at ``value >= limit``; positive."""
    at_once: float | None = None
    """Where given and reached, one window is enough."""


@dataclass(frozen=True)
class Look:
    """What one trigger saw."""

    readings: tuple[Reading, ...] = ()
    rows: int = 0
    devices: int = 0
    missing: str = ""
    """Why there is nothing to read, where there is nothing."""


@dataclass(frozen=True)
class Observation:
    """All that was seen in one window."""

    at: datetime
    """When it is decided."""
    start: datetime
    end: datetime
    """The window."""
    model_tag: str
    """The champion that served, and that a refit would challenge."""
    labels_known: int
    """Judgments known by then."""
    looks: Mapping[str, Look]
    """By trigger name; a trigger without a look saw nothing."""


@dataclass(frozen=True)
class TriggerState:
    """What became of one trigger."""

    state: State
    fired: bool = False
    """Raised now and not before."""
    reached: tuple[str, ...] = ()
    """Readings at or beyond their limit, worst first."""
    raised: tuple[str, ...] = ()
    """Readings for which the trigger is raised, worst first."""
    worst: str = ""
    """The reading largest against its limit, with its value and limit."""
    value: float | None = None
    limit: float | None = None
    rows: int = 0
    devices: int = 0
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Past:
    """An earlier decision and what came of it."""

    at: datetime
    start: datetime
    end: datetime
    model_tag: str
    labels_known: int
    states: Mapping[str, TriggerState]
    action: Action = "none"
    outcome: Outcome = "none"

    @property
    def causes(self) -> frozenset[str]:
        """What it was decided for."""
        return causes_of(self.states)


@dataclass(frozen=True)
class Decision:
    """What to do, and why."""

    action: Action
    why: str
    states: Mapping[str, TriggerState] = field(default_factory=dict)

    @property
    def causes(self) -> frozenset[str]:
        """``trigger:reading`` of all that is raised."""
        return causes_of(self.states)


def causes_of(states: Mapping[str, TriggerState]) -> frozenset[str]:
    """``trigger:reading`` of all that is raised."""
    return frozenset(f"{name}:{reading}" for name, state in states.items() for reading in state.raised)


def decide(history: Sequence[Past], observation: Observation, policy: Policy) -> Decision:
    """The decision for ``observation`` after ``history`` (any order).

    What was decided at a moment still to come was decided by a clock that has been put back since: it says nothing of
    what came before what, and a cooldown from then on would last until that moment comes.
    """
    known = [past for past in history if past.at <= observation.at]
    newest_first = sorted(known, key=lambda past: past.at, reverse=True)
    states = {name: _judge(name, getattr(policy.triggers, name), observation, newest_first) for name in NAMES}
    causes = causes_of(states)
    told = "; ".join(state.why for state in states.values() if state.state in ("raised", "watching"))
    if not causes:
        return Decision("none", told or _quiet(states), states)
    obstacle = _obstacle(newest_first, observation, causes, policy.refit)
    if obstacle:
        return Decision("none", f"{told}; no refit: {obstacle}", states)
    return Decision("refit", told, states)


def _judge(name: str, policy: Trigger, seen: Observation, newest_first: Sequence[Past]) -> TriggerState:
    look = seen.looks.get(name, Look())
    if not policy.enabled:
        return TriggerState("off", why=f"{name} is off")
    ranked = sorted(look.readings, key=lambda r: (-r.value / r.limit, r.name))
    worst = ranked[0] if ranked else None
    rest: dict[str, Any] = {"rows": look.rows, "devices": look.devices}
    if worst is not None:
        rest |= {"worst": worst.name, "value": worst.value, "limit": worst.limit}
    if worst is None or look.rows < policy.min_rows or look.devices < policy.min_devices:
        few = f"{look.rows} rows of {look.devices} phones, {policy.min_rows} of {policy.min_devices} needed"
        return TriggerState("too_few", why=f"{name}: {look.missing or few}", **rest)

    same_champion = [past for past in newest_first if past.model_tag == seen.model_tag]
    before = _last_judged(name, same_champion)
    was_raised = set(before.raised) if before else set()
    reached = [r for r in ranked if r.value >= r.limit]
    raised = [
        r
        for r in ranked
        if _run(name, r, same_champion, seen) >= policy.consecutive
        or (r.at_once is not None and r.value >= r.at_once)
        or (r.name in was_raised and r.value > policy.clear_ratio * r.limit)
    ]
    state: State = "raised" if raised else "watching" if reached else "quiet"
    return TriggerState(
        state,
        fired=bool(raised) and not was_raised,
        reached=tuple(r.name for r in reached),
        raised=tuple(r.name for r in raised),
        why=_tell(name, state, raised or reached, policy.consecutive),
        **rest,
    )


def _last_judged(name: str, newest_first: Sequence[Past]) -> TriggerState | None:
    for past in newest_first:
        state = past.states.get(name)
        if state is not None and state.state in ("quiet", "watching", "raised"):
            return state
    return None


def _run(name: str, reading: Reading, newest_first: Sequence[Past], seen: Observation) -> int:
    """In how many non-overlapping windows running, this one the last, the reading reached its limit."""
    if reading.value < reading.limit:
        return 0
    run, border = 1, seen.start
    for past in newest_first:
        state = past.states.get(name)
        if past.end > border or state is None or state.state in ("off", "too_few"):
            continue
        if reading.name not in state.reached:
            break
        run, border = run + 1, past.start
    return run


def _tell(name: str, state: State, readings: Sequence[Reading], consecutive: int) -> str:
    if not readings:
        return f"{name}: quiet"
    first = ", ".join(f"{r.name} {r.value:.3g} (limit {r.limit:.3g})" for r in readings[:3])
    more = f" and {len(readings) - 3} more" if len(readings) > 3 else ""
    verb = "raised" if state == "raised" else f"over the limit, waiting for {consecutive} windows running"
    return f"{name} {verb}: {first}{more}"


def _quiet(states: Mapping[str, TriggerState]) -> str:
    few = [state.why for state in states.values() if state.state == "too_few"]
    if len(few) == sum(state.state != "off" for state in states.values()):
        return "nothing could be judged: " + ("; ".join(few) or "every trigger is off")
    return "all quiet" + (f" (not judged: {'; '.join(few)})" if few else "")


def _obstacle(
    newest_first: Sequence[Past], seen: Observation, causes: frozenset[str], policy: RefitPolicy
) -> str | None:
    """Why a refit must wait, or None."""
    tries = [past for past in newest_first if past.action == "refit"]
    if not tries:
        return None
    ready = tries[0].at + timedelta(hours=policy.cooldown_hours)
    if seen.at < ready:
        return f"cooldown until {ready:%Y-%m-%d %H:%M} UTC"
    failures = 0
    for past in tries:
        if past.outcome != "failed" or past.model_tag != seen.model_tag:
            break
        failures += 1
    if failures >= policy.max_failures:
        return f"the last {failures} refits failed; see `parked monitor list`, then refit by hand with `parked train`"
    waits = {cause: _labels_to_wait_for(cause, tries, seen, policy) for cause in causes}
    if all(waits.values()):
        return f"already tried for this cause; waiting for {min(waits.values())} more labels"
    return None


def _labels_to_wait_for(cause: str, tries: Sequence[Past], seen: Observation, policy: RefitPolicy) -> int:
    """Labels still to come before ``cause`` may be refitted for again; 0: it may now."""
    tried = [past for past in tries if past.outcome in ("published", "rejected") and cause in past.causes]
    if not tried:
        return 0
    in_vain = sum(past.outcome == "rejected" and past.model_tag == seen.model_tag for past in tried)
    doublings = min(max(0, in_vain - 1), 30)
    needed = policy.min_new_labels << doublings
    return max(0, tried[0].labels_known + needed - seen.labels_known)
