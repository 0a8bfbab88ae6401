"""One real server process for the tests that only ask it things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bentos.launch import ServerHandle, start_server
from parked.settings import Settings
from tests.bentos.doors import Make, World
from tests.bentos.fakes import FakeSource, publish, settings_in, until, write_model

collect_ignore = ["moved_server.py"]
"""It moves the clock of whoever imports it."""

FAKE_SERVICE = "tests.bentos.fake_server:WhereYouParked"

CONFIRMATION = {
    "device_id": "phone-parked",
    "at": "2026-03-01T07:00:00+00:00",
    "lat": 48.1,
    "lon": 11.5,
    "verdict": "parked",
}


@dataclass(frozen=True)
class Served:
    """A home, the real BentoML server over fake stores on it, and what it said while nothing was published."""

    settings: Settings
    server: ServerHandle
    before_publishing: dict[str, httpx.Response]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = settings_in(tmp_path_factory.mktemp("served"), pointer_poll_s=0.05)
    with start_server(settings, port=0, service=FAKE_SERVICE) as server, httpx.Client(base_url=server.url) as client:
        until(lambda: "no model is published" in server.readiness()[1], 60)
        before = {
            "livez": client.get("/livez"),
            "readyz": client.get("/readyz"),
            "where_parked": client.post("/where_parked", json={"device_id": "phone-parked"}),
            "model": client.get("/model"),
            "confirm": _confirmed_early(client),
        }
        publish(settings, write_model(settings, "v1"), 1)
        server.wait_ready(60)
        yield Served(settings, server, before)


def _confirmed_early(client: httpx.Client) -> httpx.Response:
    """Once the database is open: on a loaded machine that takes longer than the first of them waits."""
    replies: list[httpx.Response] = []

    def told() -> bool:
        replies.append(client.post("/confirm", json=CONFIRMATION | {"device_id": "phone-early"}))
        return replies[-1].status_code != 503

    until(told)
    return replies[-1]


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.server.url, timeout=10) as client:
        yield client


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda source=None, **config: World(tmp_path, source or FakeSource(), **config)
