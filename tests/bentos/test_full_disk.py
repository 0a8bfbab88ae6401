"""A disk or database that takes nothing: a 503 of the one shape, and no answer lost to a line of the log."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from bentos.feedback.confirmations import LabelStore
from bentos.ports import Confirmation, NotReadyError
from bentos.unfailing import Unfailing
from tests.bentos.fakes import NOW

TOLD = Confirmation(
    key=None,
    device_id="phone",
    at=NOW - timedelta(hours=1),
    lat=48.1,
    lon=11.5,
    verdict="parked",
    note="x" * 100_000,  # more than the pages there are have room for
)


def test_a_label_that_a_full_database_refuses_is_a_503_and_is_taken_once_there_is_room(tmp_path: Path) -> None:
    labels = LabelStore(f"sqlite:///{tmp_path / 'ops.db'}")
    labels.prepare()
    may_grow(labels, pages=1)
    with capture_logs() as told, pytest.raises(NotReadyError, match="cannot be stored now"):
        labels.add(TOLD, NOW)
    assert [line["error"] for line in told] == ["OperationalError SQLITE_FULL"]
    may_grow(labels, pages=1_000_000)
    assert labels.add(TOLD, NOW)


def may_grow(labels: LabelStore, *, pages: int) -> None:
    """Up to so many pages, which SQLite takes for the end of the disk; never below what there is."""
    assert labels._engine is not None
    with labels._engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_that_the_disk_refuses_raises_nothing() -> None:
    structlog.PrintLogger(Unfailing(Full())).msg("a line")  # type: ignore[arg-type]
    there = io.StringIO()
    structlog.PrintLogger(Unfailing(there)).msg("a line")  # type: ignore[arg-type]
    assert there.getvalue() == "a line\n"


STARTED = """
from unittest.mock import Mock

import bentoml
import bentos.service as service

done = []
for name in ("raise_limit", "log_without_failing", "take_room"):
    setattr(service, name, lambda name=name: done.append(name))
bentoml.Service.to_asgi = lambda self, is_main=True: done.append("bentoml")
service.Door = service.ShortWay = service.Drain = Mock()
service.WhereYouParked.to_asgi()
print(*done)
"""


def test_a_worker_is_ready_for_a_full_disk_before_bentoml_begins_its_app(tmp_path: Path) -> None:
    there = os.environ | {"BENTOML_HOME": str(tmp_path / "bentoml"), "PARKED_HOME": str(tmp_path / "home")}
    told = subprocess.run([sys.executable, "-c", STARTED], env=there, capture_output=True, text=True, timeout=120)
    assert told.stdout.split() == ["raise_limit", "log_without_failing", "take_room", "bentoml"], told.stderr
