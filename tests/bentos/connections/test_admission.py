"""Who knocks is shared among the workers, and let in by whoever is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from bentos.connections.admission import Admission
from bentos.launch import start_server
from tests.bentos.conftest import FAKE_SERVICE
from tests.bentos.fakes import answering, publish, settings_in, until, write_model
from tests.bentos.wire import SHORT, Served, post, replies


def test_two_workers_share_who_knocks_and_one_alone_takes_all(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)
    with start_server(settings, port=0, workers=2, service=FAKE_SERVICE) as server, contextlib.ExitStack() as open_now:
        address = (urlsplit(server.url).hostname, urlsplit(server.url).port)

        def has(pid: int) -> int:
            return sum(one.status == "ESTABLISHED" for one in psutil.Process(pid).net_connections("tcp"))

        def both_hear() -> bool:
            """Each listens a moment after it says that it can answer."""
            with contextlib.ExitStack() as knocks:
                for _ in range(12):
                    knocks.enter_context(socket.create_connection(address, timeout=10))
                until(lambda: sum(map(has, pids)) >= 12)
                return min(map(has, pids)) > 0

        until(lambda: len(answering(settings)) == 2, 60)
        pids = list(answering(settings))
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


@pytest.mark.parametrize("workers", [1, 2])
def test_all_who_knock_are_let_in_and_none_after_the_end(workers: int) -> None:
    async def client(served: Served) -> None:
        admission = Admission(asyncio.get_running_loop(), workers=workers)
        await admission.watch(served.server)
        pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", served.port) for _ in range(40)))
        for reader, writer in pairs:
            writer.write(post(SHORT, b"a"))
            assert (await replies(reader, 1))[0][0] == 200
            writer.close()
        admission.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)

    Served().run(client)


def test_who_could_not_be_let_in_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def client(served: Served) -> None:
        admission = Admission(asyncio.get_running_loop())
        accept, refusals = socket.socket.accept, [OSError(24, "Too many open files")]

        def refusing(listening: socket.socket) -> Any:
            if refusals:
                raise refusals.pop()
            return accept(listening)

        monkeypatch.setattr(socket.socket, "accept", refusing)
        await admission.watch(served.server)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(SHORT, b"a"))
        assert (await replies(reader, 1))[0][0] == 200
        assert refusals == []
        writer.close()
        admission.close()

    Served().run(client)
