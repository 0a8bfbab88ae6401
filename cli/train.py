"""``parked train``, ``evaluate``, ``publish``, ``rollback``: from labelled features to the published model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JsonOption, emit, progress
from cli.inputs import MOMENT, RulesOption, moment, settings_of, user_name

if TYPE_CHECKING:
    from parked.settings import Settings

WhyOption = Annotated[str, typer.Option(help="Why, for the record.")]


def train(
    config: Annotated[Path | None, typer.Option(help="Training file; default: the packaged parking_v1.yaml.")] = None,
    as_of: Annotated[str | None, typer.Option(help=f"Use only what was known then, {MOMENT}; default: now.")] = None,
    name: Annotated[str | None, typer.Option(help="Model name; default: the training file's.")] = None,
    from_manifest: Annotated[
        Path | None, typer.Option(help="Fit again from a training manifest and verify the same model comes out.")
    ] = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Train a candidate on point-in-time features and labels, and measure it on held-out phones and later days.

    Example: parked train --as-of 2024-05-01
    """
    from parked.errors import SettingError

    if from_manifest is not None and (config, as_of, name) != (None, None, None):
        raise SettingError(
            "--from-manifest goes with none of --config, --as-of, --name", mend="the manifest says it all"
        )
    cut = moment("--as-of", as_of)
    from parked.clock import system_clock
    from parked.opsdb.engine import open_database
    from training.evaluate import report
    from training.pipeline import check_inputs, refit, train_candidate

    settings = settings_of(rules)
    check_inputs(settings, config, from_manifest)
    engine = open_database(settings.database)
    with progress("training") as advance:
        if from_manifest is not None:
            model = refit(settings, engine, system_clock, from_manifest, advance, who=user_name())
        else:
            model = train_candidate(settings, engine, system_clock, advance, config, cut, name=name, who=user_name())
    emit(
        {
            "model": model.tag,
            "rules": model.card.rules_version,
            "verified": from_manifest is not None,
            "manifest": str(model.manifest_path),
            "report": str(model.evaluation_path),
            "metrics": model.card.metrics,
        },
        json=json,
        text=f"{report(model.evaluation)}\n"
        + ("the refit is the same model, byte for byte\n" if from_manifest is not None else "")
        + f"manifest {model.manifest_path}\nnext: parked publish {model.tag}"
        + ("" if rules is None else f" --rules {model.card.rules_version}"),
    )


def evaluate(
    model: Annotated[str | None, typer.Option(help="Model tag or latest; default: the champion, else latest.")] = None,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Measure a model on its own held-out rows: all, by slice, and as answers.

    Example: parked evaluate --model latest
    """
    from training.evaluate import report
    from training.pipeline import evaluate_model, open_registry

    settings = settings_of(rules)
    evaluation, path = evaluate_model(settings, open_registry(settings), model)
    emit({**evaluation.model_dump(), "report": str(path)}, json=json, text=f"{report(evaluation)}\nreport {path}")


def publish(
    tag: Annotated[str, typer.Argument(help="Model tag, or latest.")],
    why: WhyOption = "published by hand",
    force: Annotated[bool, typer.Option("--force", help="Publish without asking the gate.")] = False,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Make a model the champion of its rules version if the gate agrees, and wait until every running server's workers
    answer with it.

    Exit code 1 where the gate refuses, or where a worker does (then the champion before is put back); the model is then
    marked rejected, with the reasons.

    Example: parked publish latest --why "two more weeks of data"
    """
    from parked.clock import system_clock
    from training import publishing
    from training.challenge import decide_and_publish
    from training.pipeline import open_registry

    settings = settings_of(rules)
    engine = open_registry(settings)
    if force:
        done = publishing.publish(settings, engine, tag, user_name(), f"{why} (gate not asked)", system_clock)
        _require_served(done.undone)
        _prove(settings, done.tag, done.workers)
        result = {"model": done.tag, "rules": settings.rules, "published": True, "generation": done.generation}
        emit(
            {**result, "forced": True, "workers": done.workers},
            json=json,
            text=f"published {done.tag} as generation {done.generation}; gate not asked\n{_served(done.workers)}",
        )
        return
    outcome = decide_and_publish(settings, engine, system_clock, tag, user_name(), why)
    _require_served(outcome.undone)
    if outcome.published:
        _prove(settings, outcome.tag, outcome.workers)
    said = "; ".join(outcome.decision.reasons)
    emit(
        {
            "model": outcome.tag,
            "rules": settings.rules,
            "published": outcome.published,
            "generation": outcome.generation,
            "champion_before": outcome.previous,
            "decision": outcome.decision.model_dump(),
            "workers": outcome.workers,
        },
        json=json,
        text=f"published {outcome.tag} as generation {outcome.generation}: {said}\n{_served(outcome.workers)}"
        if outcome.published
        else f"the gate refuses {outcome.tag}: {said}",
    )
    if not outcome.published:
        raise typer.Exit(1)


def rollback(why: WhyOption = "rolled back by hand", rules: RulesOption = None, json: JsonOption = False) -> None:
    """Put the champion before the last publish back, as a new generation, and wait as `parked publish` does.

    Example: parked rollback --why "complaints about phantom pins"
    """
    from parked.clock import system_clock
    from training import publishing
    from training.pipeline import open_registry

    settings = settings_of(rules)
    done = publishing.rollback(settings, open_registry(settings), user_name(), why, system_clock)
    _require_served(done.undone)
    emit(
        {"model": done.tag, "rules": settings.rules, "generation": done.generation, "workers": done.workers},
        json=json,
        text=f"rolled back to {done.tag} as generation {done.generation}\n{_served(done.workers)}",
    )


def _require_served(undone: str | None) -> None:
    """Raises InternalError (exit code 1, one line) for a publish that the servers would not serve."""
    from parked.errors import InternalError

    if undone:
        raise InternalError(undone)


def _prove(settings: Settings, tag: str, workers: int) -> None:
    """Where no server runs that would do it: prove the trees, so that the next start need not."""
    if not workers:
        import contextlib
        import sys

        from bentos.model.kept_trees import load_proved

        with contextlib.redirect_stdout(sys.stderr):  # structlog prints there, where the result belongs
            load_proved(settings, tag)


def _served(workers: int) -> str:
    if not workers:
        return "no server is running; the next one starts with it"
    return f"{workers} running worker{'s answer' if workers > 1 else ' answers'} with it"
