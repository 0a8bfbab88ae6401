"""Heads and bodies that a proxy may read in another way: refused, and what follows them is nobody's request."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from bentos.web.refusals import HEAD_BYTES
from tests.bentos.conftest import Served
from tests.bentos.web.test_garbled import replied
from tests.bentos.wire import LONG, SHORT, post, replies
from tests.bentos.wire import Served as Wire

ASKED = b'{"device_id": "phone-parked"}'
SMUGGLED = b"GET /model HTTP/1.1\r\nhost: x\r\nx-request-id: smuggled\r\n\r\n"
LENGTH = b"content-length: %d" % len(ASKED)
CHUNKED = b"transfer-encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ASKED), ASKED)
LINE = b"POST /where_parked HTTP/1.1"
HOST = b"host: x"


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


def in_chunks(before: bytes, after: bytes = b"\r\n0\r\n\r\n") -> bytes:
    return head(LINE, HOST, CHUNKED) + before + ASKED + after


SIZE = b"%x" % len(ASKED)
UNSOUND = {
    "no host": head(LINE, LENGTH) + ASKED,
    "two hosts": head(LINE, HOST, LENGTH, b"host: y") + ASKED,
    "the same host twice": head(LINE, HOST, HOST, LENGTH) + ASKED,
    "a host that is none": head(LINE, b"host: a b", LENGTH) + ASKED,
    "a host with a path": head(LINE, b"host: a/b", LENGTH) + ASKED,
    "no host, absolute": head(b"POST http://x/where_parked HTTP/1.1", LENGTH) + ASKED,
    "two hosts, 1.0": head(b"POST /where_parked HTTP/1.0", HOST, LENGTH, b"host: y") + ASKED,
    "compressed chunks": head(LINE, HOST, b"transfer-encoding: gzip, chunked") + CHUNKS,
    "compressed": head(LINE, HOST, b"transfer-encoding: gzip") + CHUNKS,
    "compressed, then chunks": head(LINE, HOST, b"transfer-encoding: gzip", CHUNKED) + CHUNKS,
    "chunks, then compressed": head(LINE, HOST, CHUNKED, b"transfer-encoding: gzip") + CHUNKS,
    "chunked twice": head(LINE, HOST, b"transfer-encoding: chunked, chunked") + CHUNKS,
    "chunked in two lines": head(LINE, HOST, CHUNKED, CHUNKED) + CHUNKS,
    "identity": head(LINE, HOST, b"transfer-encoding: identity", LENGTH) + ASKED,
    "identity, chunked": head(LINE, HOST, b"transfer-encoding: identity, chunked") + CHUNKS,
    "an empty coding": head(LINE, HOST, b"transfer-encoding: , chunked") + CHUNKS,
    "no coding": head(LINE, HOST, b"transfer-encoding:") + CHUNKS,
    "nearly chunked": head(LINE, HOST, b"transfer-encoding: xchunked") + CHUNKS,
    "quoted": head(LINE, HOST, b'transfer-encoding: "chunked"') + CHUNKS,
    "a vertical tab": head(LINE, HOST, b"transfer-encoding: \x0bchunked") + CHUNKS,
    "with a parameter": head(LINE, HOST, b"transfer-encoding: chunked;q=1") + CHUNKS,
    "chunks in 1.0": head(b"POST /where_parked HTTP/1.0", HOST, CHUNKED) + CHUNKS,
    "chunks in 1.0, kept": head(b"POST /where_parked HTTP/1.0", HOST, CHUNKED, b"connection: keep-alive") + CHUNKS,
    "length and chunks": head(LINE, HOST, LENGTH, CHUNKED) + CHUNKS,
    "chunks and length": head(LINE, HOST, CHUNKED, LENGTH) + CHUNKS,
    "+length": head(LINE, HOST, b"content-length: +29") + ASKED,
    "-length": head(LINE, HOST, b"content-length: -29") + ASKED,
    "two lengths": head(LINE, HOST, b"content-length: 29, 29") + ASKED,
    "length twice": head(LINE, HOST, LENGTH, LENGTH) + ASKED,
    "another length": head(LINE, HOST, LENGTH, b"content-length: 0") + ASKED,
    "no length": head(LINE, HOST, b"content-length:") + ASKED,
    "hexadecimal": head(LINE, HOST, b"content-length: 0x1d") + ASKED,
    "2^64": head(LINE, HOST, b"content-length: 18446744073709551645") + ASKED,
    "a folded length": head(LINE, HOST, b"content-length: 2\r\n 9") + ASKED,
    "folded": head(LINE, HOST, LENGTH, b"x-a: b\r\n c") + ASKED,
    "folded at once": head(LINE, b" x-a: b", HOST, LENGTH) + ASKED,
    "bare LF": head(LINE, HOST, LENGTH + b"\nx-a: b") + ASKED,
    "bare LF at the end": head(LINE, HOST, LENGTH)[:-4] + b"\n\n" + ASKED,
    "bare CR": head(LINE, HOST, LENGTH, b"x-a: b\rc: d") + ASKED,
    "NUL": head(LINE, HOST, LENGTH, b"x-a: b\0c") + ASKED,
    "NUL in a name": head(LINE, HOST, LENGTH, b"x\0a: b") + ASKED,
    "a space before the colon": head(LINE, HOST, LENGTH, b"transfer-encoding : chunked") + ASKED,
    "a tab before the colon": head(LINE, HOST, LENGTH, b"transfer-encoding\t: chunked") + ASKED,
    "no name": head(LINE, HOST, LENGTH, b": b") + ASKED,
    "no colon": head(LINE, HOST, LENGTH, b"x") + ASKED,
    "a fragment": head(b"POST /where_parked#x HTTP/1.1", HOST, LENGTH) + ASKED,
    "a space in the target": head(b"POST /where_parked x HTTP/1.1", HOST, LENGTH) + ASKED,
    "a host and a port": head(b"POST x:80 HTTP/1.1", HOST, LENGTH) + ASKED,
    "HTTP/0.9": b"GET /where_parked\r\n\r\n",
    "HTTP/1.2": head(b"POST /where_parked HTTP/1.2", HOST, LENGTH) + ASKED,
    "HTTP/2.0": head(b"POST /where_parked HTTP/2.0", HOST, LENGTH) + ASKED,
    "HTTP/2's own": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "LF in an extension": in_chunks(SIZE + b";a\nb\r\n"),
    "CR in an extension": in_chunks(SIZE + b";a\rb\r\n"),
    "a space behind the size": in_chunks(SIZE + b" \r\n"),
    "+size": in_chunks(b"+" + SIZE + b"\r\n"),
    "0xsize": in_chunks(b"0x" + SIZE + b"\r\n"),
    "-size": in_chunks(b"-" + SIZE + b"\r\n"),
    "a size and LF": in_chunks(SIZE + b"\n"),
    "no size": in_chunks(b"\r\n"),
    "a size beyond 2^64": in_chunks(b"1000000000000000" + SIZE + b"\r\n"),
    "a chunk that ends with LF": in_chunks(SIZE + b"\r\n", b"\n0\r\n\r\n"),
    "a chunk without an end": in_chunks(SIZE + b"\r\n", b"0\r\n\r\n"),
    "chunks that end with LF": in_chunks(SIZE + b"\r\n", b"\r\n0\n\n"),
    "a length behind chunks": in_chunks(SIZE + b"\r\n", b"\r\n0\r\ncontent-length: 0\r\n\r\n"),
    "a coding behind chunks": in_chunks(SIZE + b"\r\n", b"\r\n0\r\ntransfer-encoding: chunked\r\n\r\n"),
    "a folded trailer": in_chunks(SIZE + b"\r\n", b"\r\n0\r\nx-a: b\r\n c\r\n\r\n"),
}
SOUND = {
    "absolute": head(b"POST http://x/where_parked HTTP/1.1", HOST, LENGTH) + ASKED,
    "an empty host": head(LINE, b"host:", LENGTH) + ASKED,
    "a port": head(LINE, b"host: parked.example:3000", LENGTH) + ASKED,
    "IPv6": head(LINE, b"host: [::1]:3000", LENGTH) + ASKED,
    "no host in 1.0": head(b"POST /where_parked HTTP/1.0", LENGTH) + ASKED,
    "an empty line before it": b"\r\n" + head(LINE, HOST, LENGTH) + ASKED,
    "a length with zeros": head(LINE, HOST, b"content-length: 00029") + ASKED,
    "Chunked": head(LINE, HOST, b"Transfer-Encoding: CHUNKED") + CHUNKS,
    "an extension": in_chunks(SIZE + b';a=b;c="d"\r\n'),
    "a trailer": in_chunks(SIZE + b"\r\n", b"\r\n0\r\nx-a: b\r\n\r\n"),
    "a header twice": head(LINE, HOST, LENGTH, b"accept: a/b", b"accept: */*") + ASKED,
}


def statuses(got: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", got)]


@pytest.mark.parametrize("path", [b"/where_parked", b"/confirm", b"/livez"], ids=["short", "long", "BentoML's"])
@pytest.mark.parametrize("said", UNSOUND.values(), ids=UNSOUND)
def test_what_may_be_read_in_two_ways_is_refused_and_what_follows_it_is_not_read(
    served: Served, said: bytes, path: bytes
) -> None:
    said = said.replace(b"/where_parked", path)
    for cut in (0, said.find(b"\r\n\r\n") + 4):
        got = replied(served, said + SMUGGLED, cut)
        assert b"smuggled" not in got
        if path == b"/livez" and statuses(got) == [405]:
            continue  # BentoML needs no body to say so, and was faster than the rest of it
        assert statuses(got) == [400]
        assert json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "invalid_http"
        assert b"\r\nconnection: close\r\n" in got


@pytest.mark.parametrize("said", SOUND.values(), ids=SOUND)
def test_what_is_sound_is_answered_though_it_is_unusual(served: Served, said: bytes) -> None:
    for cut in (0, 20, len(said) - 3):
        got = replied(served, said + (b"" if b"HTTP/1.0" in said else SMUGGLED), cut)
        assert set(statuses(got)) == {200}
        assert b'"state":"parked"' in got
        assert b"HTTP/1.0" in said or b"smuggled" in got


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_a_head_that_is_too_long_is_the_end_of_what_came_with_it(path: str) -> None:
    async def client(served: Wire) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(path, b"a", "-", "x-a: " + "y" * HEAD_BYTES) + post(SHORT, b"b") + post(LONG, b"c"))
        assert (await replies(reader, 1))[0][0] == 431
        assert await reader.read() == b""
        writer.close()
        assert served.by == []

    Wire().run(client)


@pytest.mark.parametrize("path", [SHORT, LONG])
@pytest.mark.parametrize("cut", [0, 60, 90])
def test_trailers_are_no_headers(path: str, cut: int) -> None:
    """Whoever checked the headers on the way here has not seen them."""

    async def client(served: Wire) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        body = b"1\r\na\r\n0\r\nx-request-id: theirs\r\nauthorization: Bearer x\r\n\r\n"
        said = post(path, body, "mine", CHUNKED.decode())
        writer.write(said[:cut])
        await asyncio.sleep(0.02)
        writer.write(said[cut:] + post(SHORT, b"b", "next"))
        for told in await replies(reader, 2):
            assert (told[1][b"x-request-id"], told[2]) in [
                (b"mine", path.encode() + b" a"),
                (b"next", SHORT.encode() + b" b"),
            ]
        writer.close()

    Wire().run(client)


@pytest.mark.parametrize("path", [SHORT, LONG])
@pytest.mark.parametrize(
    ("begun", "goes_on"),
    [(b"1;a=", b"b" * 8192), (b"0" * 100, b"0" * 8192), (b"1\r\na\r\n0\r\n", b"x-a: b\r\n" * 1024)],
    ids=["extension", "size", "trailers"],
)
def test_what_is_said_around_a_body_has_an_end(path: str, begun: bytes, goes_on: bytes) -> None:
    async def client(served: Wire) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(path, begun, "-", CHUNKED.decode()))
        sent = 0
        while not reader._buffer and sent < 100 * HEAD_BYTES:  # type: ignore[attr-defined]
            writer.write(goes_on)
            sent += len(goes_on)
            await asyncio.sleep(0.001)
        ((status, _, said),) = await replies(reader, 1)
        assert (status, json.loads(said)["error"]["code"]) == (400, "invalid_http")
        assert sent < 10 * HEAD_BYTES
        writer.close()
        assert served.by == []

    Wire().run(client)


@pytest.mark.parametrize("broken", [b"no size\r\n", b"1;a=" + b"b" * 100_000], ids=["no size", "extension"])
def test_a_question_that_has_its_answer_gets_no_other(served: Served, broken: bytes) -> None:
    """Its body goes wrong once it is answered: who shares the connection would take a second answer for its own."""
    address = urlsplit(served.server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as asking:
        asking.sendall(head(b"PUT /where_parked HTTP/1.1", HOST, CHUNKED) + b"1\r\na\r\n")
        got = b""
        while b"}}" not in got:
            got += asking.recv(65_536)
        asking.sendall(broken)
        asking.shutdown(socket.SHUT_WR)
        while more := asking.recv(65_536):
            got += more
        assert statuses(got) == [405]


def test_a_body_in_the_smallest_chunks_is_taken() -> None:
    async def client(served: Wire) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(LONG, b"", "-", CHUNKED.decode()))
        for _ in range(200):
            writer.write(b"0001\r\na\r\n" * 1000)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert (await replies(reader, 1))[0][2] == b"/long " + b"a" * 200_000
        writer.close()

    Wire().run(client)
