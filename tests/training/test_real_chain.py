"""The real thing in small: simulator → facts → Feast → labels → training → gate → the server's own scorer."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bentos.model.scorer import load_published
from feature_repo.services import PARKING_V1, service_features
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from ingestion.simulator import Scenario, simulate_devices
from parked.clock import fixed_clock
from parked.opsdb.engine import open_database
from parked.opsdb.labels import add_coverage, add_labels
from parked.settings import Settings, load_settings
from tests.training.conftest import config_file
from training.challenge import decide_and_publish
from training.config import load_config
from training.manifest import read_manifest, read_rows
from training.model_store import load_model
from training.pipeline import TrainedModel, refit, train_candidate

NOW = fixed_clock(datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC))
CATEGORICAL, EXCLUDED = list(load_config().categorical), list(load_config().exclude)
FEW = {"min_positives": 5, "min_negatives": 5, "min_devices": 2, "max_ece": 0.3}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, TrainedModel]:
    home: Path = tmp_path_factory.mktemp("chain")
    settings = load_settings(home=home)
    phones = list(simulate_devices(Scenario(devices=24, days=3, seed=11)))
    facts = build_facts(
        pa.concat_tables([phone.fixes for phone in phones]),
        pa.concat_tables([phone.motion for phone in phones]),
        load_rules(None),
    )
    apply_repo(settings)
    build_features(settings, facts)
    engine = open_database(settings.database)
    add_labels(engine, pa.concat_tables([phone.labels for phone in phones]))
    add_coverage(engine, pa.concat_tables([phone.coverage for phone in phones]))
    config = config_file(home / "files", categorical=CATEGORICAL, exclude=EXCLUDED, most_rows=4000, gate=FEW)
    return settings, train_candidate(settings, engine, NOW, config=config)


def test_the_model_eats_the_services_features_and_beats_chance_on_phones_it_never_saw(chain):
    _, model = chain
    assert model.card.features == sorted(set(service_features(PARKING_V1)) - set(EXCLUDED))
    assert model.evaluation.figures()["test_devices.auc"] > 0.8


def test_most_true_parkings_find_their_candidate(chain):
    _, model = chain
    labels = read_manifest(model.manifest_path).recipe.counts["labels"]
    found, missed = labels["by_source"]["truth"]["parked"], labels["unmatched_parked"]["truth"]
    assert found > 20
    assert missed < 0.3 * (found + missed)


def test_the_server_gives_the_probabilities_that_were_measured(chain):
    settings, model = chain
    outcome = decide_and_publish(settings, open_database(settings.database), NOW, model.tag, "test", "first")
    assert outcome.published, outcome.decision
    served = load_published(settings)
    recipe = read_manifest(model.manifest_path).recipe
    rows = read_rows(settings.manifests_dir, recipe.rows).head(40)
    mine = load_model(settings, model.tag).fit.score(rows)
    missing = rows[recipe.features].astype(object).where(rows[recipe.features].notna(), None)
    assert served.score(missing.to_dict("records")) == pytest.approx(list(mine), abs=1e-12)
    assert np.ptp(mine) > 0.1


def test_the_manifest_gives_the_same_model_again(chain):
    settings, model = chain
    assert refit(settings, open_database(settings.database), NOW, model.manifest_path).tag == model.tag
