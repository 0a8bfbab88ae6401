"""``parked serve`` is told to stop while clients ask: what was taken is answered."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.launch import GRACE_S
from parked.settings import Settings
from parked.worker_status import live_workers, process_started, workers_dir
from tests.bentos.fakes import publish, settings_in, until, write_model
from tests.bentos.load import Load, question

OVER_FAKES = """
import bentos.launch, cli.main
bentos.launch.start_server.__kwdefaults__["service"] = "tests.bentos.fake_server:WhereYouParked"
cli.main.main()
"""
"""``parked``, serving over fake stores: Feast's import would be most of the test."""


@dataclass(frozen=True)
class Running:
    settings: Settings
    process: subprocess.Popen[str]
    told: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.told["url"])

    def family(self) -> list[int]:
        return descendants(self.process.pid)


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    settings = settings_in(tmp_path)
    publish(settings, write_model(settings, "v1"), 1)
    process = subprocess.Popen(
        [sys.executable, "-c", OVER_FAKES, "serve", "--port", "0", "--workers", "2", "--json"],
        env=os.environ | {"PARKED_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        folder = workers_dir(settings)
        until(lambda: [status.generation for status in live_workers(folder)] == [1, 1], 30)
        yield Running(settings, process, told)
    finally:
        if process.poll() is None:  # a test that failed: killed, it would leave its server behind
            process.send_signal(signal.SIGTERM)
        process.wait(2 * GRACE_S)


def ask_slowly(url: str) -> socket.socket:
    """A connection with a question on it that is answered after a while."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(question("phone-slow"))
    return connection


def test_sigterm_answers_all_that_was_taken_and_leaves_nobody_behind(running: Running) -> None:
    family = running.family()
    assert len(family) >= 3, "the supervisor and two workers"
    assert httpx.get(f"{running.url}/readyz").json()["ready"]
    with Load(running.url, keeping=8, renewing=4) as load:
        until(lambda: load.seen.answered > 300)
        asking = ask_slowly(running.url)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(GRACE_S) == 0
        took = time.monotonic() - began
        load.wait()
    with asking:
        assert asking.recv(65536).startswith(b"HTTP/1.1 200 OK")
    seen = load.seen
    assert set(seen.statuses) == {200}
    assert (seen.unanswered, seen.cut) == (0, 0)
    assert seen.refused == 12, "each client met a closed door in the end, and nothing worse"
    assert took < GRACE_S
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.url}/readyz")
    assert [pid for pid in family if process_started(pid) is not None] == []


def test_a_worker_alone_then_its_supervisor_are_told_to_stop_and_nobody_is_cut_off(running: Running) -> None:
    family = running.family()
    workers = [status.pid for status in live_workers(workers_dir(running.settings))]
    with Load(running.url, keeping=8, renewing=4) as load:
        until(lambda: load.seen.answered > 200)
        os.kill(workers[0], signal.SIGTERM)
        until(lambda: process_started(workers[0]) is None)
        before = load.seen.answered
        until(lambda: load.seen.answered > before + 200)
        assert load.seen.refused == 0, "the other worker lets them in"
        os.kill(int(running.told["pid"]), signal.SIGTERM)
        load.wait()
    seen = load.seen
    assert set(seen.statuses) == {200}
    assert (seen.unanswered, seen.cut, seen.refused) == (0, 0, 12)
    assert running.process.wait(GRACE_S) == 1, "nobody told `parked serve` to stop: it says that the server ended"
    assert [pid for pid in family if process_started(pid) is not None] == []
