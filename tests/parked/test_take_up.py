"""How long a publisher waits for the running workers, and what ends it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from parked.take_up import TakeUp, await_generation
from parked.worker_status import WorkerStatus, process_started, remove_status, write_status

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ME, PARENT = os.getpid(), os.getppid()


def report(folder: Path, pid: int, generation: int, **changes: object) -> None:
    values: dict[str, object] = {
        "pid": pid,
        "started": process_started(pid),
        "generation": generation,
        "model_tag": "parking:x",
        "at": NOW,
    }
    write_status(folder, WorkerStatus.model_validate(values | changes))


class Time:
    """Seconds that pass only by sleeping; ``then`` happens at the first sleep."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.seconds, self.then = 0.0, then

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.then()

    def wait(self, folder: Path, generation: int) -> TakeUp:
        return await_generation(folder, generation, timeout_s=5, monotonic=lambda: self.seconds, sleep=self.sleep)


@pytest.fixture
def dead() -> int:
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_where_no_server_runs_there_is_nothing_to_wait_for(tmp_path: Path, dead: int) -> None:
    assert Time().wait(tmp_path / "absent", 3) == TakeUp(0, None)
    report(tmp_path, dead, 1)
    assert Time().wait(tmp_path, 3) == TakeUp(0, None)


def test_all_live_workers_must_have_it_and_a_later_one_will_do(tmp_path: Path) -> None:
    report(tmp_path, ME, 3)
    report(tmp_path, PARENT, 4)
    assert Time().wait(tmp_path, 3) == TakeUp(2, None)


def test_a_worker_that_takes_it_up_meanwhile_is_waited_for(tmp_path: Path) -> None:
    report(tmp_path, ME, 3)
    report(tmp_path, PARENT, 2)
    time = Time(lambda: report(tmp_path, PARENT, 3))
    assert time.wait(tmp_path, 3) == TakeUp(2, None)
    assert time.seconds > 0


def test_a_worker_that_ends_meanwhile_is_not(tmp_path: Path) -> None:
    report(tmp_path, PARENT, 2)
    assert Time(lambda: remove_status(tmp_path, PARENT)).wait(tmp_path, 3) == TakeUp(0, None)


def test_a_refusal_ends_the_wait_and_an_old_one_does_not(tmp_path: Path) -> None:
    report(tmp_path, ME, 2, refused="it is damaged", refused_generation=3)
    time = Time()
    assert time.wait(tmp_path, 3) == TakeUp(1, f"worker {ME} refuses it: it is damaged")
    assert time.seconds == 0
    report(tmp_path, ME, 4, refused="it is damaged", refused_generation=3)
    assert time.wait(tmp_path, 4) == TakeUp(1, None)


def test_the_late_are_named(tmp_path: Path) -> None:
    report(tmp_path, ME, 3)
    report(tmp_path, PARENT, 0, model_tag=None)
    time = Time()
    assert time.wait(tmp_path, 3) == TakeUp(2, f"worker {PARENT} did not take it up within 5 s")
    assert time.seconds == pytest.approx(5, abs=0.1)
