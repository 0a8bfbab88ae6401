from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bentos.model.champion import Champion, ChampionWatch, Poller
from bentos.model.scorer import Scorer, load_scorer, model_dir_of
from parked.errors import InternalError
from parked.pointer import read_pointer
from tests.bentos.fakes import publish, settings_in, write_model


class World:
    """A home, a watch on it, and what it reported."""

    def __init__(self, home: Path) -> None:
        self.settings = settings_in(home)
        self.swaps: list[Champion] = []
        self.refusals: list[str] = []
        self.unfit: set[str] = set()
        self.watch = ChampionWatch(
            lambda: read_pointer(self.settings.pointer_file),
            lambda tag: load_scorer(model_dir_of(self.settings, tag), tag),
            trial=self.trial,
            on_swap=self.swaps.append,
            on_refusal=self.refusals.append,
        )

    def trial(self, scorer: Scorer) -> None:
        if scorer.tag in self.unfit:
            raise InternalError(f"{scorer.tag} is unfit")

    @property
    def serving(self) -> str | None:
        return self.watch.current.scorer.tag if self.watch.current else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def serving(world: World) -> World:
    publish(world.settings, write_model(world.settings, "v1"), 1)
    assert world.watch.poll()
    return world


def test_before_anything_is_published_there_is_no_champion_and_no_trouble(world: World) -> None:
    assert not world.watch.poll()
    assert (world.watch.current, world.watch.trouble) == (None, None)


def test_a_publication_takes_over_once(serving: World) -> None:
    assert not serving.watch.poll()
    assert serving.serving == "parking:v1"
    publish(serving.settings, write_model(serving.settings, "v2"), 2)
    assert serving.watch.poll()
    assert serving.serving == "parking:v2"
    assert [c.pointer.generation for c in serving.swaps] == [1, 2]


def test_a_rollback_is_a_new_generation_of_an_old_model(serving: World) -> None:
    publish(serving.settings, write_model(serving.settings, "v2"), 2)
    serving.watch.poll()
    publish(serving.settings, "parking:v1", 3)
    assert serving.watch.poll()
    assert serving.serving == "parking:v1"


def _garbage(world: World) -> None:
    world.settings.pointer_file.write_text('{"generation": 2, "model_')


def _missing_model(world: World) -> None:
    publish(world.settings, "parking:never-built", 2)


def _damaged_model(world: World) -> None:
    tag = write_model(world.settings, "v2")
    (model_dir_of(world.settings, tag) / "model.cbm").write_bytes(b"CBM1 half")
    publish(world.settings, tag, 2)


def _unfit_model(world: World) -> None:
    world.unfit.add("parking:v2")
    publish(world.settings, write_model(world.settings, "v2"), 2)


def _older_generation(world: World) -> None:
    publish(world.settings, write_model(world.settings, "v2"), 0)


def _other_rules(world: World) -> None:
    publish(world.settings, write_model(world.settings, "v2"), 2, rules_version="v9")


def _gone(world: World) -> None:
    world.settings.pointer_file.unlink()


@pytest.mark.parametrize(
    "damage", [_garbage, _missing_model, _damaged_model, _unfit_model, _older_generation, _other_rules, _gone]
)
def test_a_bad_publication_is_refused_once_and_the_old_model_serves_on(serving: World, damage: object) -> None:
    damage(serving)  # type: ignore[operator]
    assert not serving.watch.poll()
    assert not serving.watch.poll()
    assert serving.serving == "parking:v1"
    assert len(serving.refusals) == 1
    assert serving.watch.trouble == serving.refusals[0]


def test_a_model_that_arrives_late_is_taken_when_it_is_there(serving: World) -> None:
    publish(serving.settings, "parking:v2", 2)
    assert not serving.watch.poll()
    write_model(serving.settings, "v2")
    assert serving.watch.poll()
    assert serving.watch.trouble is None


def test_the_poller_survives_a_tick_that_raises() -> None:
    ticks = 0
    third = threading.Event()

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 3:
            third.set()
        raise RuntimeError("a surprise")

    poller = Poller(tick, 0.001)
    poller.start()
    assert third.wait(10)
    poller.stop()
