"""The ``parked demo`` command."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.console import JsonOption, emit, note


def demo(
    devices: Annotated[int, typer.Option(min=20, help="Phones in the first city.")] = 120,
    days: Annotated[int, typer.Option(min=7, help="Quiet days before the world changes.")] = 14,
    seed: Annotated[int, typer.Option(help="The same seed gives the same world.")] = 7,
    json: JsonOption = False,
) -> None:
    """Tell the whole story in a few minutes: simulate, facts, features, train, serve, drift, refit, publish.

    Works in a folder of its own, demo/ in PARKED_HOME, which it empties first.

    Example: parked demo --devices 120 --days 14
    """
    import shutil
    import time

    from cli.demo.story import Story
    from cli.demo.world import DemoWorld
    from parked.settings import FIRST_RULES, load_settings

    home = load_settings().home / "demo"
    marker = home / ".demo"
    if home.exists() and not marker.exists() and any(home.iterdir()):
        from parked.errors import ConflictError

        raise ConflictError(f"{home}: not a demo's folder", mend="move it away, or set PARKED_HOME elsewhere")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    marker.touch()
    began = time.monotonic()
    story = Story(load_settings(home=home, database_url="", rules=FIRST_RULES), DemoWorld(devices, days, seed))
    figures = story.tell()
    note(f"Done in {time.monotonic() - began:.0f} s. Everything lies in {home}.")
    if json:
        emit({**figures, "home": str(home)}, json=True)
