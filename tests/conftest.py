"""For all tests: nothing reads or writes a developer's own PARKED_HOME."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

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
