"""What is no request for this server, or a head too large or too late, is told so in its turn, and that is the end."""

from __future__ import annotations

import asyncio
import json

import pytest

from bentos.connections import lingering
from bentos.web.refusals import HEAD_BYTES
from tests.bentos.wire import LONG, SHORT, Served, post, replies


def test_what_is_no_http_is_400_and_the_end() -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(SHORT, b"a") + b"GARBAGE\r\n\r\n")
        assert (await replies(reader, 1))[0][2] == b"/short a"
        ((status, headers, said),) = await replies(reader, 1)
        assert (status, json.loads(said)["error"]["code"]) == (400, "invalid_http")
        assert b"x-request-id" in headers
        assert await reader.read() == b""
        writer.write(post(SHORT, b"a")[:-1])
        writer.close()
        assert served.by == ["short"]

    Served().run(client)


@pytest.mark.parametrize(
    "sent", [b"GARBAGE\r\n\r\n", b"POST /long HTTP/1.1\r\nx: " + b"y" * 300_000], ids=["400", "431"]
)
def test_who_is_refused_is_let_finish_but_not_for_ever(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "LINGER_S", 0.5)

    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(sent + b"z" * 1_000_000 + post(SHORT, b"a"))
        ((status, headers, _),) = await replies(reader, 1)
        assert (status in (400, 431), headers[b"connection"]) == (True, b"close")
        assert await reader.read() == b""
        assert len(served.server.server_state.connections) == 1
        while served.server.server_state.connections:
            await asyncio.sleep(0.05)
        assert served.by == []
        writer.close()

    Served().run(client)


@pytest.mark.parametrize(
    "behind", [b"GARBAGE\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000]
)
@pytest.mark.parametrize("paths", [[LONG], [LONG, LONG], [SHORT, LONG, SHORT]], ids="-".join)
def test_who_is_refused_is_first_told_what_was_asked_before(paths: list[str], behind: bytes) -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"".join(post(path, b"a", str(n)) for n, path in enumerate(paths)) + behind)
        *told, (status, _, _) = await replies(reader, len(paths) + 1)
        assert [headers[b"x-request-id"] for _, headers, _ in told] == [b"%d" % n for n in range(len(paths))]
        assert status in (400, 431)
        assert await reader.read() == b""
        writer.close()

    Served().run(client)


@pytest.mark.parametrize("target", ["/short", "example.org:443"])
def test_a_tunnel_is_400_and_the_end(target: str) -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(target, b"", method="CONNECT") + post(SHORT, b"a"))
        ((status, _, said),) = await replies(reader, 1)
        assert (status, json.loads(said)["error"]["code"]) == (400, "invalid_http")
        assert await reader.read() == b""
        assert served.by == []
        writer.close()

    Served().run(client)


@pytest.mark.parametrize("path", [SHORT, LONG])
@pytest.mark.parametrize("more", [["x-a: " + "y" * 200_000], [f"x-{n}: y" for n in range(5000)]], ids=["long", "many"])
def test_a_head_too_large_is_431_and_the_end(path: str, more: list[str]) -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(path, b"a", "-", *more))
        ((status, _, said),) = await replies(reader, 1)
        assert (status, json.loads(said)["error"]["code"]) == (431, "head_too_large")
        writer.close()
        assert served.by == []

    Served().run(client)


@pytest.mark.parametrize(
    "before",
    [[(SHORT, b"a")] * 1500, [(LONG, b"a" * 200_000)], [(SHORT, b"a" * 70_000)] * 3],
    ids=["many", "long", "few"],
)
@pytest.mark.parametrize("cut", [2, 5, 8, 30, 60])
def test_a_head_is_not_too_long_for_what_was_asked_before_it(before: list[tuple[str, bytes]], cut: int) -> None:
    """They came in one piece with its beginning."""

    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1_000_000)
        last = post(SHORT, b"b")
        writer.write(b"".join(post(path, body) for path, body in before) + last[:cut])
        await asyncio.sleep(0.05)
        writer.write(last[cut:])
        told = await replies(reader, len(before) + 1)
        assert {status for status, *_ in told} == {200}
        assert told[-1][2] == b"/short b"
        writer.close()

    Served().run(client)


def test_a_head_that_never_ends_is_431_before_it_fills_the_memory() -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST /short HTTP/1.1\r\nx-a: ")
        sent = 0
        while not reader._buffer and sent < 100 * HEAD_BYTES:  # type: ignore[attr-defined]
            writer.write(b"y" * 8192)
            sent += 8192
            await asyncio.sleep(0.001)
        assert (await replies(reader, 1))[0][0] == 431
        assert sent < 20 * HEAD_BYTES
        writer.close()

    Served().run(client)


def test_a_head_that_is_not_whole_in_time_is_408_and_one_that_is_slow_is_answered() -> None:
    async def client(served: Served) -> None:
        served.short.head_s = 0.5
        wire = post(SHORT, b"a")
        for pause, status in ((0.1, 200), (2.0, 408)):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            for piece in (wire[:20], wire[20:40]):
                writer.write(piece)
                await asyncio.sleep(pause / 2)
            if status == 200:
                writer.write(wire[40:])
                await asyncio.sleep(0.6)
            assert (await replies(reader, 1))[0][0] == status
            writer.close()

    Served().run(client)
