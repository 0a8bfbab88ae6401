"""The door itself: what it answers, refuses and counts, and what is late."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from _bentoml_impl.server import app
from prometheus_client import generate_latest

from bentos.messages import ScoreAnswer, WhereParkedAnswer
from bentos.web.door import Door
from tests.bentos.doors import PARKED, Make
from tests.bentos.fakes import FakeSource, until


def test_an_answer_is_exactly_what_its_message_says(make: Make) -> None:
    world = make()
    for device in ("phone-parked", "phone-driving", "phone-jam", "phone-new", "nobody"):
        status, _, body = asyncio.run(world.ask("/where_parked", b'{"device_id": "%s"}' % device.encode()))
        assert status == 200
        WhereParkedAnswer.model_validate_json(body, strict=True)
    status, _, body = asyncio.run(world.ask("/score", b'{"device_ids": ["phone-parked", "nobody"]}'))
    assert status == 200
    ScoreAnswer.model_validate_json(body, strict=True)


def test_the_clients_request_id_comes_back_or_one_is_made(make: Make) -> None:
    world = make()

    def ident(headers: dict[str, str], path: str = "/where_parked") -> str:
        return asyncio.run(world.ask(path, PARKED, headers))[1]["x-request-id"]

    assert ident({"x-request-id": "abc-7"}) == "abc-7"
    assert ident({"x-request-id": "abc-7"}, "/nowhere") == "abc-7"
    assert ident({"x-request-id": "abc-7"}, "/livez") == "abc-7"
    assert len({ident({}), ident({}), ident({"x-request-id": "two words"}), ident({"x-request-id": "x" * 129})}) == 4


def test_of_bentomls_pages_only_what_is_there_is_asked_for(make: Make) -> None:
    """BentoML keeps series of their own for each path that it is asked for, the missing too."""
    world = make()
    page = re.findall(r'"\.(/static_content/[^"]+)"', (Path(app.__file__).parent / "main-openapi.html").read_text())
    assert len(page) > 5
    for path in page:
        assert asyncio.run(world.ask(path, method="GET"))[2] == b"bentoml"
    for path in ("/static_content/", "/static_content/nope.css", "/static_content/../x", "/assets/nope.js"):
        for method in ("GET", "POST"):
            assert world.code(asyncio.run(world.ask(path, method=method))) == (404, "not_found")
    told = generate_latest(world.registry).decode()
    assert "static_content" not in told


def test_a_body_that_does_not_arrive_in_time_is_408(make: Make) -> None:
    world = make(timeout_s=0.05)

    async def both() -> list[tuple[int, dict[str, str], bytes]]:
        return await asyncio.gather(world.ask("/where_parked", None), world.ask("/where_parked", PARKED))

    late, good = asyncio.run(both())
    assert world.code(late) == (408, "request_timeout")
    assert late[1]["connection"] == "close"
    assert good[0] == 200


class Stuck(FakeSource):
    """Answers when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.asked = 0

    def devices(self, device_ids: Any) -> Any:
        if list(device_ids) != [""]:  # the trial of a model
            self.asked += 1
            assert self.go.wait(30)
        return super().devices(device_ids)


def test_a_stuck_store_is_one_503_after_the_limit_and_then_at_once(make: Make) -> None:
    source = Stuck()
    world = make(source, store_timeout_s=0.1)

    async def three() -> list[tuple[int, str]]:
        return [world.code(await world.ask("/where_parked", PARKED)) for _ in range(3)]

    assert asyncio.run(three()) == [(503, "store_slow")] * 3
    assert source.asked == 1, "who comes after the first does not wait for it"
    source.go.set()
    until(lambda: asyncio.run(world.ask("/where_parked", PARKED))[0] == 200)


def test_more_than_may_wait_are_turned_away_at_once(make: Make) -> None:
    source = Stuck()
    world = make(source, store_timeout_s=5.0, max_waiting=2)

    async def crowd() -> list[tuple[int, dict[str, str], bytes]]:
        asking = [asyncio.ensure_future(world.ask("/where_parked", PARKED)) for _ in range(5)]
        while sum(task.done() for task in asking) < 3:
            await asyncio.sleep(0)
        source.go.set()
        return await asyncio.gather(*asking)

    replies = asyncio.run(crowd())
    assert [reply[0] for reply in replies] == [200, 200, 503, 503, 503]
    assert world.code(replies[-1]) == (503, "overloaded")


def test_a_store_that_waits_for_nobody_is_asked_on_the_loop_itself(make: Make) -> None:
    class Inline(FakeSource):
        inline = True
        threads: set[str] = set()  # noqa: RUF012

        def devices(self, device_ids: Any) -> Any:
            self.threads.add(threading.current_thread().name)
            return super().devices(device_ids)

    assert asyncio.run(make(Inline()).ask("/where_parked", PARKED))[0] == 200
    assert Inline.threads == {"MainThread"}


def test_a_store_that_fails_is_a_500_that_tells_no_secret(make: Make) -> None:
    source = FakeSource()
    world = make(source)
    source.broken = True
    reply = asyncio.run(world.ask("/where_parked", PARKED))
    assert world.code(reply) == (500, "internal")
    assert b"disk" not in reply[2]


def test_what_was_counted_is_in_the_metrics_when_they_are_read(make: Make) -> None:
    world = make(store_timeout_s=30.0, timeout_s=60.0)

    async def all_of_it() -> None:
        replies = [await world.ask("/where_parked", body) for body in (PARKED, PARKED, PARKED, b"{")]
        assert [reply[0] for reply in replies] == [200, 200, 200, 400]
        await world.ask("/metrics", method="GET")

    def counted() -> dict[str, float]:
        lines = [line for line in generate_latest(world.registry).decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    # Where an earlier test made prometheus_client share its values between processes, they outlive a registry.
    asyncio.run(all_of_it())
    before = counted()
    world.door = Door(world._bentoml, lambda: world.runtime)  # the timer of the first ended with its loop
    asyncio.run(all_of_it())
    after = counted()
    assert {name: after[name] - before[name] for name in COUNTED} == COUNTED


COUNTED = {
    'parked_requests_total{endpoint="/where_parked",status="200"}': 3.0,
    'parked_requests_total{endpoint="/where_parked",status="400"}': 1.0,
    'parked_errors_total{code="invalid_json"}': 1.0,
    'parked_answers_total{reason="last_parking",state="parked"}': 3.0,
    "parked_scored_candidates_total": 6.0,
    'parked_request_seconds_bucket{endpoint="/where_parked",le="+Inf"}': 4.0,
    'parked_request_seconds_count{endpoint="/where_parked"}': 4.0,
}


def test_a_declared_giant_is_refused_before_it_is_read(make: Make) -> None:
    world = make()
    reply = asyncio.run(world.ask("/where_parked", None, {"content-length": "10000000"}))
    assert world.code(reply) == (413, "too_large")


def test_what_is_not_ours_says_which_methods_are(make: Make) -> None:
    status, headers, _ = asyncio.run(make().ask("/where_parked", method="PUT"))
    assert (status, headers["allow"]) == (405, "POST")


def test_a_stopping_server_is_not_taken_for_a_late_request(make: Make) -> None:
    world = make()

    async def ended() -> None:
        asking = asyncio.ensure_future(world.ask("/where_parked", None))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(ended())
