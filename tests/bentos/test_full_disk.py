"""A disk or database that takes nothing: a 503 of the one shape, and no answer lost to a line of the log."""

from __future__ import annotations

import errno
import io
import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from bentos.confirmations import LabelStore
from bentos.ports import Confirmation, NotReadyError
from bentos.unfailing import Unfailing
from tests.bentos.fakes import NOW

TOLD = Confirmation(
    key=None, device_id="phone", at=NOW - timedelta(hours=1), lat=48.1, lon=11.5, verdict="parked", note=""
)


def test_a_label_that_a_full_database_refuses_is_a_503_and_is_taken_once_there_is_room(tmp_path: Path) -> None:
    labels = LabelStore(f"sqlite:///{tmp_path / 'ops.db'}")
    labels.prepare()
    assert labels._engine is not None
    with sqlite3.connect(tmp_path / "ops.db") as other:
        other.execute("create trigger full before insert on label begin select raise(abort, 'disk is full'); end")
    with pytest.raises(NotReadyError, match="cannot be stored now"):
        labels.add(TOLD, NOW)
    with sqlite3.connect(tmp_path / "ops.db") as other:
        other.execute("drop trigger full")
    assert labels.add(TOLD, NOW)


def test_a_damaged_database_is_a_503_that_does_not_tell_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "ops.db").write_bytes(b"no database, and long enough to be seen as none" * 100)
    with pytest.raises(NotReadyError) as raised:
        LabelStore(f"sqlite:///{tmp_path / 'ops.db'}").add(TOLD, NOW)
    assert str(tmp_path) not in str(raised.value)


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
