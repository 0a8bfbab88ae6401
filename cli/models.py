"""``parked models``: which models there are, their states, and what happened to them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.console import JsonOption, emit
from cli.inputs import RulesOption, settings_of

app = typer.Typer(name="models", help="Trained models: list them, show one with its history.\n\nExample: parked models")


@app.callback(invoke_without_command=True)
def models(context: typer.Context, json: JsonOption = False) -> None:
    """Trained models: list them (also with no command), show one with its history.

    Example: parked models
    """
    if context.invoked_subcommand is None:
        list_models(json=json)


@app.command("list")
def list_models(json: JsonOption = False) -> None:
    """All models, newest first, of every rules version.

    Example: parked models list --json
    """
    from parked.errors import NotFoundError
    from parked.settings import load_settings
    from training.pipeline import open_registry
    from training.registry import models as registered

    try:
        found = registered(open_registry(load_settings()))
    except NotFoundError:
        found = []
    if json:
        emit({"models": [asdict(model) for model in found]}, json=True)
        return
    if not found:
        emit({}, json=False, text="no models yet; `parked train` makes one")
        return
    width = max(len(model.tag) for model in found)  # whole tags: they are what `parked publish` takes
    head = f"{'model':<{width}}  {'state':<10}{'trained':<18}{'rules':<8}{'log loss':>9}{'AUC':>7}"
    lines = [
        f"{model.tag:<{width}}  {model.state:<10}{model.created_at:%Y-%m-%d %H:%M}  {model.rules_version:<8}"
        f"{_figure(model.metrics, 'test_devices.log_loss'):>9}{_figure(model.metrics, 'test_devices.auc'):>7}"
        for model in found
    ]
    emit({}, json=False, text="\n".join([head, *lines]))


@app.command()
def show(
    tag: Annotated[str, typer.Argument(help="Model tag, or latest.")],
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """One model: where it comes from, how good it is, who moved it to which state and why.

    Example: parked models show latest
    """
    from training.pipeline import open_registry
    from training.registry import resolve
    from training.registry import show as registered

    settings = settings_of(rules)
    engine = open_registry(settings)
    model = registered(engine, resolve(engine, tag, settings.rules))
    lines = [
        f"{model.tag}  {model.state}",
        f"rules {model.rules_version}, feature service {model.feature_service}, manifest {model.manifest}",
        *(f"  {name:<34}{value:>12.4f}" for name, value in sorted(model.metrics.items())),
        *(
            f"{c.at:%Y-%m-%d %H:%M:%S}  {c.from_state or 'new'} -> {c.to_state}  by {c.who}: {c.why}"
            for c in model.history
        ),
    ]
    emit(asdict(model), json=json, text="\n".join(lines))


def _figure(metrics: dict[str, float], name: str) -> str:
    return f"{metrics[name]:.3f}" if name in metrics else "-"
