"""The system clock is put on and back under a server that answers: durations go on, stamps stay apart."""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.launch import ServerHandle, start_server
from parked.files import write_text
from parked.opsdb.engine import open_database
from parked.opsdb.tokens import create_token
from parked.predictions import read_predictions
from parked.settings import Settings
from tests.bentos import load
from tests.bentos.fakes import NOW, answering, publish, settings_in, until, write_model

MOVED_SERVICE = "tests.bentos.moved_server:WhereYouParked"
HOUR_S, YEAR_S = 3_600.0, 365 * 86_400.0
STEPS = [(HOUR_S, "fresh"), (-HOUR_S, "fresh"), (YEAR_S, "stale"), (0.0, "fresh")]
"""By how much the clock is wrong, and what an answer's facts are by it: they became known an hour before ``NOW``."""


class Moved:
    """A server with tokens whose clock is ``move``\\ d, asked by ``token``."""

    def __init__(self, settings: Settings, server: ServerHandle, token: str) -> None:
        self.settings, self.server = settings, server
        self.headers = {"authorization": f"Bearer {token}"}

    def move(self, seconds: float) -> None:
        write_text(self.settings.home / "moved", f"{seconds}")

    def ask(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(self.server.url + path, json=body, headers=self.headers, timeout=10)

    def where(self) -> httpx.Response:
        return self.ask("/where_parked", {"device_id": "phone-parked"})

    def explained(self, answer_id: str) -> bool:
        reply = self.ask("/explain", {"answer_id": answer_id})
        assert reply.status_code in (200, 503), reply.text
        return reply.status_code == 200


def minted(settings: Settings, **changes: Any) -> str:
    engine = open_database(settings.database)
    values: dict[str, Any] = {"kinds": ("read", "write"), "rate_per_s": 0.0, "devices": None} | changes
    made = create_token(engine, name="", who="test", clock=lambda: NOW, random=secrets.token_bytes, **values)
    engine.dispose()
    return made.token


def test_a_server_goes_on_whatever_is_done_to_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path, pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)
    token, until_soon = minted(settings), minted(settings, expires_at=NOW + timedelta(days=30))
    slow = minted(settings, rate_per_s=2.0)
    write_text(tmp_path / "moved", "0")
    for name, value in {"AUTH": "tokens", "STORE_TIMEOUT_S": "5", "TIMEOUT_S": "6"}.items():
        monkeypatch.setenv(f"PARKED_SERVE_{name}", value)
    asked = load.REQUEST.replace(b"\r\n\r\n", b"\r\nauthorization: Bearer %s\r\n\r\n" % token.encode(), 1)
    monkeypatch.setattr(load, "REQUEST", asked)
    ids = set()
    with start_server(settings, port=0, service=MOVED_SERVICE) as server:
        server.wait_ready(60)
        moved, expiring, hurried = (Moved(settings, server, one) for one in (token, until_soon, slow))
        with load.Load(server.url, keeping=4) as clients:
            for generation, (seconds, freshness) in enumerate(STEPS, start=2):
                before = moved.where().json()
                moved.move(seconds)
                answer = moved.where().json()
                off_s = (datetime.fromisoformat(answer["asked_at"]) - NOW).total_seconds() - seconds
                assert 0 <= off_s < 240, "the moment asked about is the clock's"
                assert (answer["state"], answer["freshness"]) == ("parked", freshness)
                for one in (before, answer):
                    assert one["answer_id"] not in ids
                    ids.add(one["answer_id"])
                    until(lambda one=one: moved.explained(one["answer_id"]))
                publish(settings, write_model(settings, f"v{generation}"), generation)
                until(lambda generation=generation: bool(answering(settings, generation)), 10)
                told = 401 if seconds == YEAR_S else 200
                until(lambda told=told: expiring.where().status_code == told)
                until(lambda: hurried.where().status_code == 429)
                until(lambda: hurried.where().status_code == 200, 3)
        told = httpx.get(f"{server.url}/metrics").text
        lines = dict(line.rsplit(" ", 1) for line in told.splitlines() if line.startswith("parked_"))
        assert set(clients.seen.statuses) == {200}, {name: n for name, n in lines.items() if "errors" in name}
        assert (clients.seen.unanswered, clients.seen.cut, clients.seen.refused) == (0, 0, 0)
        assert clients.seen.slowest_s < 5
        assert float(lines.get("parked_prediction_log_dropped_total", 0)) == 0
        given = sum(float(n) for name, n in lines.items() if name.startswith("parked_answers_total"))
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10
    logged = set(read_predictions(settings.predictions_dir)["answer_id"].to_pylist())
    assert len(logged) == given, "no part was written over another"
    assert ids <= logged
