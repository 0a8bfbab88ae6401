from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pytest

from ingestion.features.build import build_features
from parked.settings import Settings
from tests.feature_repo.facts_builder import commuter, table


@dataclass(frozen=True)
class Home:
    settings: Settings
    facts: pa.Table


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two phones' features, built into a home of their own."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    facts = table(commuter("d1", 3).rows + commuter("d2", 2, seed=9).rows)
    build_features(settings, facts)
    return Home(settings, facts)
