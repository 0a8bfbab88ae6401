"""What is served from packed rows is what Feast's own call gives."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import pytest

from bentos.ports import CandidateKey
from bentos.store.features import FeastSource
from bentos.store.lmdb_source import LmdbSource
from feature_repo.services import PARKING_V1, service_features
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from parked.clock import to_us
from parked.errors import NotFoundError
from parked.settings import Settings
from tests.bentos.fakes import settings_in
from tests.bentos.world import START, drives

DEVICES = ["phone-0", "phone-1", "nobody"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("packed"))
    build_features(settings, build_facts(drives(devices=2, days=3), None, load_rules(None)))
    return settings


def test_devices_are_as_feast_tells_them(built: Settings) -> None:
    packed, feast = LmdbSource.open(built).devices(DEVICES), FeastSource.open(built).devices(DEVICES)
    assert [facts and facts._replace(row=b"") for facts in packed] == feast
    assert packed[0] is not None
    assert len(packed[0].candidates) == 3
    assert packed[2] is None


def test_features_are_as_feast_tells_them_value_and_type(built: Settings) -> None:
    packed, feast = LmdbSource.open(built), FeastSource.open(built)
    keys = [CandidateKey("nobody", "no-such", "no-cell", to_us(START)), CandidateKey("phone-0", "no-such", "", 0)]
    for facts in packed.devices(DEVICES[:2]):
        assert facts is not None
        for hours in (0, 30):
            at_us = to_us(START + timedelta(days=3, hours=hours))
            keys += [CandidateKey(facts.device_id, c.candidate_id, c.cell, at_us) for c in facts.candidates]
    names = service_features(PARKING_V1)
    theirs, ours = feast.values(PARKING_V1, names, keys), packed.values(PARKING_V1, names, keys)
    assert len(ours) == 14
    for key, mine, other in zip(keys, ours, theirs, strict=True):
        for name, a, b in zip(names, mine, other, strict=True):
            same = a == b or (isinstance(b, float) and math.isnan(b) and a is None)
            assert same, f"{name} of {key}: {a!r} against {b!r}"


def test_a_feature_nobody_declares_is_not_served(built: Settings) -> None:
    key = [CandidateKey("phone-0", "x", "y", 0)]
    for service, name in ((PARKING_V1, "made_up"), ("parking_v0", "age_s")):
        with pytest.raises(NotFoundError):
            LmdbSource.open(built).values(service, [name], key)


def test_a_store_that_holds_nothing_yet_is_open_and_fills_before_the_servers_eyes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    apply_repo(settings)
    source = LmdbSource.open(settings)
    assert source.devices(["phone-0"]) == [None]
    build_features(settings, build_facts(drives(devices=1, days=1), None, load_rules(None)))
    (facts,) = source.devices(["phone-0"])
    assert facts is not None
    assert len(facts.candidates) == 2


def test_a_home_whose_rows_are_in_another_store_says_what_to_run(tmp_path: Path) -> None:
    apply_repo(settings_in(tmp_path, online_store="sqlite"))
    with pytest.raises(NotFoundError, match="parked features build"):
        LmdbSource.open(settings_in(tmp_path))


def test_a_store_without_declarations_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="parked features"):
        LmdbSource.open(settings_in(tmp_path))
