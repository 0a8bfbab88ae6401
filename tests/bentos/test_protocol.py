"""The short way beside uvicorn's own: the same replies, in the same order, whatever the pieces they come in."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos import lingering, protocol
from bentos.admission import Admission
from bentos.http import HeaderList, Reply
from bentos.protocol import install
from bentos.refusals import HEAD_BYTES
from bentos.short_way import ShortWay

SHORT, LONG = "/short", "/long"


class Served:
    """uvicorn on a free port, whose app and short way both say what they were asked, and which of them was."""

    def __init__(self, **config: Any) -> None:
        self.waits: set[bytes] = set()
        """Bodies that are not for the short way."""
        self.by: list[str] = []
        self.short = ShortWay([SHORT], self._answer)
        log = logging.getLogger("uvicorn.access")
        log.setLevel(logging.WARNING)
        made = uvicorn.Config(
            self._app,
            interface="asgi3",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            **config,
        )
        self.server = uvicorn.Server(made)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def _answer(self, path: str, headers: HeaderList, body: bytes, client: Sequence[Any] | None) -> Reply | None:
        assert client is not None
        assert client[0] == "127.0.0.1"
        if body in self.waits:
            return None
        self.by.append("short")
        status = 200 if body != b"bad" else 422
        more = [(b"retry-after", b"1")] if body == b"bad" else []
        said = path.encode() + b" " + body * (5_000_000 if body == b"big" else 1)
        return Reply(status, said, dict(headers).get(b"x-request-id", b"-"), more)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["path"] != "/long-unread"
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.by.append("long")
        ident = dict(scope["headers"]).get(b"x-request-id", b"-")
        said = scope["path"].encode() + b" " + body * (5_000_000 if body == b"big" else 1)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(said)),
            (b"x-request-id", ident),
        ]
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    def run(self, client: Callable[[Served], Awaitable[None]]) -> None:
        """Serve while ``client`` asks."""

        async def both() -> None:
            self.server.config.load()
            install(self.short, self.server)
            serving = asyncio.create_task(self.server._serve([self.socket]))
            while not self.server.started:
                await asyncio.sleep(0.001)
            try:
                await asyncio.wait_for(client(self), 30)
            finally:
                self.server.should_exit = True
                await serving

        asyncio.run(both())


def post(path: str, body: bytes, ident: str = "-", *headers: str, version: str = "1.1", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: x", f"x-request-id: {ident}", *headers]
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def replies(reader: asyncio.StreamReader, count: int) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    told = []
    for _ in range(count):
        status, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        told.append((int(status.split()[1]), headers, await reader.readexactly(int(headers[b"content-length"]))))
    return told


OTHER_PROTOCOL = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQ")
REQUEST = st.tuples(
    st.sampled_from([SHORT, LONG, SHORT + "?x=1"]),
    st.sampled_from([b"", b"hello", b"wait", b"bad", b"y" * 3000]),
    st.sampled_from([(), (), OTHER_PROTOCOL]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(REQUEST, min_size=1, max_size=8), st.data())
def test_replies_come_in_order_however_requests_are_cut(
    asked: list[tuple[str, bytes, tuple[str, ...]]], data: st.DataObject
) -> None:
    wire = b"".join(post(path, body, str(n), *more) for n, (path, body, more) in enumerate(asked))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))

    async def client(served: Served) -> None:
        served.waits.add(b"wait")
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            writer.write(wire[start:end])
            await writer.drain()
            await asyncio.sleep(0.001)
        told = await replies(reader, len(asked))
        writer.close()
        for n, ((path, body, _), (_, headers, said)) in enumerate(zip(asked, told, strict=True)):
            assert headers[b"x-request-id"] == str(n).encode()
            assert said == path.removesuffix("?x=1").encode() + b" " + body
        assert len(served.by) == len(asked)

    Served().run(client)


@pytest.mark.parametrize(
    ("sent", "way"),
    [
        (post(SHORT, b"a"), "short"),
        (post(SHORT, b"a", "-", "content-type: application/json", "authorization: Bearer x"), "short"),
        (post(SHORT, b"3\r\nabc\r\n0\r\n\r\n", "-", "transfer-encoding: chunked"), "short"),
        (post(LONG, b"a"), "long"),
        (post(SHORT, b"", method="GET"), "long"),
        (post(SHORT, b"a", version="1.0"), "long"),
        (post(SHORT, b"a", "-", "connection: close"), "long"),
        (post(SHORT, b"a", "-", "upgrade: h2c", "connection: close, upgrade"), "long"),
        (post(SHORT, b"a", "-", "upgrade: h2c", "connection: upgrade", version="1.0"), "long"),
        (post(SHORT, b"a", "-", *OTHER_PROTOCOL), "short"),
        (post(SHORT, b"a", "-", "upgrade: websocket", "connection: Upgrade", "sec-websocket-version: 13"), "short"),
    ],
)
def test_what_is_unusual_goes_uvicorns_way(sent: bytes, way: str) -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(sent)
        ((status, headers, _),) = await replies(reader, 1)
        assert (status, served.by) == (200, [way])
        assert b"date" in headers
        if b"close" in sent or b"HTTP/1.0" in sent:
            assert await reader.read() == b""
        writer.close()

    Served().run(client)


def test_who_expects_to_be_told_to_go_on_is_told() -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head, body = post(SHORT, b"hello", "-", "expect: 100-continue").split(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await replies(reader, 1))[0][2] == b"/short hello"
        writer.close()

    Served().run(client)


def test_a_reply_larger_than_the_socket_takes_comes_whole_and_in_its_place() -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for body in (b"a", b"big", b"b"):
            writer.write(post(SHORT, body))
            await asyncio.sleep(0.1)  # nobody reads
        told = await replies(reader, 3)
        assert [said for *_, said in told] == [b"/short a", b"/short " + b"big" * 5_000_000, b"/short b"]
        assert served.by == ["short", "short", "long"]
        writer.close()

    Served().run(client)


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


def test_what_was_said_before_the_end_is_answered() -> None:
    async def client(served: Served) -> None:
        for path in (SHORT, LONG):
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(post(path, b"a"))
            writer.close()
        while len(served.by) < 2:
            await asyncio.sleep(0.01)

    Served().run(client)


def test_an_error_has_its_status_and_headers() -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(SHORT, b"bad", "me"))
        ((status, headers, _),) = await replies(reader, 1)
        assert status == 422
        assert headers[b"retry-after"] == b"1"
        assert headers[b"x-request-id"] == b"me"
        assert headers[b"content-type"] == b"application/json"
        writer.close()

    Served().run(client)


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


def test_closed_everything_goes_uvicorns_way_also_what_is_half_here() -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        half, rest = post(SHORT, b"a")[:-1], b"a"
        writer.write(half)
        await asyncio.sleep(0.05)
        served.short.close()
        writer.write(rest + post(SHORT, b"b"))
        told = await replies(reader, 2)
        assert [said for *_, said in told] == [b"/short a", b"/short b"]
        assert served.by == ["long", "long"]
        writer.close()

    Served().run(client)


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
