"""Every command explains itself, quickly, with an example; mistakes are one line and exit 2."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from cli.main import app, main

PARKED = str(Path(sys.executable).parent / "parked")


def commands() -> Iterator[tuple[str, click.Command]]:
    def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        children = getattr(command, "commands", None)
        if children is None or getattr(command, "invoke_without_command", False):
            yield path, command
        for name, child in (children or {}).items():
            yield from walk(f"{path} {name}", child)

    yield from walk("parked", typer.main.get_command(app))


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_help_with_an_example(path: str, command: click.Command) -> None:
    assert command.help
    assert f"Example: {path}" in " ".join(command.help.split())


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_gives_its_result_as_json(path: str, command: click.Command) -> None:
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--json" in options, path


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["facts", "diff", "--rules", "v1"], "parked facts diff"),
        (["facts", "diff"], "parked facts diff"),
        (["facts", "show", "--device"], "parked facts show"),
        (["facts", "nope"], "parked facts"),
        (["nope"], "parked"),
        (["--nope"], "parked"),
        (["ingest", "facts", "--nope"], "parked ingest"),
        (["quarantine", "show", "x"], "parked quarantine show"),
    ],
)
def test_a_hint_names_the_help_of_the_command_that_was_meant(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], command: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["parked", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.endswith(f"; see {command} --help\n")
    assert said.count("\n") == 1


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; import cli.main; "
        "heavy = ('feast', 'pandas', 'pyarrow', 'catboost', 'bentoml', 'evidently', 'numba', 'sklearn'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ingest", "no-such.parquet"], "no-such.parquet"),
        (["facts", "build", "no-such.parquet", "--out", "x.parquet"], "no-such.parquet"),
        (["simulate", "--devices", "1", "--days", "1", "--out", "/proc/nowhere"], "/proc/nowhere"),
        (["score", "no-such.parquet", "--out", "x.parquet"], "publish"),
        (["serve"], "publish"),
        (["train"], "features"),
        (["publish", "parking:nope"], "model"),
        (["rollback"], "model"),
        (["simulate", "--city", "atlantis"], "atlantis"),
        (["monitor", "run"], "publish"),
    ],
)
def test_a_mistake_is_one_line_exit_2_and_changes_nothing(tmp_path: Path, arguments: list[str], named: str) -> None:
    done = subprocess.run(
        [PARKED, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PARKED_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert named in lines[0]
    assert not list(tmp_path.iterdir())
