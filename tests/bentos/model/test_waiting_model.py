"""A model published where no store can be asked is loaded and shown, and serves once store and trial allow it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from bentos.config import ServingConfig
from bentos.launch import start_server
from bentos.messages import ModelAnswer, WhereParkedRequest
from bentos.metrics.prometheus import Metrics
from bentos.ports import CandidateKey, FeatureSource, NotReadyError, Values
from bentos.runtime import Runtime
from parked.clock import fixed_clock
from parked.errors import NotFoundError
from parked.pointer import Pointer
from parked.take_up import await_generation
from parked.worker_status import WorkerStatus, live_workers, workers_dir
from tests.bentos.fakes import NOW, FakeLabels, FakeSource, publish, settings_in, until, write_model
from tests.bentos.store.test_store_watch import WAITS

ABSENT = "no online store; run `parked features build`"


class OddSource(FakeSource):
    """Knows a phone of which it says a text where the models want a number, once told to."""

    odd: object = None

    def sample(self, asked_at_us: int) -> list[CandidateKey]:
        return [CandidateKey("phone-odd", "odd", "", asked_at_us)]

    def values(self, service: str, names: Sequence[str], keys: Sequence[CandidateKey]) -> list[Values]:
        if keys[0].candidate_id == "odd" and self.odd is not None:
            if isinstance(self.odd, Exception):
                raise self.odd
            return [[self.odd] * len(names)]
        return super().values(service, names, keys)


class World:
    """A worker; its store is absent until ``source`` is there."""

    def __init__(self, home: Path, seed: Pointer | None = None) -> None:
        self.settings = settings_in(home)
        self.source: OddSource | None = None
        self.metrics = Metrics(CollectorRegistry())
        self.runtime = Runtime(
            self.settings,
            ServingConfig(),
            clock=fixed_clock(NOW),
            metrics=self.metrics,
            open_source=self.open,
            labels=FakeLabels(),
            seed=seed,
        )

    def open(self) -> FeatureSource:
        if self.source is None:
            raise NotFoundError("no online store", mend="run `parked features build`")
        return self.source

    def tick(self) -> tuple[bool, list[str]]:
        self.runtime.tick()
        readiness = self.runtime.readiness()
        return readiness.ready, list(readiness.reasons)

    def ask(self) -> dict[str, object]:
        return self.runtime.application.where_parked(WhereParkedRequest(device_id="phone-parked"))

    @property
    def model(self) -> ModelAnswer:
        return self.runtime.application.model()

    @property
    def status(self) -> WorkerStatus:
        (told,) = live_workers(workers_dir(self.settings))
        return told

    @property
    def refusals(self) -> float:
        return self.metrics.swap_failures._value.get()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_before_the_first_look_nobody_says_that_nothing_is_published(world: World) -> None:
    publish(world.settings, write_model(world.settings, "v1"), 1)
    assert world.runtime.readiness().reasons == (
        "the feature store is being opened",
        "the published model is being loaded",
    )


def test_without_a_store_the_model_is_loaded_shown_and_answers_nothing(world: World) -> None:
    publish(world.settings, write_model(world.settings, "v1"), 1)
    waits = f"model parking:v1, generation 1: {WAITS}"
    assert world.tick() == (False, [ABSENT, waits])
    assert (world.model.model.tag, world.model.model.generation, world.model.serving) == ("parking:v1", 1, False)
    with pytest.raises(NotReadyError, match=r"no online store.*parking:v1, generation 1"):
        world.ask()
    assert (world.status.generation, world.status.model_tag, world.status.waits) == (0, None, waits)
    world.source = OddSource()
    assert world.tick() == (True, [])
    assert world.model.serving
    assert world.ask()["model"] == {"tag": "parking:v1", "generation": 1}
    assert (world.status.generation, world.status.waits) == (1, None)
    assert world.refusals == 0


def test_without_a_store_a_publish_is_not_taken_for_served_and_is_told_why(world: World) -> None:
    publish(world.settings, write_model(world.settings, "v1"), 1)
    world.tick()
    taken = await_generation(workers_dir(world.settings), 1, timeout_s=0)
    assert taken.workers == 1
    assert taken.trouble is not None
    assert taken.trouble.endswith(f"did not take it up within 0 s: model parking:v1, generation 1: {WAITS}")


def test_without_a_store_a_damaged_model_is_refused_at_once(world: World) -> None:
    tag = write_model(world.settings, "v1")
    (world.settings.bentoml_home / "models" / "parking" / "v1" / "model.cbm").write_bytes(b"CBM1 half")
    publish(world.settings, tag, 1)
    assert world.tick() == (False, [ABSENT, "model parking:v1: damaged model.cbm"])
    assert (world.status.refused_generation, world.refusals) == (1, 1)


def test_a_waiting_model_is_loaded_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = Runtime._load
    monkeypatch.setattr(Runtime, "_load", lambda self, tag: loads.append(tag) or load(self, tag))
    again = World(world.settings.home)
    publish(world.settings, write_model(world.settings, "v1"), 1)
    again.tick()
    again.tick()
    again.source = OddSource()
    assert again.tick() == (True, [])
    assert loads == ["parking:v1"]


@pytest.mark.parametrize("serving", [True, False])
def test_a_model_that_fails_on_a_real_row_is_withdrawn_and_the_old_one_serves_on(world: World, serving: bool) -> None:
    """The row that is known of nothing passes; a phone's own does not."""
    if serving:
        world.source = OddSource()
        publish(world.settings, write_model(world.settings, "v1"), 1)
        assert world.tick() == (True, [])
        world.source.odd = "a text"
    publish(world.settings, write_model(world.settings, "v2"), 2)
    if not serving:
        world.tick()
        assert world.model.model.tag == "parking:v2"
        world.source = OddSource()
        world.source.odd = "a text"
    ready, (why,) = world.tick()
    assert ready is serving
    assert "parking:v2 is str, the model wants a number" in why
    assert (world.status.refused_generation, world.status.waits, world.refusals) == (2, None, 1)
    if serving:
        assert (world.model.model.tag, world.model.serving) == ("parking:v1", True)
        assert world.ask()["model"] == {"tag": "parking:v1", "generation": 1}
    else:
        with pytest.raises(NotReadyError, match="the model wants a number"):
            world.ask()


def test_a_store_that_falls_silent_during_the_trial_refuses_nothing(world: World) -> None:
    world.source = OddSource()
    publish(world.settings, write_model(world.settings, "v1"), 1)
    world.tick()
    world.source.odd = OSError("connection reset")
    publish(world.settings, write_model(world.settings, "v2"), 2)
    devices, world.source.devices = world.source.devices, _silent_from_the_second_time(world.source)  # type: ignore[method-assign]
    world.tick()
    assert (world.refusals, world.status.refused, world.status.generation) == (0, None, 1)
    assert world.status.waits is not None
    world.source.odd, world.source.devices = None, devices  # type: ignore[method-assign]
    assert world.tick() == (True, [])
    assert world.status.generation == 2


def _silent_from_the_second_time(source: FakeSource) -> object:
    """``look`` and the trial ask it first; who looks again then is not answered."""
    asked = iter([True, True])
    answers = source.devices

    def devices(device_ids: Sequence[str]) -> object:
        if next(asked, False):
            return answers(device_ids)
        raise OSError("connection refused")

    return devices


@pytest.mark.parametrize("there", [True, False])
def test_a_bentos_seed_is_shown_and_gives_way_to_the_first_publication_of_its_new_home(
    tmp_path: Path, there: bool
) -> None:
    """It was the fifth publication where the bento was built; here nothing was published yet."""
    elsewhere = settings_in(tmp_path / "elsewhere")
    world = World(tmp_path / "home", publish(elsewhere, write_model(settings_in(tmp_path / "home"), "v1"), 5))
    world.source = OddSource() if there else None
    assert world.tick()[0] is there
    assert (world.model.model.tag, world.model.serving) == ("parking:v1", there)
    assert world.status.generation == 0, "no publication of this home"
    publish(world.settings, write_model(world.settings, "v2"), 1)
    world.tick()
    assert (world.model.model.tag, world.model.serving, world.status.refused) == ("parking:v2", there, None)
    assert world.status.generation == int(there)


def test_a_server_without_a_store_shows_its_model_and_is_ready_when_the_store_comes(tmp_path: Path) -> None:
    """The real server over the real embedded store, which is built while it runs."""
    from ingestion.facts.build import build_facts
    from ingestion.facts.rules import load_rules
    from ingestion.features.build import build_features
    from tests.bentos.world import drives, train_real

    settings = settings_in(tmp_path, pointer_poll_s=0.05)
    fixes = drives(devices=2, days=2)
    publish(settings, train_real(settings, fixes), 1)
    with start_server(settings, port=0) as server, httpx.Client(base_url=server.url, timeout=10) as client:
        until(lambda: "generation 1" in server.readiness()[1], 60)
        ready = client.get("/readyz")
        shown = client.get("/model").json()
        refused = client.post("/where_parked", json={"device_id": "phone-0"})
        (status,) = live_workers(workers_dir(settings))
        assert (ready.status_code, len(ready.json()["reasons"])) == (503, 2)
        assert "no online store" in ready.json()["reasons"][0]
        assert (shown["model"], shown["serving"]) == ({"tag": "parking:v1", "generation": 1}, False)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert "no model is published" not in refused.text
        assert status.generation == 0
        build_features(settings, build_facts(fixes, None, load_rules(None)))
        server.wait_ready(30)
        assert client.get("/model").json()["serving"] is True
        answer = client.post("/where_parked", json={"device_id": "phone-0"}).json()
        assert answer["model"] == {"tag": "parking:v1", "generation": 1}
        until(lambda: live_workers(workers_dir(settings))[0].generation == 1)
