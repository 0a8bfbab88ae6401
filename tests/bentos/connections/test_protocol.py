"""The short way beside uvicorn's own: the same replies, in the same order, whatever the pieces they come in."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bentos.wire import LONG, SHORT, Served, post, replies

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
        (post(SHORT, b"3\r\nabc\r\n0\r\n\r\n", "-", "transfer-encoding: chunked"), "long"),
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


def test_what_was_said_before_the_end_is_answered() -> None:
    async def client(served: Served) -> None:
        for path in (SHORT, LONG):
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(post(path, b"a"))
            writer.close()
        while len(served.by) < 2:
            await asyncio.sleep(0.01)

    Served().run(client)


@pytest.mark.parametrize("paths", [[SHORT], [LONG], [LONG, LONG], [SHORT, LONG, SHORT]], ids="-".join)
def test_who_says_that_it_asks_no_more_is_told_what_it_asked_and_then_the_end(paths: list[str]) -> None:
    """As ``nc -N`` and HTTP/1.0 clients do; with a store that is waited for they heard nothing."""

    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"".join(post(path, b"%d" % number) for number, path in enumerate(paths)))
        writer.write_eof()
        told = await replies(reader, len(paths))
        assert [said for *_, said in told] == [f"{path} {number}".encode() for number, path in enumerate(paths)]
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    Served().run(client)


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_who_says_that_it_ends_in_the_middle_of_a_body_is_ended(path: str) -> None:
    async def client(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(path, b"abc")[:-1])
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

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
