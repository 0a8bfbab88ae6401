"""Connections that ask nothing, or take nothing of what they are told, end; those in use do not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bentos.connections import protocol
from tests.bentos.wire import LONG, SHORT, Served, post, replies


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_who_takes_nothing_of_the_answers_is_let_go(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "UNREAD_S", 0.5)

    async def client(served: Served) -> None:
        connections = served.server.server_state.connections
        with socket.create_connection(("127.0.0.1", served.port)) as asking:
            asking.setblocking(False)
            while not connections:
                await asyncio.sleep(0.01)
            (connection,) = connections
            for _ in range(4):
                asking.sendall(post(path, b"big"))
                await asyncio.sleep(0.1)
            assert connection.transport.get_write_buffer_size() > 0
            end = asyncio.get_running_loop().time() + 15
            while connections and asyncio.get_running_loop().time() < end:
                await asyncio.sleep(0.05)
            assert not connections

    Served().run(client)


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_a_connection_kept_alive_for_nothing_ends(path: str) -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for asked in (SHORT, path):
            writer.write(post(asked, b"a"))
            await replies(reader, 1)
        began = asyncio.get_running_loop().time()
        assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began > 0.5
        writer.close()

    Served(timeout_keep_alive=1).run(client)


@pytest.mark.parametrize("answered", [None, SHORT, LONG, "/long-unread"])
@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "empty lines"])
def test_a_connection_that_asks_nothing_ends_whatever_else_it_sends(answered: str | None, sent: bytes) -> None:
    async def client(served: Served) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        if answered is not None:
            body = b"unread" if answered == "/long-unread" else b"a"
            writer.write(post(answered, body)[: -1 if body == b"unread" else None])
            await replies(reader, 1)
        began = loop.time()
        gone = asyncio.create_task(reader.read())
        while not gone.done() and loop.time() - began < 2:
            writer.write(sent)
            await asyncio.sleep(0.1)
        assert gone.done()
        assert 0.2 < loop.time() - began < 1.5
        writer.close()

    Served(timeout_keep_alive=0.5).run(client)


def test_a_connection_in_use_does_not_end() -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for _ in range(12):
            writer.write(post(SHORT, b"a"))
            await replies(reader, 1)
            await asyncio.sleep(0.2)
        writer.close()

    Served(timeout_keep_alive=1).run(client)
