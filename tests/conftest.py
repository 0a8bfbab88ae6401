"""For all tests: nothing reads or writes a developer's own PARKED_HOME."""

from __future__ import annotations

import os

import pytest

for _name in [name for name in os.environ if name.startswith("PARKED_") and name != "PARKED_REAL_DATA"]:
    del os.environ[_name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long loop first, so that two workers end together."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
