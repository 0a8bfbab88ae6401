"""The door over an app of BentoML's that only says it was asked; requests are ASGI messages, so each can be late."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bentos.config import ServingConfig
from bentos.door import Door
from bentos.http import Reply
from bentos.messages import ScoreAnswer, WhereParkedAnswer
from bentos.metrics import Metrics
from bentos.runtime import Runtime
from parked.clock import fixed_clock
from tests.bentos.fakes import NOW, FakeLabels, FakeSource, publish, settings_in, until, write_model

Message = dict[str, Any]


class World:
    """A runtime over fakes with a model published, and a door to it."""

    def __init__(self, home: Path, source: FakeSource, **config: object) -> None:
        self.settings = settings_in(home, pointer_poll_s=0.05)
        publish(self.settings, write_model(self.settings, "v1"), 1)
        self.registry = CollectorRegistry()
        self.runtime = Runtime(
            self.settings,
            ServingConfig.model_validate(config),
            clock=fixed_clock(NOW),
            metrics=Metrics(self.registry),
            open_source=lambda: source,
            labels=FakeLabels(),
        )
        self.runtime.tick()
        self.door = Door(self._bentoml, lambda: self.runtime)

    async def _bentoml(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"bentoml"})

    async def ask(
        self,
        path: str,
        body: bytes | None = b"{}",
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request; ``body`` None: it never arrives."""
        arrived = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            if arrived:
                return arrived.pop()
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Any) -> None:
            sent.append(message)

        named = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
        scope = {"type": "http", "path": path, "method": method, "headers": named, "client": ("127.0.0.1", 1)}
        await self.door(scope, receive, send)
        start = sent[0]
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], told, b"".join(message["body"] for message in sent[1:])

    def code(self, reply: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
        return reply[0], json.loads(reply[2])["error"]["code"]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., World]:
    return lambda source=None, **config: World(tmp_path, source or FakeSource(), **config)


PARKED = b'{"device_id": "phone-parked"}'


def test_an_answer_is_exactly_what_its_message_says(make: Callable[..., World]) -> None:
    world = make()
    for device in ("phone-parked", "phone-driving", "phone-jam", "phone-new", "nobody"):
        status, _, body = asyncio.run(world.ask("/where_parked", b'{"device_id": "%s"}' % device.encode()))
        assert status == 200
        WhereParkedAnswer.model_validate_json(body, strict=True)
    status, _, body = asyncio.run(world.ask("/score", b'{"device_ids": ["phone-parked", "nobody"]}'))
    assert status == 200
    ScoreAnswer.model_validate_json(body, strict=True)


def test_the_clients_request_id_comes_back_or_one_is_made(make: Callable[..., World]) -> None:
    world = make()

    def ident(headers: dict[str, str], path: str = "/where_parked") -> str:
        return asyncio.run(world.ask(path, PARKED, headers))[1]["x-request-id"]

    assert ident({"x-request-id": "abc-7"}) == "abc-7"
    assert ident({"x-request-id": "abc-7"}, "/nowhere") == "abc-7"
    assert ident({"x-request-id": "abc-7"}, "/livez") == "abc-7"
    assert len({ident({}), ident({}), ident({"x-request-id": "two words"}), ident({"x-request-id": "x" * 129})}) == 4


def test_a_body_that_does_not_arrive_in_time_is_408(make: Callable[..., World]) -> None:
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


def test_a_stuck_store_is_one_503_after_the_limit_and_then_at_once(make: Callable[..., World]) -> None:
    source = Stuck()
    world = make(source, store_timeout_s=0.1)

    async def three() -> list[tuple[int, str]]:
        return [world.code(await world.ask("/where_parked", PARKED)) for _ in range(3)]

    assert asyncio.run(three()) == [(503, "store_slow")] * 3
    assert source.asked == 1, "who comes after the first does not wait for it"
    source.go.set()
    until(lambda: asyncio.run(world.ask("/where_parked", PARKED))[0] == 200)


def test_more_than_may_wait_are_turned_away_at_once(make: Callable[..., World]) -> None:
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


def test_a_store_that_waits_for_nobody_is_asked_on_the_loop_itself(make: Callable[..., World]) -> None:
    class Inline(FakeSource):
        inline = True
        threads: set[str] = set()  # noqa: RUF012

        def devices(self, device_ids: Any) -> Any:
            self.threads.add(threading.current_thread().name)
            return super().devices(device_ids)

    assert asyncio.run(make(Inline()).ask("/where_parked", PARKED))[0] == 200
    assert Inline.threads == {"MainThread"}


def test_a_store_that_fails_is_a_500_that_tells_no_secret(make: Callable[..., World]) -> None:
    source = FakeSource()
    world = make(source)
    source.broken = True
    reply = asyncio.run(world.ask("/where_parked", PARKED))
    assert world.code(reply) == (500, "internal")
    assert b"disk" not in reply[2]


def test_what_was_counted_is_in_the_metrics_when_they_are_read(make: Callable[..., World]) -> None:
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


def test_a_declared_giant_is_refused_before_it_is_read(make: Callable[..., World]) -> None:
    world = make()
    reply = asyncio.run(world.ask("/where_parked", None, {"content-length": "10000000"}))
    assert world.code(reply) == (413, "too_large")


def test_what_is_not_ours_says_which_methods_are(make: Callable[..., World]) -> None:
    status, headers, _ = asyncio.run(make().ask("/where_parked", method="PUT"))
    assert (status, headers["allow"]) == (405, "POST")


def test_a_stopping_server_is_not_taken_for_a_late_request(make: Callable[..., World]) -> None:
    world = make()

    async def ended() -> None:
        asking = asyncio.ensure_future(world.ask("/where_parked", None))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(ended())


class Inline(FakeSource):
    """A store whose reads wait for nobody."""

    inline = True


def test_what_is_answered_at_once_is_what_the_long_way_answers(make: Callable[..., World]) -> None:
    world = make(Inline(), max_body_bytes=4096)
    bodies = [
        PARKED, b'{"device_id": "nobody"}', b'{"device_ids": ["phone-parked", "nobody"]}', b"", b"{", b"[]", b"null",
        b'{"device_id": ""}', b'{"device_id": "a", "device_id": "b"}', b'{"device_id": "a", "more": 1}', b"\xff",
    ]  # fmt: skip
    kinds = [
        {},
        {"content-type": "text/plain"},
        {"content-encoding": "gzip"},
        {"x-request-id": "mine", "content-type": "application/json"},
    ]
    seen = set()

    async def both(path: str, body: bytes, headers: dict[str, str]) -> None:
        status, told, said = await world.ask(path, body, headers)
        named = [(k.encode(), v.encode()) for k, v in headers.items()]
        reply = world.door.at_once(path, named, body, ("127.0.0.1", 1))
        assert reply is not None
        seen.add(status)
        everyones = ("content-type", "content-length", "x-request-id")
        more = {k.encode(): v.encode() for k, v in told.items() if k not in everyones}
        assert (reply.status, dict(reply.headers)) == (status, more)
        assert ("x-request-id" in headers) == (reply.ident == told["x-request-id"].encode())
        mine, theirs = json.loads(reply.body), json.loads(said)
        for each in (mine, theirs):
            each.pop("answer_id", None)
        assert mine == theirs

    async def ask() -> None:
        for path in ("/where_parked", "/score"):
            for body in bodies:
                for headers in kinds:
                    await both(path, body, headers)

    asyncio.run(ask())
    assert seen == {200, 400, 415, 422}


def test_what_has_to_wait_or_came_through_a_proxy_is_not_answered_at_once(make: Callable[..., World]) -> None:
    async def ask(world: World, body: bytes = PARKED, *headers: tuple[bytes, bytes]) -> object:
        return world.door.at_once("/where_parked", headers, body, ("127.0.0.1", 1))

    source = Inline()
    world = make(source, max_body_bytes=1024)
    assert asyncio.run(ask(world)) is not None
    assert asyncio.run(ask(world, PARKED + b" " * 2000)) is None
    assert asyncio.run(ask(world, PARKED, (b"x-forwarded-for", b"10.0.0.7"))) is None
    source.inline = False
    assert asyncio.run(ask(world)) is None


def test_an_answer_that_fails_at_once_is_a_500_and_a_line_in_the_log(make: Callable[..., World]) -> None:
    async def ask(world: World) -> Reply | None:
        return world.door.at_once("/where_parked", [], PARKED, ("127.0.0.1", 1))

    source = Inline()
    world = make(source)
    source.broken = True
    reply = asyncio.run(ask(world))
    assert reply is not None
    assert reply.status == 500
    assert json.loads(reply.body)["error"]["code"] == "internal"
    assert b"the disk" not in reply.body
