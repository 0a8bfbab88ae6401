"""Labels on a PostgreSQL server: once each, and who confirms never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from structlog.testing import capture_logs

from bentos.feedback.confirmations import LabelStore
from bentos.ports import Confirmation, NotReadyError
from parked.errors import ConflictError
from tests.bentos.fakes import NOW
from tests.postgres_server import PostgresServer

TOLD = Confirmation(key="k", device_id="phone", at=NOW, lat=48.123, lon=11.5, verdict="parked", note="")


@pytest.fixture
def labels(postgres: PostgresServer) -> Iterator[tuple[LabelStore, str]]:
    url = postgres.new_database()
    store = LabelStore(url, wait_s=0.4)
    yield store, url.replace("+psycopg", "")
    assert store._engine is not None
    store._engine.dispose()


def test_a_key_is_one_label_and_no_other_one(labels: tuple[LabelStore, str]) -> None:
    store, _ = labels
    assert store.add(TOLD, NOW)
    assert not store.add(TOLD, NOW)
    with pytest.raises(ConflictError, match="this key was used for another confirmation"):
        store.add(replace(TOLD, verdict="not_parked"), NOW)
    keyless = replace(TOLD, key=None)
    assert [store.add(keyless, NOW), store.add(keyless, NOW)] == [True, False]


def test_of_many_at_once_one_is_stored(labels: tuple[LabelStore, str]) -> None:
    store, _ = labels
    store.prepare()
    stored: list[bool] = []
    threads = [threading.Thread(target=lambda: stored.append(store.add(TOLD, NOW))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored) == [False] * 11 + [True]


def test_anothers_lock_is_waited_for_for_so_long(labels: tuple[LabelStore, str]) -> None:
    store, url = labels
    store.add(replace(TOLD, key="another"), NOW)
    with psycopg.connect(url) as locking:
        locking.execute("lock table label in access exclusive mode")
        began = time.monotonic()
        with capture_logs() as told, pytest.raises(NotReadyError):
            store.add(TOLD, NOW)
        assert 0.3 < time.monotonic() - began < 5.0
        locking.rollback()
    assert [line["error"] for line in told] == ["OperationalError 57014"]
    assert store.add(TOLD, NOW)


def test_a_server_that_is_away_is_told_and_one_that_is_back_is_asked(
    labels: tuple[LabelStore, str], postgres: PostgresServer
) -> None:
    store, _ = labels
    store.add(replace(TOLD, key="another"), NOW)
    postgres.stop()
    try:
        with capture_logs() as told, pytest.raises(NotReadyError):
            store.add(TOLD, NOW)
    finally:
        postgres.start()
    assert [line["event"] for line in told] == ["label_not_stored"]
    assert store.add(TOLD, NOW), "connections of before are not used again"
