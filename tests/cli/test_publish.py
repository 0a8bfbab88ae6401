"""``parked publish`` and ``rollback`` against a running server: every worker answers with it, or it is undone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from bentos.launch import ServerHandle, start_server
from parked.worker_status import workers_dir
from tests.bentos.conftest import FAKE_SERVICE, until
from tests.training.conftest import Home, config_file
from tests.training.world import make_world


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    from parked.opsdb.engine import open_database
    from parked.settings import load_settings

    folder = tmp_path_factory.mktemp("home")
    world = make_world(devices=24, per_device=8)
    world.write(folder)
    settings = load_settings(home=folder, pointer_poll_s=0.05)
    return Home(settings, open_database(settings.database), world, config_file(folder / "files"))


@pytest.fixture(scope="module")
def tags(home: Home) -> list[str]:
    """Two models that can be served, and one of a feature service that the online store does not have."""
    few = {"iterations": 5}
    made = [
        home.train(config=config_file(home.settings.home / "a", seed=1, catboost=few)),
        home.train(config=config_file(home.settings.home / "b", seed=2, catboost=few)),
        home.train(config=config_file(home.settings.home / "c", seed=3, catboost=few, feature_service="parking_v9")),
    ]
    home.engine.dispose()
    return [model.tag for model in made]


@pytest.fixture(scope="module")
def server(home: Home, tags: list[str]) -> Iterator[ServerHandle]:
    assert "no server is running" in parked(home, "publish", tags[0], "--force").stdout
    with start_server(home.settings, port=0, workers=2, service=FAKE_SERVICE) as server:
        server.wait_ready(60)
        until(lambda: len(list(workers_dir(home.settings).glob("*.json"))) == 2)
        yield server
    assert not list(workers_dir(home.settings).glob("*.json")), "a worker that ends takes its report with it"


def parked(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=os.environ | {"PARKED_HOME": str(home.settings.home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_runs_is_what_was_published_refused_or_rolled_back(
    home: Home, tags: list[str], server: ServerHandle
) -> None:
    served: Callable[[], dict[str, object]] = lambda: httpx.get(f"{server.url}/model").json()["model"]  # noqa: E731
    a, b, unfit = tags
    assert served() == {"tag": a, "generation": 1}

    done = parked(home, "publish", b, "--force", "--json")
    assert json.loads(done.stdout)["workers"] == 2
    assert served() == {"tag": b, "generation": 2}

    refused = parked(home, "publish", unfit, "--force")
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert "refuses it" in line
    assert f"rolled back to {b} as generation 4" in line
    assert served() == {"tag": b, "generation": 4}

    file = home.settings.bentoml_home / "models" / unfit.replace(":", "/") / "model.cbm"
    file.write_bytes(file.read_bytes()[:-20])
    corrupt = parked(home, "publish", unfit, "--force")
    assert (corrupt.returncode, corrupt.stdout, len(corrupt.stderr.splitlines())) == (1, "", 1)
    assert served() == {"tag": b, "generation": 4}, "nobody was even asked"

    done = parked(home, "rollback", "--json")
    assert json.loads(done.stdout) == {"model": a, "generation": 5, "workers": 2}
    assert served() == {"tag": a, "generation": 5}
