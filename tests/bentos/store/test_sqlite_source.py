"""Serving from Feast's SQLite store: what becomes of its file under a running server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bentos.ports import NotReadyError
from bentos.store.features import FeastSource
from feature_repo.store import sqlite_file
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from parked.settings import Settings
from tests.bentos.elsewhere import elsewhere
from tests.bentos.fakes import settings_in
from tests.bentos.world import drives

NOT_LOADED = "never loaded, or lost everything; run `parked features build`"


def built(home: Path) -> Settings:
    settings = settings_in(home, online_store="sqlite")
    build_features(settings, build_facts(drives(devices=1, days=1), None, load_rules(None)))
    return settings


def test_a_file_without_its_tables_and_one_that_is_gone_are_no_answer_until_it_is_built_again(tmp_path: Path) -> None:
    settings = built(tmp_path)
    source = FeastSource.open(settings)
    known = source.devices(["phone-0"])
    with closing(sqlite3.connect(sqlite_file(settings))) as other, other:
        other.execute("DROP TABLE where_you_parked_device_state")
    with pytest.raises(NotReadyError, match=NOT_LOADED):
        source.devices(["phone-0"])
    for left in sqlite_file(settings).parent.glob("online.db*"):
        left.unlink()
    with pytest.raises(NotReadyError, match=NOT_LOADED):
        source.devices(["phone-0"])
    assert not sqlite_file(settings).exists()
    elsewhere("build", settings)
    assert source.devices(["phone-0"]) == known


def test_a_database_that_fails_otherwise_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FeastSource.open(built(tmp_path))

    def locked(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr("bentos.store.features.online_features", locked)
    with pytest.raises(NotReadyError, match=r"^the online store does not answer$"):
        source.devices(["phone-0"])


def test_a_home_that_goes_on_with_another_store_keeps_what_a_server_answers_from(tmp_path: Path) -> None:
    settings = built(tmp_path)
    source = FeastSource.open(settings)
    known = source.devices(["phone-0"])
    assert "sqlite" not in apply_repo(settings_in(tmp_path))
    assert source.devices(["phone-0"]) == known
