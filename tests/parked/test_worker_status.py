from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from parked.worker_status import WorkerStatus, live_workers, process_started, remove_status, sweep, write_status

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ME, PARENT = os.getpid(), os.getppid()


def status(pid: int, **changes: object) -> WorkerStatus:
    told = {"pid": pid, "started": process_started(pid), "generation": 3, "model_tag": "parking:v3", "at": NOW}
    return WorkerStatus.model_validate(told | changes)


def test_what_workers_write_is_what_a_publish_reads(tmp_path: Path) -> None:
    told = [status(PARENT), status(ME, refused="damaged", refused_generation=4, trees="catboost")]
    for one in reversed(told):
        write_status(tmp_path / "workers", one)
    assert live_workers(tmp_path / "workers") == sorted(told, key=lambda one: one.pid)


def test_a_worker_that_was_killed_says_nothing_any_more_nor_does_a_process_that_has_its_number_now(
    tmp_path: Path,
) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_status(tmp_path, status(killed.pid))
    assert [one.pid for one in live_workers(tmp_path)] == [killed.pid]
    killed.kill()
    killed.communicate()
    write_status(tmp_path, status(ME, started=1))
    assert live_workers(tmp_path) == []


def test_a_worker_that_stops_takes_its_file_along(tmp_path: Path) -> None:
    write_status(tmp_path, status(ME))
    remove_status(tmp_path, ME)
    remove_status(tmp_path, ME)
    assert live_workers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_the_killed_left_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    sweep(tmp_path / "never")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_status(tmp_path, status(ended.pid))
    (tmp_path / f".{ended.pid}.tmp").write_text("{")
    write_status(tmp_path, status(ME))
    write_status(tmp_path, status(PARENT, started=1))
    (tmp_path / f".{ME}.tmp").write_text("{")
    (tmp_path / "notes.json").write_text("[]")
    sweep(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([f".{ME}.tmp", f"{ME}.json", "notes.json"])


def test_no_folder_and_foreign_files_are_no_workers(tmp_path: Path) -> None:
    assert live_workers(tmp_path / "never") == []
    (tmp_path / "12.json").write_text('{"pid": 12')
    (tmp_path / "note.json").write_text("[]")
    assert live_workers(tmp_path) == []
