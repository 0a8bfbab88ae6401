"""What tests of past answers ask, and the labels that came of it."""

from __future__ import annotations

from typing import Any

import httpx

from bentos.log.logged import LoggedAnswer, LoggedCandidate
from parked.opsdb.engine import open_database
from parked.opsdb.labels import read_labels
from tests.bentos.conftest import Served
from tests.bentos.fakes import NOW


def ask(client: httpx.Client, device_id: str = "phone-parked") -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/where_parked", json={"device_id": device_id}).json()
    return answer


def labels(served: Served, note: str) -> list[tuple[str, float, float, str]]:
    engine = open_database(served.settings.database)
    with engine.connect() as connection:
        known = connection.exec_driver_sql(
            "SELECT verdict, lat, lon, at FROM label WHERE note = ? ORDER BY verdict", (note,)
        ).all()
    assert read_labels(engine).num_rows >= len(known)
    engine.dispose()
    return [(verdict, lat, lon, str(at)[:19]) for verdict, lat, lon, at in known]


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


class OneAnswer:
    """An answer log that holds one answer of rules v1."""

    def find(self, answer_id: str, _allows: object) -> LoggedAnswer:
        candidate = LoggedCandidate("phone", "c", 0, 0.9, NOW, {})
        return LoggedAnswer(answer_id, NOW, "parked", "parking:v1", 1, "v1", (candidate,))
