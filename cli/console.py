"""How every command talks: results to stdout (plain or ``--json``), progress and notes to stderr."""

from __future__ import annotations

import json as _json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]


class Advance(Protocol):
    """Called as work goes on: ``advance(1)``, or ``advance(0, total=n)`` once the total is known."""

    def __call__(self, steps: int = 1, *, total: int | None = None) -> None:
        """Move the bar by ``steps``."""


def emit(result: Mapping[str, Any], *, json: bool, text: str | None = None) -> None:
    """Print a result: as JSON, or ``text``, or ``key: value`` lines."""
    if json:
        sys.stdout.write(_json.dumps(result, default=str, allow_nan=False) + "\n")
        sys.stdout.flush()  # who watches reads as it comes
    elif text is not None:
        sys.stdout.write(text.rstrip("\n") + "\n")
    else:
        width = max((len(k) for k in result), default=0)
        for key, value in result.items():
            sys.stdout.write(f"{key.replace('_', ' '):<{width}}  {value}\n")


def so_far(advance: Advance) -> Callable[[int, int], None]:
    """``advance`` for work that says how much of how much is done: ``told(done, total)``."""
    shown = 0

    def told(done: int, total: int) -> None:
        nonlocal shown
        advance(done - shown, total=total)
        shown = done

    return told


def tell_of_compiling() -> None:
    """A note where the stop engine will first be compiled: it takes a while, once."""
    from ingestion.facts.kernel import is_compiled

    if not is_compiled():
        note("compiling the stop engine for this machine, once: a minute or two")


def note(message: str) -> None:
    """A plain sentence for a person, on stderr."""
    sys.stderr.write(message + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout. Where it is narrow cells go on in further lines: nothing is cut."""
    from rich.console import Console
    from rich.table import Table

    view = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        view.add_column(column, justify="left" if index == 0 else "right", no_wrap=index == 0, overflow="fold")
    for row in rows:
        view.add_row(*[str(cell) for cell in row])
    Console(width=None if sys.stdout.isatty() else 120).print(view)


@contextmanager
def progress(label: str) -> Iterator[Advance]:
    """A progress bar on stderr while the block runs (one summary line where stderr is no terminal)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_interactive,  # a bar that cannot move would only leave an empty line
    ) as bar:
        task = bar.add_task(label, total=None)

        def advance(steps: int = 1, *, total: int | None = None) -> None:
            if total is not None:
                bar.update(task, total=total)
            bar.advance(task, steps)

        try:
            yield advance
        except BaseException:
            bar.live.transient = True  # an error is one line, without half a bar above it
            raise
        if not bar.finished:
            done = bar.tasks[0].completed or 1
            bar.update(task, total=done, completed=done)
    if not console.is_interactive:
        state = bar.tasks[0]
        console.print(f"{label}: {state.completed:,.0f} in {state.elapsed or 0:.0f} s", markup=False, highlight=False)
