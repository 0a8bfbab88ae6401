from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from monitoring import loop
from monitoring.policy import DEFAULT_POLICY
from monitoring.report import ReportError
from monitoring.watch import watch
from parked.errors import ConflictError, UserError
from tests.monitoring.conftest import home, trained_home
from tests.monitoring.world import WEEK, Home

__all__ = ["home", "trained_home"]


def parked(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["monitor", *arguments])


def answer(*arguments: str) -> dict[str, Any]:
    result = parked(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def fault(*arguments: str) -> UserError:
    result = parked(*arguments)
    assert isinstance(result.exception, UserError), result.output
    assert result.exception.exit_code == 2
    return result.exception


@pytest.fixture
def served(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a week of served answers, the command line pointed at it; Evidently stood in for."""

    def no_report(*_a: Any, **_o: Any) -> Any:
        raise ReportError("left out in this test")

    monkeypatch.setattr(loop, "make_report", no_report)
    monkeypatch.setenv("PARKED_HOME", str(home.settings.home))
    home.serve()
    return home


SPAN = ("--from", WEEK.start.isoformat(), "--to", WEEK.end.isoformat())


def test_a_run_tells_what_it_saw_and_what_it_decided(served: Home) -> None:
    result = parked("run", *SPAN, "--no-refit")
    assert result.exit_code == 0, result.output
    assert f"served by {served.tag}" in result.output
    assert "Beyond their limits: none." in result.output
    assert "Decision: none (all quiet" in result.output
    assert "No report: left out in this test." in result.output


def test_runs_are_listed_and_shown(served: Home) -> None:
    ran = answer("run", *SPAN, "--no-refit")
    assert (ran["run"], ran["model"], ran["action"]) == (1, served.tag, "none")
    [listed] = answer("list")["runs"]
    assert (listed["run"], listed["rows"], listed["outcome"]) == (1, ran["rows"], "none")
    shown = answer("show", "1")
    assert set(shown["statistics"]["drift"]) == set(ran["statistics"]["drift"])
    assert "1" in parked("list").output
    text = parked("show", "1").output
    assert "feature_drift" in text
    assert "uncertainty_m" in text


def test_a_day_is_a_moment_in_utc(served: Home) -> None:
    ran = answer("run", "--from", "2024-03-18", "--to", "2024-03-20T00:00+02:00", "--no-refit")
    assert (ran["window_from"], ran["window_to"]) == ("2024-03-18T00:00:00+00:00", "2024-03-19T22:00:00+00:00")


def test_mistakes_are_told_in_one_line_and_change_nothing(served: Home, tmp_path: Path) -> None:
    assert str(fault("run", "--from", "yesterday")).startswith("--from yesterday: not a moment; give an ISO 8601")
    assert "give --from before --to" in str(fault("run", "--from", "2024-03-20", "--to", "2024-03-19"))
    assert "no such policy file" in str(fault("run", "--policy", str(tmp_path / "none.yaml")))
    assert str(fault("show", "7")) == "monitor run 7: no such run; see `parked monitor list`"
    assert answer("list")["runs"] == []


def test_nothing_published_is_told_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARKED_HOME", str(tmp_path))
    assert "run `parked publish` first" in str(fault("run"))
    assert "run `parked publish` first" in str(fault("watch"))
    assert "run `parked train` first" in str(fault("list"))
    assert list(tmp_path.iterdir()) == []


def test_a_policy_is_checked(tmp_path: Path) -> None:
    assert answer("policy")["version"] == "1"
    file = tmp_path / "mine.yaml"
    file.write_text(
        DEFAULT_POLICY.read_text(encoding="utf-8").replace("hours: 24 ", "hours: -24 ", 1), encoding="utf-8"
    )
    assert str(fault("policy", "--check", str(file))).startswith(f"{file}: window.hours=-24: ")


@pytest.mark.parametrize("command", ["run", "list", "show", "policy", "watch"])
def test_every_command_has_an_example(command: str) -> None:
    assert f"Example: parked monitor {command}" in " ".join(parked(command, "--help").output.split())


def test_help_imports_nothing_heavy() -> None:
    code = "import cli.monitor, sys; print(sorted({'pandas', 'duckdb', 'sqlalchemy', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_watching_goes_on_after_a_look_that_could_not_be() -> None:
    stop = threading.Event()
    busy = ConflictError("another monitor is at work", mend="wait")
    said: list[object] = []

    def look() -> str:
        if not said:
            raise busy
        stop.set()
        return "all quiet"

    assert watch(look, every_s=0.0, tell=said.append, stop=stop) == 2
    assert said == [busy, "all quiet"]


@pytest.mark.parametrize("json_option", [(), ("--json",)])
def test_watching_tells_each_look_as_it_comes(
    served: Home, monkeypatch: pytest.MonkeyPatch, json_option: tuple[str, ...]
) -> None:
    def two_looks(look: Callable[[], Any], *, every_s: float, tell: Callable[[Any], None]) -> int:
        assert every_s == 60 * 60
        tell(ConflictError("another monitor is at work", mend="wait"))
        tell(look())
        return 2

    monkeypatch.setattr("monitoring.watch.watch", two_looks)
    result = parked("watch", *json_option)
    assert result.exit_code == 0, result.output
    if not json_option:
        assert result.stdout == ""
        assert "UTC: no look: another monitor is at work; wait\n" in result.stderr
        assert "UTC: Run 1: " in result.stderr
        return
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["no_look"] == "another monitor is at work; wait"
    assert (second["run"], second["action"]) == (1, "none")
    assert first["at"] <= second["at"]
