"""One real server process for the tests that only ask it things."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from bentos.launch import ServerHandle, start_server
from parked.settings import Settings
from tests.bentos.fakes import publish, settings_in, write_model

FAKE_SERVICE = "tests.bentos.fake_server:WhereYouParked"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, ServerHandle]]:
    """A home with a published model, and the real BentoML server over fake stores on it."""
    settings = settings_in(tmp_path_factory.mktemp("served"), pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)
    with start_fake(settings) as server:
        server.wait_ready(60)
        yield settings, server


def start_fake(settings: Settings) -> ServerHandle:
    return start_server(settings, port=0, service=FAKE_SERVICE)


@pytest.fixture
def client(served: tuple[Settings, ServerHandle]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served[1].url, timeout=10) as client:
        yield client
