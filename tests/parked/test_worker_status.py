from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from parked.worker_status import SILENT, WorkerStatus, live_workers, remove_status, write_status

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def status(pid: int, **changes: object) -> WorkerStatus:
    return WorkerStatus.model_validate({"pid": pid, "generation": 3, "model_tag": "parking:v3", "at": NOW} | changes)


def test_what_workers_write_is_what_a_publish_reads(tmp_path: Path) -> None:
    told = [status(7), status(11, refused="damaged", refused_generation=4, trees="catboost")]
    for one in reversed(told):
        write_status(tmp_path / "workers", one)
    assert live_workers(tmp_path / "workers", NOW) == told


def test_a_worker_that_was_killed_falls_silent(tmp_path: Path) -> None:
    write_status(tmp_path, status(7, at=NOW - SILENT - timedelta(microseconds=1)))
    write_status(tmp_path, status(8, at=NOW - SILENT))
    assert [one.pid for one in live_workers(tmp_path, NOW)] == [8]


def test_a_worker_that_stops_takes_its_file_along(tmp_path: Path) -> None:
    write_status(tmp_path, status(7))
    remove_status(tmp_path, 7)
    remove_status(tmp_path, 7)
    assert live_workers(tmp_path, NOW) == []
    assert list(tmp_path.iterdir()) == []


def test_no_folder_and_foreign_files_are_no_workers(tmp_path: Path) -> None:
    assert live_workers(tmp_path / "never", NOW) == []
    (tmp_path / "12.json").write_text('{"pid": 12')
    (tmp_path / "note.json").write_text("[]")
    assert live_workers(tmp_path, NOW) == []
