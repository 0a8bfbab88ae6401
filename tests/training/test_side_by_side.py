"""Two rules versions in one home: each has its champion, its history and its pointer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from parked.errors import ConflictError, NotFoundError
from parked.pointer import published
from parked.take_up import TakeUp
from tests.training.conftest import CLOCK, Home, config_file
from tests.training.world import World, make_world
from training import flip, publishing, registry
from training.challenge import decide_and_publish, judge
from training.pipeline import evaluate_model

Sides = tuple[Home, list[str], Home, list[str]]


def refuse(generation: int) -> TakeUp:
    return TakeUp(1, f"worker 7 refuses it: {generation}")


@pytest.fixture
def sides(home: Home, tags: list[str], tmp_path: Path) -> Sides:
    """A home with three candidates of v1; the same home as v2 sees it, with two of its own."""
    settings = home.settings.model_copy(update={"rules": "v2"})
    world = made_by("v2")
    world.write(settings.rules_dir)
    second = replace(home, settings=settings, world=world)
    files = [config_file(tmp_path / f"v2-{seed}", seed=seed, catboost={"iterations": 5}) for seed in (1, 2)]
    return home, tags, second, [second.train(config=file).tag for file in files]


def made_by(version: str) -> World:
    world = make_world(devices=24, per_device=8, seed=2)
    return replace(world, snapshots=world.snapshots.assign(built_by=f"{version}/abc"))


def publish(home: Home, tag: str) -> int:
    return flip.publish(home.settings, home.engine, tag, "ann", "why", CLOCK).generation


def pointed(home: Home) -> str | None:
    pointer = published(home.settings)
    return None if pointer is None else pointer.model_tag


def test_each_version_has_its_champion_and_rolls_back_its_own(sides: Sides) -> None:
    first, (a, b, _), second, (x, y) = sides
    generations = [publish(*each) for each in ((first, a), (second, x), (first, b), (second, y))]
    assert generations == [1, 2, 3, 4]
    assert (pointed(first), pointed(second)) == (b, y)
    assert {model.tag for model in registry.models(first.engine) if model.state == "champion"} == {b, y}
    rolled = flip.rollback(first.settings, first.engine, "ann", "worse", CLOCK)
    assert (rolled.generation, pointed(first), pointed(second)) == (5, a, y)
    flip.rollback(second.settings, second.engine, "ann", "worse", CLOCK)
    assert (pointed(first), pointed(second)) == (a, x)
    with pytest.raises(NotFoundError, match="no earlier champion"):
        flip.rollback(second.settings, second.engine, "ann", "again", CLOCK)


def test_a_model_of_one_version_is_not_published_for_another_in_one_line_and_nothing_changes(sides: Sides) -> None:
    first, (a, *_), second, (x, _) = sides
    publish(first, a)
    before = registry.show(first.engine, x)
    said = f"model {x} was trained on facts of rules v2, and this publishes for v1; say --rules v2"
    for refused in (
        lambda: publish(first, x),
        lambda: judge(first.settings, first.engine, x),
        lambda: decide_and_publish(first.settings, first.engine, CLOCK, x, "ann", "why"),
    ):
        with pytest.raises(ConflictError, match=said):
            refused()
    assert registry.show(first.engine, x) == before
    assert (pointed(first), pointed(second)) == (a, None)


def test_latest_and_the_default_of_evaluate_are_of_the_version_in_use(sides: Sides) -> None:
    first, tags, second, its = sides
    assert registry.resolve(first.engine, "latest", "v1") in tags
    assert registry.resolve(first.engine, "latest", "v2") in its
    with pytest.raises(NotFoundError, match="no model is registered for rules v3"):
        registry.resolve(first.engine, "latest", "v3")
    publish(first, tags[0])
    publish(second, its[0])
    assert evaluate_model(second.settings, second.engine)[0].model == its[0]
    assert evaluate_model(first.settings, first.engine)[0].model == tags[0]


def test_the_gate_compares_with_the_champion_of_the_same_version(sides: Sides) -> None:
    first, (a, *_), second, (x, y) = sides
    publish(first, a)
    assert judge(second.settings, second.engine, x)[1] is None
    publish(second, x)
    assert judge(second.settings, second.engine, y)[1] == x


def test_what_the_servers_of_one_version_refuse_is_undone_there_alone(sides: Sides) -> None:
    first, (a, *_), second, (x, y) = sides
    publish(first, a)

    def meanwhile(generation: int) -> TakeUp:
        if registry.show(first.engine, sides[1][1]).state != "champion":
            publish(first, sides[1][1])  # the other version's publish comes between a publish and its undoing
        return refuse(generation)

    done = publishing.publish(second.settings, second.engine, x, "ann", "first", CLOCK, wait=meanwhile)
    assert done.undone is not None
    assert done.undone.endswith("; nothing is published now")
    assert (pointed(first), pointed(second)) == (sides[1][1], None)
    publish(second, y)
    assert pointed(second) == y


def test_a_pointer_that_a_crash_kept_behind_is_brought_up_to_its_own_versions_history(sides: Sides) -> None:
    first, (a, b, _), second, (x, _) = sides
    publish(first, a)
    publish(second, x)
    second.settings.pointer_file.unlink()
    publish(first, b)
    recovered = flip.recover(second.settings, second.engine)
    assert recovered is not None
    assert (recovered.model_tag, pointed(second), pointed(first)) == (x, x, b)


def test_snapshots_of_other_rules_than_those_in_use_train_nothing(new_home: Callable[..., Home]) -> None:
    home = new_home(made_by("mine"))
    with pytest.raises(ConflictError, match="snapshots of rules mine, and rules v1 are in use"):
        home.train()
    assert registry.models(home.engine) == []
