"""A challenger against the champion: what the gate says, and what becomes of it."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from parked.errors import ConflictError
from parked.pointer import read_pointer
from parked.worker_status import WorkerStatus, process_started, workers_dir, write_status
from tests.training.conftest import CLOCK, Home, config_file
from tests.training.world import AS_OF, make_world
from training import registry
from training.challenge import decide_and_publish, judge

WEAK = {"iterations": 2, "depth": 1, "rsm": 1.0}
"""Little learnt, but from all features: of a random half, two stumps may miss the one that tells."""


@pytest.fixture
def home(new_home: Callable[..., Home]) -> Home:
    return new_home(make_world(devices=36, per_device=14), catboost={"iterations": 20})


def test_the_first_model_goes_through_the_gate_and_is_published(home):
    model = home.train()
    outcome = decide_and_publish(home.settings, home.engine, CLOCK, model.tag, "ann", "first")
    assert outcome.published
    assert outcome.previous is None
    pointer = read_pointer(home.settings.pointer_file)
    assert pointer is not None
    assert (pointer.model_tag, pointer.generation) == (model.tag, outcome.generation)
    assert "gate: no champion yet" in registry.show(home.engine, model.tag).history[-1].why
    with pytest.raises(ConflictError, match="already champion"):
        decide_and_publish(home.settings, home.engine, CLOCK, model.tag, "ann", "again")


def test_what_the_gate_lets_through_a_running_worker_may_still_refuse(home):
    model = home.train()
    me = os.getpid()
    refusal = WorkerStatus(
        pid=me,
        started=process_started(me),
        generation=0,
        model_tag=None,
        at=AS_OF,
        refused="it is damaged here",
        refused_generation=1,
    )
    write_status(workers_dir(home.settings), refusal)
    outcome = decide_and_publish(home.settings, home.engine, CLOCK, model.tag, "ann", "first")
    assert outcome.decision.publish
    assert (outcome.published, outcome.generation) == (False, None)
    assert outcome.undone is not None
    assert f"worker {me} refuses it: it is damaged here" in outcome.undone
    assert read_pointer(home.settings.pointer_file) is None
    assert registry.show(home.engine, model.tag).state == "rejected"


def test_a_worse_challenger_is_rejected_and_a_better_one_published(home, tmp_path):
    weak = home.train(config=config_file(tmp_path / "weak", catboost=WEAK))
    good = home.train()
    assert decide_and_publish(home.settings, home.engine, CLOCK, weak.tag, "ann", "a start").published
    better = decide_and_publish(home.settings, home.engine, CLOCK, good.tag, "ann", "more trees")
    assert better.published, better.decision
    assert better.previous == weak.tag
    assert better.decision.all_rows is not None
    assert better.decision.all_rows.log_loss_interval.high < 0
    worse = home.train(config=config_file(tmp_path / "worse", catboost={**WEAK, "iterations": 3}))
    refused = decide_and_publish(home.settings, home.engine, CLOCK, worse.tag, "ann", "try")
    assert not refused.published
    assert registry.show(home.engine, worse.tag).state == "rejected"
    assert registry.show(home.engine, worse.tag).history[-1].why.startswith("gate: ")
    assert registry.champion(home.engine, "v1") == good.tag


def test_a_changed_world_is_learned_and_the_challenger_replaces_the_champion(new_home: Callable[..., Home], tmp_path):
    old = new_home(make_world(devices=36, per_device=14, seed=1), catboost={"iterations": 20})
    champion = old.train()
    assert decide_and_publish(old.settings, old.engine, CLOCK, champion.tag, "loop", "first").published
    changed = make_world(devices=36, per_device=14, seed=2, flip=True)
    changed.write(old.settings.home)
    old.world = changed
    challenger = old.train()
    assert decide_and_publish(old.settings, old.engine, CLOCK, challenger.tag, "loop", "drift").published


def test_a_champion_that_eats_other_features_is_scored_on_its_own(home, tmp_path):
    champion = home.train()
    decide_and_publish(home.settings, home.engine, CLOCK, champion.tag, "ann", "first")
    lean = home.train(config=config_file(tmp_path / "lean", exclude=["age_s"], catboost={"iterations": 20}))
    asked: list[str] = []
    sources = home.world.sources()

    def counting(entities, service):
        asked.append(service)
        return sources.retrieve(entities, service)

    decision, rival = judge(home.settings, home.engine, lean.tag, replace(sources, retrieve=counting))
    assert rival == champion.tag
    assert asked == ["parking_v1"]
    assert decision.all_rows is not None
    assert abs(decision.all_rows.log_loss) < 0.05
