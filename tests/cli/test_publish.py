"""``parked publish`` and ``rollback`` against a running server: every worker answers with it, or it is undone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from bentos.launch import ServerHandle, start_server
from parked.pointer import Pointer, read_pointer, write_pointer
from parked.take_up import TakeUp, await_generation
from parked.worker_status import live_workers, workers_dir
from tests.bentos.conftest import FAKE_SERVICE, until
from tests.bentos.load import Load
from tests.training.conftest import CLOCK, Home, config_file
from tests.training.world import make_world
from training.publishing import publish, rollback


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
    first = pointed(home).generation
    assert served() == {"tag": a, "generation": first}

    done = parked(home, "publish", b, "--force", "--json")
    assert json.loads(done.stdout)["workers"] == 2
    assert served() == {"tag": b, "generation": first + 1}

    refused = parked(home, "publish", unfit, "--force")
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert "refuses it" in line
    assert f"rolled back to {b} as generation {first + 3}" in line
    assert served() == {"tag": b, "generation": first + 3}

    file = home.settings.bentoml_home / "models" / unfit.replace(":", "/") / "model.cbm"
    file.write_bytes(file.read_bytes()[:-20])
    corrupt = parked(home, "publish", unfit, "--force")
    assert (corrupt.returncode, corrupt.stdout, len(corrupt.stderr.splitlines())) == (1, "", 1)
    assert served() == {"tag": b, "generation": first + 3}, "nobody was even asked"

    done = parked(home, "rollback", "--json")
    assert json.loads(done.stdout) == {"model": a, "rules": "v1", "generation": first + 4, "workers": 2}
    assert served() == {"tag": a, "generation": first + 4}


def test_twenty_publishes_and_a_rollback_under_full_load_fail_no_request(
    home: Home, tags: list[str], server: ServerHandle
) -> None:
    a, b, _ = tags
    first = pointed(home).generation
    took: list[float] = []

    def wait(generation: int) -> TakeUp:
        began = time.monotonic()
        taken = await_generation(workers_dir(home.settings), generation, timeout_s=10)
        took.append(time.monotonic() - began)
        return taken

    with Load(server.url, keeping=8, renewing=4) as load:
        for tag in [b, a] * 10 + [b]:
            done = publish(home.settings, home.engine, tag, "ann", "next", CLOCK, wait=wait)
            assert (done.workers, done.undone) == (2, None)
        done = rollback(home.settings, home.engine, "ann", "back", CLOCK, wait=wait)
        assert (done.tag, done.workers, done.undone) == (a, 2, None)
        until(lambda: load.seen.newest == done.generation)
    seen = load.seen
    assert set(seen.statuses) == {200}
    assert (seen.unanswered, seen.cut, seen.refused) == (0, 0, 0)
    assert set(seen.generations) == set(range(first, first + 23)), "each of them answered somebody"
    poll_s = type(home.settings).model_fields["pointer_poll_s"].default - home.settings.pointer_poll_s
    assert max(took) + poll_s < 2.0, "seconds until both workers answer with it, were they to look as rarely as ours do"


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_a_model_missing_or_damaged_under_load_is_refused_by_each_worker_which_say_so_and_the_old_one_serves(
    home: Home, tags: list[str], server: ServerHandle, damage: str
) -> None:
    """Published past the registry, which would not have it."""
    before = pointed(home)
    folder = home.settings.bentoml_home / "models" / "parking" / "bad"
    if damage == "cut short":
        shutil.copytree(home.settings.bentoml_home / "models" / tags[0].replace(":", "/"), folder)
        (folder / "model.cbm").write_bytes((folder / "model.cbm").read_bytes()[:-20])
    failures = metric(server, "parked_model_swap_failures_total")
    with Load(server.url, keeping=8, renewing=2) as load:
        bad = before.model_copy(update={"generation": before.generation + 1, "model_tag": "parking:bad"})
        write_pointer(home.settings.pointer_file, bad)
        until(lambda: [w.refused_generation for w in live_workers(workers_dir(home.settings))] == [bad.generation] * 2)
        ready = httpx.get(f"{server.url}/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert "parking:bad" in ready.json()["reasons"][0]
        assert metric(server, "parked_model_swap_failures_total") == failures + 2
        write_pointer(home.settings.pointer_file, before)
        until(lambda: [w.refused for w in live_workers(workers_dir(home.settings))] == [None] * 2)
        assert httpx.get(f"{server.url}/readyz").json() == {"ready": True, "reasons": []}
    shutil.rmtree(folder, ignore_errors=True)
    assert load.seen.generations == {before.generation: load.seen.answered}
    assert (load.seen.unanswered, load.seen.cut, load.seen.refused) == (0, 0, 0)


def pointed(home: Home) -> Pointer:
    pointer = read_pointer(home.settings.pointer_file)
    assert pointer is not None
    return pointer


def metric(server: ServerHandle, name: str) -> float:
    lines = [line for line in httpx.get(f"{server.url}/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
