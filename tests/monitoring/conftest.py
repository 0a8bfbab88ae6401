from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitoring.world import Home, make_home


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def home(trained_home: Home, tmp_path: Path) -> Home:
    """A home of one's own with a champion and an empty prediction log."""
    return trained_home.copy(tmp_path / "home")
