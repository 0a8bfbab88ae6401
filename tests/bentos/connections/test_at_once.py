"""What the door answers at once is what it answers the long way."""

from __future__ import annotations

import asyncio
import json

from bentos.web.http import Reply
from tests.bentos.doors import PARKED, Make, World
from tests.bentos.fakes import FakeSource


class Inline(FakeSource):
    """A store whose reads wait for nobody."""

    inline = True


HOST = (b"host", b"x")


def test_what_is_answered_at_once_is_what_the_long_way_answers(make: Make) -> None:
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
        named = [HOST, *((k.encode(), v.encode()) for k, v in headers.items())]
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


def test_what_has_to_wait_or_came_through_a_proxy_is_not_answered_at_once(make: Make) -> None:
    async def ask(world: World, body: bytes = PARKED, *headers: tuple[bytes, bytes]) -> object:
        return world.door.at_once("/where_parked", [HOST, *headers], body, ("127.0.0.1", 1))

    source = Inline()
    world = make(source, max_body_bytes=1024)
    assert asyncio.run(ask(world)) is not None
    assert asyncio.run(ask(world, PARKED + b" " * 2000)) is None
    assert asyncio.run(ask(world, PARKED, (b"x-forwarded-for", b"10.0.0.7"))) is None
    assert asyncio.run(ask(world, PARKED, HOST)) is None
    assert asyncio.run(ask(world, PARKED, (b"accept", b"a/b"), (b"accept", b"*/*"))) is None
    source.inline = False
    assert asyncio.run(ask(world)) is None


def test_an_answer_that_fails_at_once_is_a_500_and_a_line_in_the_log(make: Make) -> None:
    async def ask(world: World) -> Reply | None:
        return world.door.at_once("/where_parked", [HOST], PARKED, ("127.0.0.1", 1))

    source = Inline()
    world = make(source)
    source.broken = True
    reply = asyncio.run(ask(world))
    assert reply is not None
    assert reply.status == 500
    assert json.loads(reply.body)["error"]["code"] == "internal"
    assert b"the disk" not in reply.body
