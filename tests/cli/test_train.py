"""``parked train``, ``evaluate``, ``publish``, ``rollback`` and ``models`` as typed on a command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from parked.errors import ConflictError, InputError, NotFoundError, SettingError
from parked.pointer import read_pointer
from tests.training.conftest import Home, config_file, new_home  # noqa: F401 (a fixture)
from tests.training.world import AS_OF, make_world
from training import pipeline


@pytest.fixture
def home(new_home: Callable[..., Home], monkeypatch: pytest.MonkeyPatch) -> Home:  # noqa: F811
    """A home with snapshots; features and labels come from the made-up world, not from Feast."""
    home = new_home(make_world(devices=36, per_device=14), catboost={"iterations": 15})
    monkeypatch.setenv("PARKED_HOME", str(home.settings.home))
    monkeypatch.setattr(pipeline, "real_sources", lambda *_: home.world.sources())
    return home


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def answer(*arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", code=code))
    return found


def train(home: Home, *more: str) -> dict[str, Any]:
    return answer("train", "--config", str(home.config), "--as-of", AS_OF.isoformat(), *more)


def test_from_training_to_publishing_and_back(home, tmp_path):
    first = train(home)
    assert first["metrics"]["test_devices.auc"] > 0.8
    published = answer("publish", "latest", "--why", "first")
    assert (published["published"], published["generation"]) == (True, 1)

    second = train(home, "--config", str(config_file(tmp_path, catboost={"iterations": 2, "depth": 1, "rsm": 1.0})))
    refused = answer("publish", second["model"], code=1)
    assert not refused["published"]
    assert "may be worse" in " ".join(refused["decision"]["reasons"])
    forced = answer("publish", second["model"], "--force", "--why", "an experiment")
    assert forced["generation"] == 2

    back = answer("rollback", "--why", "over")
    assert (back["model"], back["generation"]) == (first["model"], 3)
    states = {model["tag"]: model["state"] for model in answer("models")["models"]}
    assert states == {first["model"]: "champion", second["model"]: "retired"}
    history = answer("models", "show", second["model"])["history"]
    assert [step["to_state"] for step in history] == ["candidate", "rejected", "champion", "retired"]
    assert history[2]["why"] == "an experiment (gate not asked)"


def test_a_refit_from_the_manifest_is_verified(home):
    model = train(home)
    again = answer("train", "--from-manifest", model["manifest"])
    assert (again["model"], again["verified"]) == (model["model"], True)


def test_what_a_person_reads(home):
    tag = train(home)["model"]
    assert "test_devices" in run("evaluate")
    assert f"{tag}  candidate" in run("models", "list")
    assert "published parking:" in run("publish", "latest")
    assert "by" in run("models", "show", "latest")
    assert answer("evaluate", "--model", "latest")["parts"]["test_later"]["rows"] > 0


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["train"], NotFoundError, "no candidate snapshots"),
        (["train", "--as-of", "soon"], InputError, "--as-of soon: not a moment"),
        (["train", "--config", "absent.yaml"], NotFoundError, r"absent\.yaml: no such file"),
        (["train", "--from-manifest", "absent.json"], NotFoundError, r"absent\.json: no such manifest"),
        (["train", "--from-manifest", "a.json", "--name", "x"], SettingError, "goes with none"),
        (["evaluate"], NotFoundError, "no model is registered"),
        (["publish", "latest"], NotFoundError, "no model is registered"),
        (["rollback"], NotFoundError, "no model is registered"),
        (["models", "show", "parking:x"], NotFoundError, "no model is registered"),
    ],
)
def test_a_mistake_in_an_empty_home_is_named_and_makes_nothing(tmp_path: Path, monkeypatch, arguments, error, says):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        run(*arguments)
    assert not (tmp_path / "home").exists()


def test_no_models_yet_is_no_mistake(tmp_path, monkeypatch):
    monkeypatch.setenv("PARKED_HOME", str(tmp_path / "home"))
    assert "parked train" in run("models")
    assert answer("models") == {"models": []}


def test_mistakes_after_training_change_nothing(home):
    train(home)
    with pytest.raises(NotFoundError, match="'parking:absent': not registered"):
        run("publish", "parking:absent")
    with pytest.raises(NotFoundError, match="no earlier champion"):
        run("rollback")
    assert read_pointer(home.settings.pointer_file) is None
    run("publish", "latest")
    with pytest.raises(ConflictError, match="already champion"):
        run("publish", "latest")
