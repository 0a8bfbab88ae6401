"""Mistakes of whoever asks: each has the one error shape, and names the field that is wrong."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.bentos.conftest import CONFIRMATION

WRONG = (422, "invalid_request")

BAD: list[tuple[str, str, bytes, tuple[int, str], str | None]] = [
    ("POST", "/where_parked", b"", (400, "invalid_json"), None),
    ("POST", "/where_parked", b"{", (400, "invalid_json"), None),
    ("POST", "/where_parked", b'{"device_id": "\\ud800"}', (400, "invalid_json"), None),
    ("POST", "/where_parked", b"\xff\xfe", (400, "invalid_json"), None),
    ("POST", "/where_parked", b"[" * 5000 + b"]" * 5000, (400, "invalid_json"), None),
    ("POST", "/where_parked", b"[]", WRONG, None),
    ("POST", "/where_parked", b"{}", WRONG, "device_id"),
    ("POST", "/where_parked", b'{"device_id": 7}', WRONG, "device_id"),
    ("POST", "/where_parked", b'{"device_id": ""}', WRONG, "device_id"),
    ("POST", "/where_parked", b'{"device_id": "a\\u0000b"}', WRONG, "device_id"),
    ("POST", "/where_parked", b'{"device_id": "%s"}' % (b"x" * 129), WRONG, "device_id"),
    ("POST", "/where_parked", b'{"device_id": "x", "also": 1}', WRONG, "also"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": "2026-03-01T08:00:00"}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": 1e300}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": 1767225600}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": "1767225600"}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": "+1767225600.5"}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": "2026-03-01"}', WRONG, "asked_at"),
    ("POST", "/score", b'{"items": [{"device_id": "x", "asked_at": "1767225600000"}]}', WRONG, "items.0.asked_at"),
    ("POST", "/confirm", json.dumps(CONFIRMATION | {"at": "1767225600"}).encode(), WRONG, "at"),
    ("POST", "/confirm", json.dumps(CONFIRMATION | {"at": "2026-03-01T07:00:00"}).encode(), WRONG, "at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": "0001-01-01T00:00:00Z"}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": "9999-12-31T23:59:59-14:00"}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "x", "asked_at": "0001-01-01T00:00:00+14:00"}', WRONG, "asked_at"),
    ("POST", "/where_parked", b'{"device_id": "%s"}' % (b"x" * 1_100_000), (413, "too_large"), None),
    ("POST", "/score", b"{}", WRONG, None),
    ("POST", "/score", b'{"items": []}', WRONG, "items"),
    ("POST", "/score", b'{"device_ids": [%s"x"]}' % (b'"x",' * 1000), WRONG, "device_ids"),
    ("POST", "/score", b'{"items": [{"device_id": "x"}, {"device_id": 1}]}', WRONG, "items.1.device_id"),
    ("POST", "/score", b'{"items": [{"device_id": "x"}], "device_ids": ["x"]}', WRONG, None),
    ("POST", "/confirm", json.dumps(CONFIRMATION | {"lat": 90.5}).encode(), WRONG, "lat"),
    ("POST", "/confirm", json.dumps(CONFIRMATION | {"lon": float("nan")}).encode(), WRONG, "lon"),
    ("POST", "/confirm", json.dumps(CONFIRMATION | {"lat": "48.1"}).encode(), WRONG, "lat"),
    ("POST", "/confirm", json.dumps(CONFIRMATION | {"verdict": "maybe"}).encode(), WRONG, "verdict"),
    ("GET", "/where_parked", b"", (405, "method_not_allowed"), None),
    ("DELETE", "/model", b"", (405, "method_not_allowed"), None),
    ("GET", "/nowhere", b"", (404, "not_found"), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "fault", "field"), BAD, ids=[f"{b[1]}-{b[3][1]}-{i}" for i, b in enumerate(BAD)]
)
def test_every_mistake_has_the_one_error_shape(
    client: httpx.Client, method: str, path: str, body: bytes, fault: tuple[int, str], field: str | None
) -> None:
    reply = client.request(method, path, content=body, headers={"content-type": "application/json"})
    error = reply.json()["error"]
    assert set(error) <= {"code", "message", "field"}
    assert error["message"]
    assert not error["message"].startswith("Value error")
    assert (reply.status_code, error["code"], error.get("field")) == (*fault, field)


def test_another_media_type_is_refused(client: httpx.Client) -> None:
    for kind in ("text/plain", "application/vnd.bentoml+pickle"):
        reply = client.post("/where_parked", content=b"{}", headers={"content-type": kind})
        assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_media_type")
