"""What each server process says of itself: one small file per worker under the home, which a publish waits on.

A file system is the one thing that every worker and the one who publishes share; no port, no protocol. A home is one
machine's, so that whether a worker lives is the kernel's to say, not a clock's.
"""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from parked.settings import Settings


class WorkerStatus(BaseModel):
    """``<rules_dir>/serving/workers/<pid>.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    pid: int
    started: int | None
    """When the process started (``process_started``): tells it from a later process that was given its number."""
    generation: int
    """Of the publication it answers with; 0: none yet."""
    model_tag: str | None
    at: datetime
    """When this came to be so."""
    refused: str | None = None
    """Why the published model is not the one it answers with."""
    refused_generation: int | None = None
    """Which publication was refused; None where none was, or where the pointer itself is damaged."""
    waits: str | None = None
    """That a publication is loaded and not answered with yet, and what it waits for."""
    trees: str | None = None
    """What evaluates the model: ``compiled`` or ``catboost``."""


def workers_dir(settings: Settings) -> Path:
    """Where the workers of one home that serve the rules in use report."""
    return settings.rules_dir / "serving" / "workers"


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


def process_started(pid: int) -> int | None:
    """Kernel ticks from boot to the process's start (field 22 of ``/proc/<pid>/stat``); None where it has ended."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def process_parent(pid: int) -> int | None:
    """Who started the process (field 4 of ``/proc/<pid>/stat``); None where it has ended."""
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def _stat(pid: int) -> list[str] | None:
    """From field 3 on: state, parent, ... None where the process has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[-1].split()  # the command, in parentheses, may hold anything
    return None if fields[0] in "ZX" else fields


def sweep(folder: Path) -> None:
    """Remove what processes left that were killed: they can no longer do it. Foreign files stay."""
    for file in [*folder.glob("[0-9]*.json"), *folder.glob(".[0-9]*.tmp")]:
        name = file.name.removeprefix(".").split(".")[0]
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, ValidationError):
            started = process_started(int(name))
            if started is None or (
                file.suffix == ".json" and WorkerStatus.model_validate_json(file.read_bytes()).started != started
            ):
                file.unlink()


def live_workers(folder: Path) -> list[WorkerStatus]:
    """What the workers that are alive report, by process id.

    A file that is gone, half or foreign, or whose process has ended, is passed over: it is no worker's word.
    """
    found = []
    for file in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        with contextlib.suppress(OSError, ValidationError):
            status = WorkerStatus.model_validate_json(file.read_bytes())
            started = process_started(status.pid)
            if started is not None and started == status.started:
                found.append(status)
    return sorted(found, key=lambda status: status.pid)


def siblings(folder: Path) -> list[WorkerStatus]:
    """What the other live workers report that this process's parent, their server, started."""
    me, parent = os.getpid(), os.getppid()
    return [status for status in live_workers(folder) if status.pid != me and process_parent(status.pid) == parent]
