"""Who knocks is shared among the workers, and let in by whoever is left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from bentos.launch import start_server
from parked.worker_status import live_workers, workers_dir
from tests.bentos.conftest import FAKE_SERVICE
from tests.bentos.fakes import publish, settings_in, until, write_model


def test_two_workers_share_who_knocks_and_one_alone_takes_all(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)
    with start_server(settings, port=0, workers=2, service=FAKE_SERVICE) as server, contextlib.ExitStack() as open_now:
        address = (urlsplit(server.url).hostname, urlsplit(server.url).port)

        def workers() -> list[int]:
            return [worker.pid for worker in live_workers(workers_dir(settings)) if worker.generation == 1]

        def has(pid: int) -> int:
            return sum(one.status == "ESTABLISHED" for one in psutil.Process(pid).net_connections("tcp"))

        def both_hear() -> bool:
            """Each listens a moment after it says that it can answer."""
            with contextlib.ExitStack() as knocks:
                for _ in range(12):
                    knocks.enter_context(socket.create_connection(address, timeout=10))
                until(lambda: sum(map(has, pids)) >= 12)
                return min(map(has, pids)) > 0

        until(lambda: len(workers()) == 2, 60)
        pids = workers()
        until(both_hear)
        until(lambda: sum(map(has, pids)) == 0)
        for _ in range(24):
            open_now.enter_context(socket.create_connection(address, timeout=10))
        until(lambda: sum(map(has, pids)) == 24)
        assert min(map(has, pids)) >= 6
        stopped = pids[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            for _ in range(12):
                assert httpx.post(f"{server.url}/where_parked", json={"device_id": "p"}, timeout=10).status_code == 200
        finally:
            os.kill(stopped, signal.SIGCONT)
