"""Requests garbled on the wire: what a schema's examples never are. Each is answered or ended, none is a 5xx."""

from __future__ import annotations

import json
import re
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bentos.conftest import Served
from tests.bentos.load import REQUEST
from tests.bentos.wire import post

CHUNKED = b"18\r\n" + b'{"device_id": "phone-1"}' + b"\r\n0\r\nx-t: 1\r\n\r\n"
SOUND = [
    REQUEST,
    post("/where_parked", CHUNKED, "a", "transfer-encoding: chunked"),
    post("/where_parked", b'{"device_id": "p"}', "a", "expect: 100-continue", "connection: upgrade", "upgrade: h2c"),
    post("/where_parked", b'{"device_id": "p"}', version="1.0"),
    post("/score", b'{"device_ids": ["phone-parked", "phone-jam"]}'),
    post(
        "/confirm", b'{"device_id": "p", "at": "2026-03-01T07:00:00Z", "lat": 48.1, "lon": 11.5, "verdict": "parked"}'
    ),
    post("/explain", b'{"answer_id": "064bf45f4a06cb65554c8885f92622f8", "skip": 0}'),
    post("/correct", b'{"answer_id": "064bf45f4a06cb65554c8885f92622f8", "wrong": true}'),
    post("/model", b"", method="HEAD"),
    b"GET /metrics HTTP/1.0\r\n\r\n",
]
PIECES = [
    b"\r\n", b"\n", b"\x00", b":", b" ", b"\xff", b'"', b"{", b"}", b"[" * 3000, b"e308", b"1e-400", b"9" * 5000,
    b"\\ud800",
    b"\xef\xbb\xbf", b"NaN", b"\x1f\x8b", b"%00", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n",
    b"content-encoding: gzip\r\n", b"connection: close\r\n", b"host: y\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n",
    b"gzip, ", b" \r\n x", b"HTTP/1.0", b"HTTP/2.0", b"http://y", b";x=y", b"+",
]  # fmt: skip
ENDS = re.compile(rb'\{"error":\{"code":"(?:invalid_http|head_too_large)"[^}]*\}\}(.*)', re.DOTALL)
"""The last that is said on a connection."""
KNOWN = {100, 200, 400, 401, 404, 405, 408, 409, 413, 415, 422, 429, 431}


@st.composite
def garbled(draw: st.DrawFn) -> bytes:
    said = draw(st.sampled_from(SOUND))
    for _ in range(draw(st.integers(0, 4))):
        at, piece = draw(st.integers(0, len(said))), draw(st.sampled_from([*PIECES, *SOUND]))
        gone = draw(st.sampled_from([0, 0, 1, 2, 8, 40]))
        said = said[:at] + draw(st.sampled_from([b"", piece])) + said[at + gone :]
    return said


def replied(served: Served, said: bytes, cut: int) -> bytes:
    """All that is answered by the end of the connection; the client says with its last word that nothing more comes."""
    address = urlsplit(served.server.url)
    got = b""
    with socket.create_connection((address.hostname, address.port), timeout=10) as asking:
        try:
            asking.sendall(said[:cut])
            asking.sendall(said[cut:])
            asking.shutdown(socket.SHUT_WR)
            while more := asking.recv(65_536):
                got += more
        except (ConnectionResetError, BrokenPipeError):
            pass
    return got


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbled(), st.integers(0, 300))
def test_whatever_a_request_becomes_it_is_answered_or_ended(served: Served, said: bytes, cut: int) -> None:
    got = replied(served, said, cut)
    assert {int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", got)} <= KNOWN
    ended = ENDS.search(got)
    assert ended is None or ended[1] == b"", "what follows a refused request is nobody's"
    for told in re.findall(rb'\{"error":[^\r\n]*?\}\}', got):
        assert set(json.loads(told)["error"]) <= {"code", "message", "field"}


@pytest.mark.parametrize("said", SOUND[:5], ids=["plain", "chunked", "expects", "1.0", "many"])
def test_and_sound_ones_are_answered_as_ever(served: Served, said: bytes) -> None:
    got = replied(served, said, 40)
    assert b"HTTP/1.1 200 OK\r\n" in got
    assert b'"answer_id"' in got


def test_the_server_is_well_after_all(served: Served) -> None:
    assert httpx.get(f"{served.server.url}/livez", timeout=5).status_code == 200
