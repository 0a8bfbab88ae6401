"""What each server process says of itself: one small file per worker under the home, which a publish waits on.

A file system is the one thing that every worker and the one who publishes share; no port, no protocol.
"""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from parked.settings import Settings

HEARTBEAT_S = 1.0
"""A worker renews its file at least so often."""

SILENT = timedelta(seconds=10)
"""A file older than this is of a worker that is gone (killed, or its machine is)."""


class WorkerStatus(BaseModel):
    """``<home>/serving/workers/<pid>.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    pid: int
    generation: int
    """Of the publication it answers with; 0: none yet."""
    model_tag: str | None
    at: datetime
    """When this was written."""
    refused: str | None = None
    """Why the published model is not the one it answers with."""
    refused_generation: int | None = None
    """Which publication was refused; None where none was, or where the pointer itself is damaged."""
    trees: str | None = None
    """What evaluates the model: ``compiled`` or ``catboost``."""


def workers_dir(settings: Settings) -> Path:
    """Where the workers of one home report."""
    return settings.home / "serving" / "workers"


def write_status(folder: Path, status: WorkerStatus) -> None:
    """Replace this worker's file. Not synced to disk: it says what is now, not what must survive."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{status.pid}.json"
    temporary = folder / f".{status.pid}.tmp"
    temporary.write_text(status.model_dump_json() + "\n", encoding="utf-8")
    os.replace(temporary, target)


def remove_status(folder: Path, pid: int) -> None:
    """A worker that stops in good order takes its file with it."""
    (folder / f"{pid}.json").unlink(missing_ok=True)


def live_workers(folder: Path, now: datetime) -> list[WorkerStatus]:
    """What the workers that are alive report, by process id. ``now``: aware UTC.

    A file that is gone, half or foreign is passed over: it is no worker's word.
    """
    found = []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        with contextlib.suppress(OSError, ValidationError):
            status = WorkerStatus.model_validate_json(file.read_bytes())
            if now - status.at <= SILENT:
                found.append(status)
    return sorted(found, key=lambda status: status.pid)
