"""Stopping: knocks are dropped, those let in are answered and told that it is the last time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from bentos.connections import drain
from bentos.connections.drain import Drain, listen_no_more, supervise
from bentos.connections.opening import Opening


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_who_knocked_before_is_let_in_and_talks_on_who_knocks_after_is_not_heard(listening: socket.socket) -> None:
    address = listening.getsockname()
    with socket.create_connection(address, timeout=5) as early:
        listen_no_more([listening])
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        taken, _ = listening.accept()
        with taken:
            early.sendall(b"still here")
            assert taken.recv(100) == b"still here"


def test_what_is_no_socket_of_the_internet_is_left_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.close()
        listen_no_more([ours])


class Uvicorn:
    """As much of ``uvicorn.Server`` as stopping needs."""

    def __init__(self, connections: int) -> None:
        self.servers = [self]
        self.server_state = self
        self.connections = set(range(connections))
        self.told: list[str] = []

    def close(self) -> None:
        self.told.append("door closed")

    def handle_exit(self, number: int, frame: object) -> None:  # noqa: ARG002  a signal handler's signature
        self.told.append("stop")


async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})


async def asked(worker: Drain, path: str = "/where_parked") -> tuple[int, list[tuple[bytes, bytes]]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await worker({"type": "http", "path": path, "headers": []}, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], sent[0]["headers"]


@pytest.fixture
def uvicorn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Uvicorn]:
    monkeypatch.setattr(drain, "LET_IN_S", 0.01)
    monkeypatch.setattr(drain, "DRAIN_S", 0.1)
    server = Uvicorn(connections=1)
    before = {number: signal.signal(number, server.handle_exit) for number in drain.SIGNALS}
    yield server
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_told_to_stop_closes_its_door_ends_connections_with_their_answers_and_only_then_stops(
    uvicorn: Uvicorn,
) -> None:
    async def life() -> None:
        worker = Drain(app)
        await worker({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
        assert await asked(worker) == (200, [(b"x", b"y")])
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asked(worker) == (200, [(b"x", b"y"), (b"connection", b"close")])
        status, headers = await asked(worker, "/readyz")
        assert (status, headers[-1]) == (503, (b"connection", b"close"))
        assert uvicorn.told == []
        await asyncio.sleep(0.05)
        assert uvicorn.told == ["door closed"]
        uvicorn.connections.clear()
        await asyncio.sleep(0.05)
        assert uvicorn.told == ["door closed", "stop"]

    asyncio.run(life())


def test_a_connection_that_asks_nothing_is_not_waited_for_for_ever_and_a_second_signal_stops_at_once(
    uvicorn: Uvicorn,
) -> None:
    async def life() -> None:
        worker = Drain(app)
        await worker({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        assert uvicorn.told == ["stop"]
        await asyncio.sleep(0.3)
        assert uvicorn.told == ["stop", "door closed", "stop"]

    asyncio.run(life())


class Circus:
    """As much of circus as its supervisor needs: a signal handler that knows the sockets."""

    def __init__(self, listening: socket.socket) -> None:
        self.controller = self
        self.arbiter = self
        self.sockets = {"api": listening}
        self.quit = 0

    def signal(self, number: int, frame: object = None) -> None:  # noqa: ARG002  a signal handler's signature
        self.quit += 1


def test_the_supervisor_stops_listening_before_it_stops_its_workers(listening: socket.socket) -> None:
    circus = Circus(listening)
    before = signal.signal(signal.SIGTERM, circus.signal)
    try:
        supervise()
        os.kill(os.getpid(), signal.SIGTERM)
        assert circus.quit == 1
        with pytest.raises(TimeoutError):
            socket.create_connection(listening.getsockname(), timeout=0.2)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nothing_of_others_is_touched() -> None:
    before = [signal.getsignal(number) for number in drain.SIGNALS]
    supervise()
    assert [signal.getsignal(number) for number in drain.SIGNALS] == before


def test_a_worker_told_to_stop_before_it_listens_never_does(uvicorn: Uvicorn) -> None:
    async def starting(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    async def life() -> None:
        del uvicorn.servers  # uvicorn makes them when it listens
        told: list[str] = []

        async def send(message: Any) -> None:
            told.extend([*uvicorn.told, message["type"]])

        worker = Drain(starting, opening=Opening(lambda: True))
        start = asyncio.create_task(worker({"type": "lifespan"}, None, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert told == []
        os.kill(os.getpid(), signal.SIGTERM)
        uvicorn.connections.clear()
        await asyncio.wait_for(start, 5)
        assert told == ["stop", "lifespan.startup.complete"]

    asyncio.run(life())
