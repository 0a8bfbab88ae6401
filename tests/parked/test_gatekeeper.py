"""The gatekeeper: no database read per request, and what changes is taken up at the next look."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from parked.errors import InputError, NotFoundError
from parked.gatekeeper import STALE_AFTER_S, Gatekeeper
from parked.opsdb.engine import open_database
from parked.opsdb.tokens import TokenStore, create_token, list_tokens, revoke_token
from parked.tokens import Grant, Refusal, TokenRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Source:
    """A token store that counts how often it is read."""

    def __init__(self, store: TokenStore) -> None:
        self.store = store
        self.stamps = self.reads = 0
        self.broken = False

    def stamp(self) -> int:
        if self.broken:
            raise OSError("unreachable")
        self.stamps += 1
        return self.store.stamp()

    def records(self) -> list[TokenRecord]:
        self.reads += 1
        return self.store.records()


class World:
    """A database, a gatekeeper on it, and clocks that stand until they are moved."""

    def __init__(self, url: str) -> None:
        self.engine = open_database(url)
        self.source = Source(TokenStore(url))
        self.now, self.seconds = NOW, 100.0
        self.keeper = Gatekeeper(self.source, clock=lambda: self.now, monotonic=lambda: self.seconds, rate_per_s=0.0)

    def create(self, **changes: object) -> tuple[str, bytes]:
        values: dict[str, object] = {
            "devices": ["jane"], "kinds": ("read", "write"), "name": "", "who": "me",
            "clock": lambda: self.now, "random": secrets.token_bytes,
        }  # fmt: skip
        minted = create_token(self.engine, **(values | changes))  # type: ignore[arg-type]
        return minted.id, b"Bearer " + minted.token.encode()

    def status(self, header: bytes | None) -> int:
        found = self.keeper.check(header)
        return found.status if isinstance(found, Refusal) else 200


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.engine.dispose()


def test_an_open_door_lets_everyone_do_everything() -> None:
    keeper = Gatekeeper(None, clock=lambda: NOW, monotonic=lambda: 0.0)
    keeper.refresh()
    grant = keeper.check(None)
    assert isinstance(grant, Grant)
    assert grant.may("write")
    assert grant.allows("anyone")


def test_before_the_first_look_nobody_comes_in(world: World) -> None:
    _, header = world.create()
    assert world.status(header) == 503
    world.keeper.refresh()
    assert world.status(header) == 200


def test_what_is_made_or_revoked_counts_from_the_next_look(world: World) -> None:
    world.keeper.refresh()
    token_id, header = world.create()
    assert world.status(header) == 401
    world.keeper.refresh()
    assert world.status(header) == 200
    assert revoke_token(world.engine, token_id, who="me", clock=lambda: NOW)
    world.keeper.refresh()
    assert world.status(header) == 401
    assert not revoke_token(world.engine, token_id, who="me", clock=lambda: NOW), "it is revoked once"


def test_a_token_ends_at_its_expiry_without_any_change(world: World) -> None:
    _, header = world.create(expires_at=NOW + timedelta(hours=1))
    world.keeper.refresh()
    assert world.status(header) == 200
    world.now += timedelta(hours=1)
    world.keeper.refresh()
    assert world.status(header) == 401


def test_requests_read_no_database_and_a_look_without_a_change_reads_one_number(world: World) -> None:
    _, header = world.create()
    for _ in range(3):
        world.keeper.refresh()
    for _ in range(100):
        assert world.status(header) == 200
    assert (world.source.stamps, world.source.reads) == (3, 1)


def test_every_bad_header_is_the_same_401(world: World) -> None:
    token_id, header = world.create()
    revoked_id, revoked = world.create()
    revoke_token(world.engine, revoked_id, who="me", clock=lambda: NOW)
    world.keeper.refresh()
    bad = (
        None,
        b"",
        b"Bearer",
        b"Bearer x",
        b"Basic " + header[7:],
        header[:-1],
        header + b"0",
        token_id.encode(),
        revoked,
    )
    assert len({world.keeper.check(one) for one in bad}) == 1
    assert world.status(bad[0]) == 401


def test_a_database_out_of_sight_is_trusted_for_a_minute_only(world: World) -> None:
    _, header = world.create()
    assert world.keeper.trouble == "the tokens could not be read", "nobody is known yet"
    world.keeper.refresh()
    world.source.broken = True
    with pytest.raises(OSError, match="unreachable"):
        world.keeper.refresh()
    assert world.status(header) == 200
    assert world.keeper.trouble is None
    world.seconds += STALE_AFTER_S + 1
    assert world.keeper.trouble == "the tokens could not be read"
    assert world.status(header) == 503
    world.source.broken = False
    world.keeper.refresh()
    assert world.status(header) == 200


def test_a_limited_token_is_told_when_to_come_back(world: World) -> None:
    _, header = world.create(rate_per_s=2.0)
    world.keeper.refresh()
    assert [world.status(header) for _ in range(6)] == [200] * 4 + [429] * 2
    refusal = world.keeper.check(header)
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s == 1
    world.seconds += 1.0
    grant = world.keeper.check(header)
    assert isinstance(grant, Grant)
    grant.charge(9)
    assert world.status(header) == 429
    world.seconds += 5.0
    assert world.status(header) == 200, "a batch of ten is paid for in five seconds"


def test_the_database_holds_no_token(world: World, tmp_path: Path) -> None:
    _, header = world.create()
    world.engine.dispose()
    secret = header.split(b"_", 2)[2]
    for file in tmp_path.iterdir():
        assert secret not in file.read_bytes()


def test_a_list_keeps_the_revoked_and_the_newest_first(world: World) -> None:
    first, _ = world.create(devices=None, name="backend", kinds=("read",))
    world.now += timedelta(hours=1)
    second, _ = world.create(devices=["b", "a", "b"])
    revoke_token(world.engine, first, who="me", clock=lambda: NOW)
    told = [(t.id, t.devices, t.kinds, t.state(world.now)) for t in list_tokens(world.engine)]
    assert told == [(second, ("a", "b"), ("read", "write"), "active"), (first, None, ("read",), "revoked")]


@pytest.mark.parametrize(
    "changes",
    [{"devices": []}, {"devices": [""]}, {"kinds": ()}, {"kinds": ("fly",)}, {"expires_at": NOW}, {"rate_per_s": -1.0},
     {"rate_per_s": float("nan")}, {"rate_per_s": float("inf")}, {"rate_per_s": 1e-320}],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_not_made(world: World, changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        world.create(**changes)
    assert list_tokens(world.engine) == []


def test_revoking_what_is_not_there_is_told(world: World) -> None:
    with pytest.raises(NotFoundError, match="tokens list"):
        revoke_token(world.engine, "nope", who="me", clock=lambda: NOW)
