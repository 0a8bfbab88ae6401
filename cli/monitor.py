"""``parked monitor``: look at what was served, decide, refit; and read back what was decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import JsonOption, emit, note, progress, table
from cli.inputs import MOMENT, RulesOption, moment, settings_of
from cli.parity import parity

if TYPE_CHECKING:
    from monitoring.loop import MonitorOutcome
    from parked.opsdb.tables import MonitorRun, TriggerDecision

app = typer.Typer(
    name="monitor",
    help="Watch what is served: drift, data quality, decay; refit where the policy says so.",
    no_args_is_help=True,
)
app.command()(parity)

PolicyOption = Annotated[Path | None, typer.Option(help="Trigger policy; default: the packaged one.")]


@app.command()
def run(
    start: Annotated[
        str | None, typer.Option("--from", help=f"Start of the window, {MOMENT}; default: the policy's length.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the window, not included; default: now.")] = None,
    refit: Annotated[bool, typer.Option(help="Refit, gate and publish where a trigger asks for it.")] = True,
    policy: PolicyOption = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Look at one window of served answers: report, decide, and refit where the policy says so.

    Example: parked monitor run --from 2024-05-01 --to 2024-05-02 --no-refit
    """
    from monitoring.loop import run_monitor
    from monitoring.policy import load_policy
    from monitoring.reference import published_tag
    from monitoring.refit import training_refit
    from parked.clock import system_clock
    from parked.opsdb.engine import open_database

    window_from, window_to = moment("--from", start), moment("--to", end)
    checked = load_policy(policy)
    settings = settings_of(rules)
    published_tag(settings)  # before a database is made in an empty home
    engine = open_database(settings.database)
    with progress("monitoring") as advance:
        outcome = run_monitor(
            settings,
            engine,
            system_clock,
            window_from=window_from,
            window_to=window_to,
            refit=training_refit(settings, engine, system_clock) if refit else None,
            policy=checked,
            progress=advance,
        )
    emit(_as_dict(outcome), json=json, text=_told(outcome))


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many of the newest runs.")] = 20,
    json: JsonOption = False,
) -> None:
    """The newest monitor runs and what each decided.

    Example: parked monitor list --limit 5
    """
    from monitoring import history
    from parked.settings import load_settings
    from training.pipeline import open_registry

    found = history.runs(open_registry(load_settings()), limit)
    if json:
        emit({"runs": [_run_dict(seen, decision) for seen, decision in found]}, json=True)
        return
    if not found:
        note("No monitor run yet. Start one with: parked monitor run")
        return
    table(
        "monitor runs, newest first",
        ["run", "window (UTC)", "rows", "model", "action", "outcome", "why"],
        [_line(seen, decision) for seen, decision in found],
    )


@app.command()
def show(
    run_id: Annotated[int, typer.Argument(metavar="ID", help="A run's number (parked monitor list).")],
    json: JsonOption = False,
) -> None:
    """One run in full: each trigger, each feature against its limit, the report's files.

    Example: parked monitor show 3
    """
    from monitoring import history
    from parked.settings import load_settings
    from training.pipeline import open_registry

    settings = load_settings()
    seen, decision = history.run(open_registry(settings), run_id)
    if json:
        emit({**_run_dict(seen, decision), "statistics": seen.statistics}, json=True)
        return
    facts = _run_dict(seen, decision)
    facts.pop("triggers")
    facts["report"] = str(settings.home / seen.report_html) if seen.report_html else "none"
    emit({key: value for key, value in facts.items() if not key.startswith("report_")}, json=False)
    states = decision.triggers if decision else {}
    table("triggers", ["trigger", "state", "what it saw"], [(n, s["state"], s["why"]) for n, s in states.items()])
    drift = seen.statistics.get("drift", {}) | seen.statistics.get("prediction_drift", {})
    ranked = sorted(drift.items(), key=lambda item: -item[1]["distance"] / item[1]["limit"])
    quality = seen.statistics.get("quality", {})
    table(
        "features, farthest against their limit first",
        ["feature", "distance", "limit", "over", "what else"],
        [
            (n, f"{d['distance']:.3f}", f"{d['limit']:.3f}", "yes" if d["over"] else "", _remarks(quality, n))
            for n, d in ranked
        ],
    )


@app.command()
def policy(
    check: Annotated[Path | None, typer.Option(help="A policy file to check; default: the packaged one.")] = None,
    json: JsonOption = False,
) -> None:
    """Check a trigger policy file, and show what it says.

    Example: parked monitor policy --check my-policy.yaml
    """
    import yaml

    from monitoring.policy import DEFAULT_POLICY, load_policy

    rules = load_policy(check)
    said = rules.model_dump(mode="json")
    emit(said, json=json, text=f"{check or DEFAULT_POLICY}: in order.\n{yaml.safe_dump(said, sort_keys=False)}")


@app.command()
def watch(
    every: Annotated[float, typer.Option(min=1, help="Minutes between two looks.")] = 60.0,
    policy: PolicyOption = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Look again and again until stopped (Ctrl-C); each look is a run of its own (with --json: a document a line).

    Example: parked monitor watch --every 60
    """
    from monitoring.loop import run_monitor
    from monitoring.policy import load_policy
    from monitoring.reference import published_tag
    from monitoring.refit import training_refit
    from monitoring.watch import watch as look_on
    from parked.clock import system_clock
    from parked.errors import ParkedError
    from parked.opsdb.engine import open_database

    settings = settings_of(rules)
    checked = load_policy(policy)
    published_tag(settings)  # before a database is made in an empty home
    engine = open_database(settings.database)
    refit = training_refit(settings, engine, system_clock)

    def look() -> MonitorOutcome:
        return run_monitor(settings, engine, system_clock, refit=refit, policy=checked)

    def tell(seen: MonitorOutcome | ParkedError) -> None:
        if isinstance(seen, ParkedError):
            said, text = {"no_look": str(seen)}, f"no look: {seen}"
        else:
            said, text = _as_dict(seen), _told(seen)
        at = system_clock()
        if json:
            emit({"at": at.isoformat(), **said}, json=True)
        else:
            note(f"{at:%Y-%m-%d %H:%M} UTC: {text}")

    note(f"Looking every {every:g} minutes. Ctrl-C stops it.")
    look_on(look, every_s=every * 60, tell=tell)
    note("Stopped.")


def _told(outcome: MonitorOutcome) -> str:
    lines = [
        f"Run {outcome.run_id}: {outcome.rows} candidates of {outcome.devices} phones, served by {outcome.model_tag}, "
        f"{outcome.window}.",
        f"Beyond their limits: {', '.join(outcome.drifted) or 'none'}.",
        f"Decision: {outcome.action} ({outcome.why})." if outcome.action == "none" else f"Refit: {outcome.why}.",
    ]
    if outcome.challenger_tag:
        lines.append(f"Challenger {outcome.challenger_tag}: {outcome.outcome}.")
    lines.append(f"Report: {outcome.report_html}" if outcome.report_html else f"No report: {outcome.report_error}.")
    return "\n".join(lines)


def _as_dict(outcome: MonitorOutcome) -> dict[str, Any]:
    return {
        "run": outcome.run_id,
        "window_from": outcome.window.start.isoformat(),
        "window_to": outcome.window.end.isoformat(),
        "model": outcome.model_tag,
        "rows": outcome.rows,
        "devices": outcome.devices,
        "drifted": list(outcome.drifted),
        "action": outcome.action,
        "outcome": outcome.outcome,
        "challenger": outcome.challenger_tag,
        "why": outcome.why,
        "report_html": outcome.report_html,
        "report_json": outcome.report_json,
        "report_error": outcome.report_error,
        "statistics": outcome.statistics,
    }


def _run_dict(seen: MonitorRun, decision: TriggerDecision | None) -> dict[str, Any]:
    return {
        "run": seen.id,
        "started_at": seen.started_at.isoformat(),
        "finished_at": seen.finished_at.isoformat() if seen.finished_at else None,
        "window_from": seen.window_from.isoformat(),
        "window_to": seen.window_to.isoformat(),
        "model": seen.model_tag,
        "rows": seen.rows,
        "action": decision.action if decision else None,
        "outcome": decision.outcome if decision else None,
        "challenger": decision.challenger_tag if decision else None,
        "why": decision.why if decision else "not finished",
        "policy_version": decision.policy_version if decision else None,
        "triggers": decision.triggers if decision else {},
        "report_html": seen.report_html,
        "report_json": seen.report_json,
    }


def _line(seen: MonitorRun, decision: TriggerDecision | None) -> list[Any]:
    window = f"{seen.window_from:%Y-%m-%d %H:%M} to {seen.window_to:%Y-%m-%d %H:%M}"
    if decision is None:
        return [seen.id, window, seen.rows, seen.model_tag, "", "not finished", ""]
    return [seen.id, window, seen.rows, seen.model_tag, decision.action, decision.outcome, decision.why]


def _remarks(quality: dict[str, Any], name: str) -> str:
    return ", ".join(quality.get(name, {}).get("remarks", []))
