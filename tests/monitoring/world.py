"""A home with a real champion (CatBoost, registry, pointer) and a prediction log written as the server writes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Engine

from monitoring.reference import champion_reference
from monitoring.windows import Window
from parked.clock import Clock, fixed_clock, to_us
from parked.files import write_table
from parked.opsdb.engine import open_database
from parked.opsdb.labels import add_coverage, add_labels
from parked.predictions import features_json
from parked.schemas import PREDICTIONS, TIME
from parked.settings import Settings, load_settings
from tests.training.conftest import config_file
from tests.training.world import START, World, make_world
from training.challenge import decide_and_publish
from training.model_store import load_model
from training.pipeline import train_candidate

TRAINED = START + timedelta(days=14)
WEEK = Window(TRAINED, TRAINED + timedelta(days=7))
AFTER = WEEK.end + timedelta(days=1)
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


@dataclass
class Home:
    settings: Settings
    engine: Engine
    world: World
    tag: str
    config: Path

    @property
    def clock(self) -> Clock:
        return fixed_clock(AFTER)

    def copy(self, folder: Path) -> Home:
        shutil.copytree(self.settings.home, folder, dirs_exist_ok=True)
        settings = load_settings(home=folder)
        return Home(settings, open_database(settings.database), self.world, self.tag, self.config)

    def serve(self, window: Window = WEEK, change: Change | None = None, *, seed: int = 0, per_phone: int = 12) -> int:
        """Every phone asks; logged with the champion's own probability. Returns the rows."""
        rng = np.random.default_rng(seed)
        asked = questions(self.world, window, rng, per_phone)
        fed = self.world.retrieve(asked, "parking_v1").sort_values(["device_id", "candidate_id"], ignore_index=True)
        if change is not None:
            fed = change(fed, rng)
        stored = load_model(self.settings, self.tag)
        fed = typed(fed, stored.card.features, stored.card.categorical)
        probability = stored.fit.score(fed)
        name = f"{to_us(window.start)}-{seed}"
        write_log(self.settings, fed, stored.card.features, probability, stored.tag, name=name)
        return len(fed)


def questions(world: World, window: Window, rng: np.random.Generator, per_phone: int) -> pd.DataFrame:
    """Every phone asks at random moments; each answer weighs its three newest known candidates."""
    first = world.snapshots.drop_duplicates("candidate_id", keep="first").sort_values("left_at_us")
    rows = []
    for device, known in first.groupby("device_id"):
        for at in rng.integers(*window.bounds_us, per_phone):
            newest = known[known["available_at"] <= at].tail(3)
            rows += [
                (device, c, cell, at, f"{device}-{at}")
                for c, cell in zip(newest["candidate_id"], newest["cell"], strict=True)
            ]
    return pd.DataFrame(rows, columns=["device_id", "candidate_id", "cell", "asked_at_us", "answer_id"])


def typed(fed: pd.DataFrame, features: list[str], categorical: list[str]) -> pd.DataFrame:
    values = {
        n: fed[n].astype(object).where(fed[n].notna(), "").astype(str) if n in categorical else fed[n].astype("float64")
        for n in features
    }
    return fed.assign(**values)


def write_log(
    settings: Settings, fed: pd.DataFrame, features: list[str], probability: np.ndarray, tag: str, *, name: str
) -> None:
    records = fed[features].to_dict("records")
    at = pa.array(fed["asked_at_us"], pa.int64()).cast(TIME)
    n = len(fed)
    columns = {
        "answer_id": fed["answer_id"],
        "answered_at": at,
        "asked_at": at,
        "device_id": fed["device_id"],
        "candidate_id": fed["candidate_id"],
        "rank": [0] * n,
        "probability": probability,
        "state": ["parked" if p >= 0.5 else "unknown" for p in probability],
        "model_tag": [tag] * n,
        "generation": [1] * n,
        "rules_version": ["v1"] * n,
        "features": [features_json(record) for record in records],
    }
    arrays = [
        c if isinstance(c, pa.Array) else pa.array(c, field.type)
        for c, field in zip((columns[f.name] for f in PREDICTIONS), PREDICTIONS, strict=True)
    ]
    write_table(settings.predictions_dir / "date=x" / f"{name}.parquet", pa.table(arrays, schema=PREDICTIONS))


def make_home(folder: Path, *, devices: int = 60) -> Home:
    """Train on two of three weeks, publish; labels of all three are in the database, known an hour after the fact."""
    world = make_world(devices=devices, per_device=36, noise=1.0)
    world.write(folder)
    settings = load_settings(home=folder)
    engine = open_database(settings.database)
    add_labels(engine, world.labels)
    add_coverage(engine, world.coverage)
    clock = fixed_clock(TRAINED)
    config = config_file(folder.parent / f"{folder.name}-files", exclude=[])
    trained = train_candidate(settings, engine, clock, config=config, as_of=TRAINED, sources=world.sources())
    outcome = decide_and_publish(settings, engine, clock, trained.tag, "test", "first", sources=world.sources())
    assert outcome.published, outcome.decision.reasons
    champion_reference(settings, world.sources())  # looked up and kept, as a first run would
    return Home(settings, engine, world, trained.tag, config)
