"""For all tests: nothing reads or writes a developer's own PARKED_HOME."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

for _name in [name for name in os.environ if name.startswith("PARKED_") and name != "PARKED_REAL_DATA"]:
    del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long loop first, so that two workers end together."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(scope="session")
def _redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from tests.redis_server import redis_server

    with redis_server(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture
def redis_address(_redis_address: str) -> str:
    """``host:port`` of an empty Redis server; the test is skipped where Redis is not installed."""
    from tests.redis_server import emptied

    return emptied(_redis_address)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; the test is skipped where it is not installed."""
    from tests.postgres_server import postgres_server

    with postgres_server() as server:
        yield server


def database_of(kind: str, request: pytest.FixtureRequest, *, migrated: bool) -> str:
    if kind == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path') / 'ops.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database(migrated=migrated)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An operations database with nothing in it, of each kind that the platform takes."""
    return database_of(request.param, request, migrated=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_database_url(request: pytest.FixtureRequest) -> str:
    """One without tables."""
    return database_of(request.param, request, migrated=False)
