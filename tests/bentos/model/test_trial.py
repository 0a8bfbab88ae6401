"""A model is tried on a real phone's candidates before it answers, whichever the online store."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from bentos.config import ServingConfig
from bentos.metrics.prometheus import Metrics
from bentos.model.scorer import Fed, Scorer, load_scorer, model_dir_of
from bentos.ports import CandidateKey, FeatureSource
from bentos.runtime import Runtime
from bentos.store.features import FeastSource
from bentos.store.lmdb_source import LmdbSource
from feature_repo.services import PARKING_V1, service_features
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from parked.clock import fixed_clock, to_us
from parked.errors import InternalError
from parked.settings import Settings
from tests.bentos.fakes import NOW, FakeLabels, settings_in
from tests.bentos.world import drives, train_real
from tests.feature_repo.online_stores import KINDS

Opened = Callable[[], tuple[Settings, FeatureSource]]


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    redis = request.getfixturevalue("redis_address") if request.param == "redis" else "127.0.0.1:1"

    settings = settings_in(tmp_path, online_store=request.param, redis_connection=redis)
    apply_repo(settings)
    return lambda: (settings, (LmdbSource if request.param == "lmdb" else FeastSource).open(settings))


def filled(opened: Opened, fixes: pa.Table) -> tuple[Settings, FeatureSource]:
    settings, _ = opened()
    build_features(settings, build_facts(fixes, None, load_rules(None)))
    return opened()


def test_an_empty_store_names_no_candidate(opened: Opened) -> None:
    _, source = opened()
    assert source.sample(to_us(NOW)) == []


def test_every_store_names_the_candidates_of_a_phone_it_knows(opened: Opened) -> None:
    _, source = filled(opened, drives(devices=3, days=2))
    keys = source.sample(to_us(NOW))
    (facts,) = source.devices([keys[0].device_id])
    assert facts is not None
    asked = [CandidateKey(facts.device_id, c.candidate_id, c.cell, to_us(NOW)) for c in facts.candidates]
    assert [key._replace(row=b"") for key in keys] == asked
    rows = source.values(PARKING_V1, service_features(PARKING_V1), keys)
    assert all(any(value is not None for value in row) for row in rows)


def test_a_model_that_fails_on_the_phones_there_are_is_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    fixes = drives(devices=2, days=2)
    settings, source = filled(opened, fixes)
    scorer = load_scorer(model_dir_of(settings, train_real(settings, fixes)))
    runtime = Runtime(
        settings,
        ServingConfig(),
        clock=fixed_clock(NOW),
        metrics=Metrics(CollectorRegistry()),
        open_source=lambda: source,
        labels=FakeLabels(),
    )
    runtime.tick()
    runtime.try_out(scorer)
    evaluate = Scorer.evaluate

    def odd(self: Scorer, rows: Sequence[Sequence[object]]) -> tuple[list[float], Fed]:
        """Of what is known nothing comes out; of a row without anything a probability."""
        told, fed = evaluate(self, rows)
        return [p if set(row) == {None} else math.nan for row, p in zip(rows, told, strict=True)], fed

    monkeypatch.setattr(Scorer, "evaluate", odd)
    with pytest.raises(InternalError, match="gives nan, not a probability"):
        runtime.try_out(scorer)
