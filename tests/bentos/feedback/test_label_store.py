"""A database that takes no label: who asks is told to come again, who runs the server is told why."""

from __future__ import annotations

import sqlite3
import time
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from bentos.config import ServingConfig
from bentos.feedback.confirmations import LabelStore
from bentos.feedback.corrections import Corrections
from bentos.messages import ConfirmAnswer, ConfirmRequest
from bentos.messages_explain import CorrectRequest
from bentos.metrics.prometheus import Metrics
from bentos.ports import Confirmation, Namespace, NotReadyError, Spot
from bentos.runtime import Runtime
from bentos.unfailing import log_without_failing
from bentos.web.endpoints import as_http
from bentos.web.openapi import ERRORS
from parked.clock import fixed_clock
from parked.tokens import EVERYTHING
from tests.bentos.asking import OneAnswer
from tests.bentos.fakes import NOW, NOW_US, FakeSource, settings_in

TOLD = Confirmation(
    key="k", device_id="phone", at=NOW - timedelta(hours=1), lat=48.123, lon=11.5, verdict="parked", note=""
)


def at(folder: Path) -> str:
    return f"sqlite:///{folder / 'ops.db'}"


def a_newer_programs(folder: Path) -> str:
    LabelStore(at(folder)).prepare()
    with sqlite3.connect(folder / "ops.db") as database:
        database.execute("update alembic_version set version_num = '9999'")
    return at(folder)


def test_a_newer_schema_is_no_conflict_of_who_confirms_and_the_log_says_it(tmp_path: Path) -> None:
    labels = LabelStore(a_newer_programs(tmp_path))
    with capture_logs() as told, pytest.raises(NotReadyError) as raised:
        labels.add(TOLD, NOW)
    assert str(raised.value) == "labels cannot be stored now; ask again later"
    (line,) = told
    assert line["event"] == "label_not_stored"
    assert "schema 9999 is newer than this program's" in line["error"]


def test_a_correction_says_stored_only_of_what_is_stored(tmp_path: Path) -> None:
    """A newer schema's ConflictError was taken for the same judgment, said before."""
    labels = LabelStore(a_newer_programs(tmp_path))

    def confirm(request: ConfirmRequest, namespace: Namespace) -> ConfirmAnswer:
        told = Confirmation(namespace, request.device_id, request.at, request.lat, request.lon, request.verdict)
        return ConfirmAnswer(stored=True, duplicate=not labels.add(told, NOW))

    corrections = Corrections(
        OneAnswer(),  # type: ignore[arg-type]
        rules="v1",
        threshold=lambda _tag: 0.5,
        spot=lambda _device, _candidate: Spot(NOW_US, 48.1, 11.5),
        confirm=confirm,
    )
    with pytest.raises(NotReadyError):
        corrections.correct(CorrectRequest(answer_id="a" * 32, wrong=True), EVERYTHING)


def test_the_start_says_why_labels_cannot_be_opened(tmp_path: Path) -> None:
    runtime = Runtime(
        settings_in(tmp_path / "home"),
        ServingConfig(),
        clock=fixed_clock(NOW),
        metrics=Metrics(CollectorRegistry()),
        open_source=FakeSource,
        labels=LabelStore("postgresql+nodriver://who:secret@db.example/parked"),
    )
    with capture_logs() as told:
        runtime._prepare_labels()
    assert told[0]["event"] == "label_store_not_open"
    assert "Can't load plugin: sqlalchemy.dialects:postgresql.nodriver" in told[0]["error"]
    assert "secret" not in told[0]["error"]


def test_the_log_has_the_databases_code_and_no_value(tmp_path: Path) -> None:
    labels = LabelStore(at(tmp_path))
    labels.prepare()
    with sqlite3.connect(tmp_path / "ops.db") as database:
        database.execute("drop table label")
    with capture_logs() as told, pytest.raises(NotReadyError):
        labels.add(TOLD, NOW)
    assert [line["error"] for line in told] == ["OperationalError SQLITE_ERROR"]


def test_a_damaged_database_is_told_to_who_runs_it_and_not_to_who_confirms(tmp_path: Path) -> None:
    (tmp_path / "ops.db").write_bytes(b"no database, and long enough to be seen as none" * 100)
    with capture_logs() as told, pytest.raises(NotReadyError) as raised:
        LabelStore(at(tmp_path)).add(TOLD, NOW)
    assert str(tmp_path) not in str(raised.value)
    assert f"{tmp_path / 'ops.db'}: file is not a database" in told[0]["error"]


def test_a_statement_of_ours_that_is_wrong_is_a_500_whose_words_hold_no_value(tmp_path: Path) -> None:
    labels = LabelStore(at(tmp_path))
    labels.prepare()
    with sqlite3.connect(tmp_path / "ops.db") as database:
        database.execute("create trigger no before insert on label begin select raise(abort, 'no'); end")
    with pytest.raises(IntegrityError) as raised:
        labels.add(TOLD, NOW)
    assert "48.123" not in str(raised.value)
    with capture_logs() as told:
        error = as_http(raised.value, "/confirm")
    assert (error.status, error.code) == (500, "internal")
    assert told[0]["exc_info"] is raised.value


def test_a_traceback_in_the_servers_log_has_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """structlog shows them where rich is installed: a request's place, a grant, a database's password."""
    log_without_failing()
    try:
        place = "48." + "123"
        raise RuntimeError("odd", place == "")
    except RuntimeError as error:
        as_http(error, "/confirm")
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr().out
    assert "RuntimeError: ('odd', False)" in said
    assert "in test_a_traceback_in_the_servers_log" in said
    assert "48.123" not in said


def test_anothers_lock_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    """The labels' one thread stood for 30 s behind it, long after who confirmed had been told 503."""
    labels = LabelStore(at(tmp_path), wait_s=0.2)
    labels.prepare()
    other = sqlite3.connect(tmp_path / "ops.db")
    other.execute("begin immediate")
    began = time.monotonic()
    with capture_logs() as told, pytest.raises(NotReadyError):
        labels.add(TOLD, NOW)
    assert 0.1 < time.monotonic() - began < 10
    assert [line["error"] for line in told] == ["OperationalError SQLITE_BUSY"]
    other.close()
    assert labels.add(TOLD, NOW)


def test_the_api_says_that_labels_may_be_a_503() -> None:
    assert "labels cannot be stored now" in ERRORS[503][1]
