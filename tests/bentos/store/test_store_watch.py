"""A worker whose online store falls silent says so, goes on watching for models, and is ready again by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bentos.config import ServingConfig
from bentos.metrics.prometheus import Metrics
from bentos.ports import DeviceFacts, NotReadyError, Readiness
from bentos.runtime import Runtime
from parked.clock import fixed_clock
from parked.worker_status import live_workers, workers_dir
from tests.bentos.fakes import NOW, FakeLabels, FakeSource, publish, settings_in, until, write_model

SILENT = "the online store does not answer"
WAITS = "it is loaded, and answers once the online store does and it passed its trial there"


class MoodySource(FakeSource):
    """A store that answers, fails, or keeps who asks waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0

    def devices(self, device_ids: Sequence[str]) -> list[DeviceFacts | None]:
        self.asked += 1
        self.answers.wait(30)
        if self.fails is not None:
            raise self.fails
        return super().devices(device_ids)


class World:
    def __init__(self, home: Path) -> None:
        self.settings = settings_in(home)
        self.source = MoodySource()
        publish(self.settings, write_model(self.settings, "v1"), 1)
        self.runtime = Runtime(
            self.settings,
            ServingConfig(store_timeout_s=0.2),
            clock=fixed_clock(NOW),
            metrics=Metrics(CollectorRegistry()),
            open_source=lambda: self.source,
            labels=FakeLabels(),
        )
        self.runtime.tick()

    def seen(self) -> Readiness:
        self.runtime.tick()
        return self.runtime.readiness()

    @property
    def serving(self) -> str:
        return self.runtime.application.model().model.tag


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    assert world.runtime.readiness() == Readiness(True, ())
    yield world
    world.source.answers.set()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotReadyError(SILENT), SILENT),
        (OSError("database is locked"), f"{SILENT}: OSError: database is locked"),
    ],
)
def test_a_store_that_fails_after_it_was_opened_makes_the_worker_unready_until_it_answers(
    world: World, error: Exception, said: str
) -> None:
    world.source.fails = error
    assert world.seen() == Readiness(False, (said,))
    world.source.fails = None
    assert world.seen() == Readiness(True, ())


def test_a_stuck_store_is_asked_once_and_holds_up_no_tick(world: World) -> None:
    world.source.answers.clear()
    before = world.source.asked
    for _ in range(5):
        assert world.seen() == Readiness(False, (SILENT,))
    assert world.source.asked == before + 1
    world.source.answers.set()
    until(lambda: world.seen().ready)


def test_a_question_that_waits_behind_others_proves_nothing_while_these_are_answered(world: World) -> None:
    world.source.answers.clear()
    world.source.fails = NotReadyError(SILENT)
    over = threading.Event()

    def others() -> None:
        while not over.wait(0.01):
            world.source.answered += 1

    reading = threading.Thread(target=others)
    reading.start()
    for _ in range(100):
        assert world.seen() == Readiness(True, ())
    over.set()
    reading.join()
    until(lambda: world.seen() == Readiness(False, (SILENT,)))


def test_a_model_published_while_the_store_is_stuck_waits_for_its_trial(world: World) -> None:
    world.source.answers.clear()
    publish(world.settings, write_model(world.settings, "v2"), 2)
    v2 = f"model parking:v2, generation 2: {WAITS}"
    assert world.seen() == Readiness(False, (SILENT, v2))
    assert world.serving == "parking:v1"
    (told,) = live_workers(workers_dir(world.settings))
    assert (told.generation, told.refused, told.waits) == (1, None, v2)
    world.source.answers.set()
    until(lambda: world.seen() == Readiness(True, ()))
    assert world.serving == "parking:v2"
