"""A worker that cannot answer yet lets in nobody while another can."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bentos import runtime
from bentos.config import ServingConfig
from bentos.connections.opening import LOOK_S, Opening
from bentos.launch import start_server
from bentos.metrics.prometheus import Metrics
from bentos.ports import FeatureSource
from bentos.runtime import Runtime
from bentos.web.gatekeeper import OPEN, Gatekeeper, Refreshing, build_gatekeeper
from parked.clock import fixed_clock
from parked.gatekeeper import UNREAD
from parked.settings import Settings
from parked.worker_status import WorkerStatus, process_started, workers_dir, write_status
from tests.bentos.fakes import NOW, FakeLabels, FakeSource, answering, publish, settings_in, until, write_model
from tests.bentos.load import Load

SLOW_SERVICE = "tests.bentos.slow_server:WhereYouParked"


def test_a_killed_workers_successor_turns_nobody_away_whom_its_sibling_answers(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)
    with start_server(settings, port=0, workers=2, service=SLOW_SERVICE) as server:
        server.wait_ready(60)
        with Load(server.url, keeping=2, renewing=4) as load:
            until(lambda: len(answering(settings)) == 2, 60)
            victim = min(answering(settings))
            os.kill(victim, signal.SIGKILL)
            until(lambda: len(answering(settings) - {victim}) == 2, 60)
            answered = load.seen.answered
            until(lambda: load.seen.answered > answered + 50)
        assert set(load.seen.statuses) == {200}
        assert load.seen.refused == 0


def worker(
    settings: Settings, source: Callable[[], FeatureSource] = FakeSource, gatekeeper: Gatekeeper = OPEN
) -> Runtime:
    return Runtime(
        settings,
        ServingConfig(),
        clock=fixed_clock(NOW),
        metrics=Metrics(CollectorRegistry()),
        open_source=source,
        labels=FakeLabels(),
        gatekeeper=gatekeeper,
    )


def sibling(settings: Settings, pid: int, tag: str | None) -> None:
    told = {"pid": pid, "started": process_started(pid), "generation": 1, "model_tag": tag, "at": NOW}
    write_status(workers_dir(settings), WorkerStatus.model_validate(told))


@pytest.fixture
def other() -> object:
    child = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_worker_stands_back_until_it_has_tried_and_then_only_for_a_sibling_that_can_answer(
    tmp_path: Path, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    one = worker(settings)
    assert one.stands_back()
    one.tick()
    assert not one.stands_back()  # nothing is published, and nobody else can say so
    sibling(settings, other, "parking:v1")
    assert not one.stands_back()  # another server's
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert one.stands_back()
    sibling(settings, other, None)
    assert not one.stands_back()
    sibling(settings, other, "parking:v1")
    publish(settings, write_model(settings, "v1"), 1)
    one.tick()
    assert not one.stands_back()


def test_nobody_stands_back_for_ever_where_the_store_is_stuck_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker(settings_in(tmp_path))
    assert one.stands_back()
    monkeypatch.setattr(runtime, "_STUCK_S", 0.0)
    assert not one.stands_back()


def test_two_workers_that_cannot_read_the_tokens_do_not_stand_back_for_each_other_for_ever(
    tmp_path: Path, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    publish(settings, write_model(settings, "v1"), 1)
    database = tmp_path / "ops.db"
    database.write_bytes(b"no database, and long enough to be seen as none" * 100)
    locked = build_gatekeeper(
        Settings(home=tmp_path, database_url=f"sqlite:///{database}"), ServingConfig(auth="tokens"), fixed_clock(NOW)
    )
    one = worker(settings, gatekeeper=locked)
    Refreshing(locked)()
    one.tick()
    assert one.readiness().reasons == (UNREAD,)
    monkeypatch.setattr(os, "getppid", os.getpid)
    sibling(settings, other, "parking:v1")  # it has the model, as this one, and as this one no tokens
    assert one.stands_back()
    monkeypatch.setattr(runtime, "_STUCK_S", 0.0)
    assert not one.stands_back()


def test_a_start_is_said_to_be_over_when_nothing_holds_it_back_or_it_is_to_end() -> None:
    async def life() -> None:
        for ends in (False, True):
            back, said = [True], []

            async def send(message: object, said: list[object] = said) -> None:
                said.append(message)

            opening = Opening(lambda back=back: back[0])  # type: ignore[misc]
            held = asyncio.create_task(opening.held(send)({"type": "lifespan.startup.complete"}))
            await asyncio.sleep(3 * LOOK_S)
            assert said == []
            if ends:
                opening.end()
            else:
                back[0] = False
            await held
            assert said == [{"type": "lifespan.startup.complete"}]
            await Opening(lambda: True).held(send)({"type": "lifespan.startup.failed"})
            assert len(said) == 2

    asyncio.run(life())
