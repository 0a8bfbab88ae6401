"""A training file for the made-up world, and one trained home shared by tests that only read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine

from parked.clock import fixed_clock
from parked.opsdb.engine import open_database
from parked.settings import Settings, load_settings
from tests.training.world import AS_OF, World, make_world
from training.config import DEFAULT_CONFIG, TrainingConfig, load_config
from training.pipeline import TrainedModel, train_candidate

CLOCK = fixed_clock(AS_OF)

OUTLIERS = """
version: outliers-test
rules:
  - {name: place-too-coarse, column: uncertainty_m, op: ">", value: 58, why: too coarse}
"""


def config_file(folder: Path, **changes: Any) -> Path:
    """The packaged training file, fitted to the made-up world's few features, with ``changes`` on top."""
    content = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))
    content["categorical"] = ["status", "motion_after"]
    content["exclude"] = []  # the packaged file names features the made-up world does not have
    content["catboost"] = {**content["catboost"], "iterations": 40, "depth": 4}
    content["gate"] = {**content["gate"], "resamples": 300}
    content["evaluation"] = {**content["evaluation"], "resamples": 100}
    for name, value in changes.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "outliers.yaml").write_text(OUTLIERS, encoding="utf-8")
    file = folder / "training.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@dataclass
class Home:
    """A home with snapshots, ready to train in."""

    settings: Settings
    engine: Engine
    world: World
    config: Path

    def train(self, **options: Any) -> TrainedModel:
        options = {"config": self.config, "as_of": AS_OF, "sources": self.world.sources(), **options}
        return train_candidate(self.settings, self.engine, CLOCK, **options)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    return load_config(config_file(tmp_path_factory.mktemp("config")))


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Home]:
    """Makes homes: ``new_home(world=…, **changes of the training file)``."""

    def make(world: World | None = None, **changes: Any) -> Home:
        folder = tmp_path_factory.mktemp("home")
        world = world or make_world()
        world.write(folder)
        settings = load_settings(home=folder)
        return Home(settings, open_database(settings.database), world, config_file(folder / "files", **changes))

    return make


@pytest.fixture(scope="session")
def trained(new_home: Callable[..., Home]) -> tuple[Home, TrainedModel]:
    """A home with one trained candidate. Read only."""
    home = new_home()
    return home, home.train()


@pytest.fixture(scope="session")
def prepared(new_home: Callable[..., Home]) -> tuple[Home, list[str]]:
    """A home with three registered candidates, to be copied."""
    home = new_home(make_world(devices=24, per_device=8), catboost={"iterations": 5})
    files = [
        config_file(home.settings.home / f"files{seed}", seed=seed, catboost={"iterations": 5}) for seed in (1, 2, 3)
    ]
    tags = [home.train(config=file).tag for file in files]
    home.engine.dispose()
    return home, tags


@pytest.fixture
def home(prepared: tuple[Home, list[str]], tmp_path: Path) -> Home:
    shutil.copytree(prepared[0].settings.home, tmp_path, dirs_exist_ok=True)
    settings = load_settings(home=tmp_path)
    return replace(prepared[0], settings=settings, engine=open_database(settings.database))


@pytest.fixture
def tags(prepared: tuple[Home, list[str]]) -> list[str]:
    return prepared[1]
