"""Hostile and broken requests to the real server: a 4xx in the one shape, never a 500, and the server lives on."""

from __future__ import annotations

import gzip
import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.bentos.conftest import CONFIRMATION

ANSWER_ID = "0" * 32
VALID: dict[str, dict[str, Any]] = {
    "/where_parked": {"device_id": "phone-parked"},
    "/score": {"items": [{"device_id": "phone-parked"}, {"device_id": "phone-jam"}]},
    "/confirm": CONFIRMATION,
    "/correct": {"answer_id": ANSWER_ID, "wrong": True},
    "/explain": {"answer_id": ANSWER_ID},
    "/model": {},
}
ACTUAL = {"lat": 1.0, "lon": 1.0, "at": "2026-01-01T00:00:00Z"}


def everywhere() -> Iterator[tuple[str, str, bytes]]:
    """What no path takes, whatever it asks for."""
    for path, valid in VALID.items():
        text = json.dumps(valid).encode()
        inside = text[1:-1]
        more = b"," if inside else b""
        yield path, "not JSON", b"device_id=phone"
        yield path, "half of it", text[:-1]
        yield path, "bad UTF-8", b'{"device_id": "\xc3\x28"}'
        yield path, "UTF-16", text.decode().encode("utf-16")
        yield path, "a byte order mark", b"\xef\xbb\xbf" + text
        yield path, "a list", b"[]"
        yield path, "null", b"null"
        yield path, "a number too large", b"1e999999"
        yield path, "a lone surrogate", b'{"device_id": "\\ud800", "answer_id": "\\ud800"}'
        yield path, "deep lists", b"[" * 100_000
        yield path, "deep objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
        yield path, "deep inside a field", b'{"device_id":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
        yield path, "an unknown field", b'{"surprise": 1%s%s}' % (more, inside)
        yield path, "a proto field", b'{"__proto__": {}%s%s}' % (more, inside)
        yield path, "NaN", b'{"surprise": NaN}'
        yield path, "two documents", text + text
        yield path, "many unknown fields", json.dumps({f"f{n}": n for n in range(20_000)}).encode()
        for name, value in valid.items():
            once = json.dumps({name: value})[1:-1].encode()
            yield path, f"{name} twice", b"{%s,%s}" % (inside, once)
            escaped = once.replace(name.encode(), b"\\u%04x" % ord(name[0]) + name[1:].encode(), 1)
            yield path, f"{name} twice, once escaped", b"{%s,%s}" % (inside, escaped)
            for wrong in (None, {}, [], [[]], 1.5, "", "x" * 200_000, {"a": 1}):
                if type(wrong) is not type(value) or not wrong or isinstance(wrong, str):
                    yield path, f"{name} is {str(wrong)[:9]}", json.dumps(valid | {name: wrong}).encode()
            yield path, f"without {name}", json.dumps({k: v for k, v in valid.items() if k != name}).encode()


def here() -> Iterator[tuple[str, str, bytes]]:
    """What one path does not take."""
    for name in ("lat", "lon"):
        for wrong in (b"NaN", b"Infinity", b"-Infinity", b"1e400", b"181", b"true", b'"48.1"'):
            body = json.dumps(CONFIRMATION | {name: 77}).encode().replace(b"77", wrong)
            yield "/confirm", f"{name} {wrong.decode()}", body
            body = json.dumps({"answer_id": ANSWER_ID, "actual": ACTUAL | {name: 77}}).encode().replace(b"77", wrong)
            yield "/correct", f"actual {name} {wrong.decode()}", body
    for moment in ("yesterday", "2026-03-01T08:00:00", "2026-02-30T00:00:00Z", "", "0001-01-01T00:00:00Z", "٢٠٢٦"):
        yield "/where_parked", f"asked_at {moment}", json.dumps({"device_id": "x", "asked_at": moment}).encode()
    yield "/score", "no items", b'{"items": []}'
    yield "/score", "no devices", b'{"device_ids": []}'
    yield "/score", "an item's key twice", b'{"items": [{"device_id": "x", "device_id": "phone-parked"}]}'
    yield "/score", "a key twice, and one left out", b'{"items": [{"device_id": "a", "device_id": "b"}, {"x": 1}]}'
    yield "/score", "1001 devices", json.dumps({"device_ids": ["x"] * 1001}).encode()
    yield "/score", "a million nothings", b'{"device_ids": [' + b"0," * 200_000 + b"0]}"
    yield "/correct", "nothing said", json.dumps({"answer_id": ANSWER_ID}).encode()
    yield "/correct", "a null and nothing", json.dumps({"answer_id": ANSWER_ID, "actual": None}).encode()
    nested = b'{"answer_id": "%s", "actual": {"lat": 1, "lat": 2, "lon": 1, "at": "2026-01-01T00:00:00Z"}}'
    yield "/correct", "a nested key twice", nested % ANSWER_ID.encode()


CASES = [*everywhere(), *here()]


@pytest.fixture(scope="module")
def hostile(served: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.server.url, timeout=10) as client:
        yield client
        reply = client.post("/where_parked", json={"device_id": "phone-parked"})
        assert reply.json()["state"] == "parked", "the server lives on"


def refused(reply: httpx.Response, *statuses: int) -> str:
    """The code of an error in the one shape."""
    assert reply.status_code in statuses, (reply.status_code, reply.text[:300])
    assert reply.headers["content-type"] == "application/json"
    (error,) = reply.json().values()
    assert set(error) - {"field"} == {"code", "message"}
    assert all(isinstance(part, str) and part for part in error.values())
    return str(error["code"])


@pytest.mark.parametrize(("path", "body"), [(c[0], c[2]) for c in CASES], ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_what_is_no_request_is_refused_in_the_one_shape(hostile: httpx.Client, path: str, body: bytes) -> None:
    refused(hostile.post(path, content=body, headers={"content-type": "application/json"}), 400, 422)


@pytest.mark.parametrize("path", list(VALID))
def test_ten_megabytes_are_refused_declared_or_not(hostile: httpx.Client, path: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(160):
            yield b" " * 65_536

    assert refused(hostile.post(path, content=b" " * 10_485_760), 413) == "too_large"
    assert refused(hostile.post(path, content=chunks()), 413) == "too_large"


@pytest.mark.parametrize("size", [1_100_000, 10_485_760])
@pytest.mark.parametrize("declared", [True, False])
def test_who_says_all_before_it_listens_hears_that_it_was_too_much(
    hostile: httpx.Client, size: int, declared: bool
) -> None:
    address = hostile.base_url.host, hostile.base_url.port
    for _ in range(8):
        client = http.client.HTTPConnection(*address, timeout=10)
        body = b" " * size if declared else (b" " * 65_536 for _ in range(size // 65_536 + 1))
        client.request("POST", "/where_parked", body, encode_chunked=not declared, headers=chunked(declared))
        reply = client.getresponse()
        assert (reply.status, json.loads(reply.read())["error"]["code"]) == (413, "too_large")
        assert reply.headers["connection"] == "close"
        client.close()


def chunked(declared: bool) -> dict[str, str]:
    return {} if declared else {"transfer-encoding": "chunked"}


@pytest.mark.parametrize("path", list(VALID))
@pytest.mark.parametrize(
    "kind",
    ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "application/xml", "json", "a/b;c"],
)
def test_another_media_type_is_refused(hostile: httpx.Client, path: str, kind: str) -> None:
    reply = hostile.post(path, json=VALID[path], headers={"content-type": kind})
    assert refused(reply, 415) == "unsupported_media_type"


def test_compressed_bodies_are_not_unpacked(hostile: httpx.Client) -> None:
    plain = json.dumps(VALID["/where_parked"]).encode()
    ask = lambda body, coded: hostile.post(  # noqa: E731
        "/where_parked", content=body, headers={"content-type": "application/json", "content-encoding": coded}
    )
    for body in (plain, gzip.compress(plain)):
        assert refused(ask(body, "gzip"), 415) == "unsupported_media_type"
    assert ask(plain, "identity").status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
@pytest.mark.parametrize("path", [*VALID, "/readyz", "/livez", "/metrics", "/docs.json", "/"])
def test_another_method_is_told_which_to_use(hostile: httpx.Client, path: str, method: str) -> None:
    reply = hostile.request(method, path)
    reads = ("GET",) if path == "/model" else () if path in VALID else ("GET", "HEAD")
    if method in reads:
        assert reply.status_code == 200
        return
    assert reply.status_code == 405
    assert reply.headers["allow"]
    if method != "HEAD":
        refused(reply, 405)


@pytest.mark.parametrize("path", ["/where_parked/", "/WHERE_PARKED", "/..%2fmodel", "/%00", "/é", "/x" * 900])
def test_other_paths_are_not_found(hostile: httpx.Client, path: str) -> None:
    assert refused(hostile.post(path, json=VALID["/where_parked"]), 404) == "not_found"


@pytest.mark.parametrize(
    "path", ["/static_content/nope", "/static_content/%2e%2e/x", "/static_content/", "/assets/", "/static_content/%00"]
)
def test_what_bentomls_pages_do_not_have_is_told_in_our_shape_and_has_no_series(
    hostile: httpx.Client, path: str
) -> None:
    reply = hostile.get(path)
    assert refused(reply, 404) == "not_found"
    assert reply.headers["x-request-id"]
    assert hostile.head(path).status_code == 404
    assert hostile.get("/static_content/index.css").status_code == 200
    counted = re.findall(r'endpoint="(/static_content/[^"]*|/assets/[^"]*)"', hostile.get("/metrics").text)
    assert set(counted) == {"/static_content/index.css"}


SOCKET = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("path", ["/", "/where_parked", "/nope"])
@pytest.mark.parametrize("without", [None, "sec-websocket-version", "sec-websocket-key"])
def test_a_web_socket_is_told_that_there_is_none(hostile: httpx.Client, path: str, without: str | None) -> None:
    reply = hostile.get(path, headers={name: value for name, value in SOCKET.items() if name != without})
    assert refused(reply, 404) == "not_found"
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize(
    "wish", [SOCKET, {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c"}], ids=["ws", "h2c"]
)
def test_a_question_that_would_rather_speak_another_protocol_is_answered_in_this_one(
    hostile: httpx.Client, wish: dict[str, str]
) -> None:
    for _ in range(2):
        reply = hostile.post("/where_parked", json=VALID["/where_parked"], headers=wish)
        assert (reply.status_code, reply.json()["state"]) == (200, "parked")
    told = CONFIRMATION | {"device_id": "phone-" + wish["upgrade"]}  # other tests confirm the usual phone, once
    assert hostile.post("/confirm", json=told, headers=wish).status_code == 200


@pytest.mark.parametrize(
    "device_id", ["телефон", "電話-7", "📱", "a b", "'; DROP TABLE label; --", "../../etc", "é" * 128]
)
def test_any_visible_text_is_an_id(hostile: httpx.Client, device_id: str) -> None:
    reply = hostile.post("/where_parked", json={"device_id": device_id})
    assert reply.json()["reason"] == "unknown_device"
    told = CONFIRMATION | {"device_id": device_id, "key": device_id}
    assert hostile.post("/confirm", json=told).json()["stored"]


@pytest.mark.parametrize("header", [{"authorization": "Bearer " + "x" * 4000}, {"accept": "text/html"}, {"x-y": "é"}])
def test_odd_headers_do_no_harm_where_no_token_is_asked_for(hostile: httpx.Client, header: dict[str, str]) -> None:
    encoded = {name: value.encode() for name, value in header.items()}
    assert hostile.post("/where_parked", json={"device_id": "phone-parked"}, headers=encoded).status_code == 200
