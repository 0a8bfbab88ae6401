"""Entry point of ``parked``: wires the groups together, turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from cli import facts, features, labels, models, monitor, quarantine, tokens
from cli.demo.command import demo
from cli.ingest import ingest
from cli.score import score
from cli.serve import package, serve
from cli.simulate import simulate
from cli.train import evaluate, publish, rollback, train
from parked.errors import InputError, ParkedError, SettingError, first_line, is_full
from parked.names import shown

app = typer.Typer(
    name="parked",
    help="Where You Parked: raw phone sensor updates -> facts -> features -> a model that knows where the car is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

app.command()(simulate)
app.command()(ingest)
app.add_typer(quarantine.app)
app.add_typer(labels.app)
app.add_typer(facts.app)
app.command()(score)
app.command()(serve)
app.command()(package)
app.add_typer(tokens.app)
app.add_typer(monitor.app)
app.add_typer(features.app)
app.command()(train)
app.command()(evaluate)
app.command()(publish)
app.command()(rollback)
app.add_typer(models.app)

app.command()(demo)


def main() -> None:
    """Run the command line. A user's mistake prints one line and exits 2; ours exits 1."""
    # Libraries warn of their own libraries (and Feast turns such warnings on again): not the user's to mend.
    warnings.showwarning = lambda *_args, **_options: None
    try:
        _check_words(sys.argv[1:])
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except TyperException as error:  # an option or argument that cannot be
        sys.stderr.write(_one_line(error) + "\n")
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):  # the latter before typer has begun
        sys.stderr.write("parked: stopped\n")
        sys.exit(130)
    except ParkedError as error:
        sys.stderr.write(f"parked: {error}\n")
        sys.exit(error.exit_code)
    except UnicodeEncodeError as error:  # a path or setting in bytes that are no text: what is kept and shown is UTF-8
        sys.stderr.write(f"parked: {error.object!r:.200}: not UTF-8; rename it\n")
        sys.exit(2)
    except OSError as error:  # a path that cannot be read or written: the user's to mend
        where = f"{error.filename}: " if error.filename else ""
        if is_full(error):
            reason, mend = os.strerror(error.errno or errno.ENOSPC), "make room there"
        else:
            reason, mend = error.strerror or first_line(error), "check the path and its permissions"
        sys.stderr.write(f"parked: {where}{reason}; {mend}\n")
        sys.exit(2)
    except Exception as error:
        if isinstance(error, SystemError) and isinstance(error.__cause__, KeyboardInterrupt):  # within compiled code
            sys.stderr.write("parked: stopped\n")
            sys.exit(130)
        if (mistake := _of_database(error)) is None:
            raise
        sys.stderr.write(f"parked: {mistake}\n")
        sys.exit(mistake.exit_code)


def _of_database(error: Exception) -> SettingError | None:
    """What the operations database says of itself in the middle of a command, in one line; None for anything else."""
    if "sqlalchemy" not in sys.modules:  # nothing opened one, and it takes long to load
        return None
    from parked.opsdb.engine import trouble
    from parked.settings import load_settings

    return trouble(error, load_settings().database)


def _check_words(arguments: Sequence[str]) -> None:
    """Raises InputError for an argument that is neither text in UTF-8 nor a file: names and ids are text."""
    for argument in arguments:
        if shown(argument) != argument and not os.path.lexists(argument):
            raise InputError(f"{shown(argument)}: not UTF-8, and no file of that name", mend="write it in UTF-8")


def _one_line(error: TyperException) -> str:
    """What is wrong and where help is; a group named without a command answers with its help instead."""
    said = error.format_message()
    if said.startswith("Usage:"):
        return said
    return f"parked: {' '.join(said.split()).rstrip('.')}; see {_command(sys.argv[1:])} --help"


def _command(arguments: Sequence[str]) -> str:
    """The command that arguments call, as far as they name one: a parser's errors do not always say whose they are."""
    named, path = typer.main.get_command(app), "parked"
    for argument in arguments:
        found = getattr(named, "commands", {}).get(argument)
        if found is None:
            break
        named, path = found, f"{path} {argument}"
    return path


if __name__ == "__main__":
    main()
