"""Tokens: recognised by their hash alone, worth what they were made for, no faster than they may be used."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parked.tokens import LONGEST_WAIT_S, Bucket, TokenRecord, TokenTable, bearer, mint

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(digest: str, token_id: str = "1", **changes: object) -> TokenRecord:
    values: dict[str, object] = {
        "id": token_id,
        "name": "",
        "digest": digest,
        "devices": ("jane",),
        "kinds": ("read",),
        "created_at": NOW,
        "created_by": "me",
    }
    return TokenRecord(**(values | changes))  # type: ignore[arg-type]


def table(
    *records: TokenRecord, now: datetime = NOW, before: TokenTable | None = None, rate: float = 0.0
) -> TokenTable:
    return TokenTable(records, now, rate_per_s=rate, at=0.0, before=before)


def test_a_minted_token_is_found_and_any_other_is_not() -> None:
    minted = mint(secrets.token_bytes)
    known = table(record(minted.digest))
    grant = known.find(minted.token.encode())
    assert grant is not None
    assert (grant.allows("jane"), grant.allows("joe"), grant.may("read"), grant.may("write")) == (
        True,
        False,
        True,
        False,
    )
    for wrong in (minted.token[:-1], minted.token + "x", minted.digest, "", minted.token.upper()):
        assert known.find(wrong.encode()) is None


def test_a_secret_holds_256_random_bits_and_the_id_is_apart_from_it() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return bytes([len(asked)]) * size

    minted = mint(random)
    assert asked == [8, 32]
    assert minted.token.startswith(f"parked_{minted.id}_")
    assert len(minted.token.split("_", 2)[2]) == 43


def test_a_token_for_all_devices_is_for_any() -> None:
    minted = mint(secrets.token_bytes)
    grant = table(record(minted.digest, devices=None)).find(minted.token.encode())
    assert grant is not None
    assert grant.everywhere
    assert grant.allows("anything")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"expires_at": NOW + timedelta(seconds=1)}, "active"),
        ({"expires_at": NOW}, "expired"),
        ({"revoked_at": NOW - timedelta(days=1)}, "revoked"),
    ],
)
def test_only_an_active_token_is_worth_something(changes: dict[str, object], state: str) -> None:
    minted = mint(secrets.token_bytes)
    told = record(minted.digest, **changes)
    assert told.state(NOW) == state
    assert (table(told).find(minted.token.encode()) is not None) == (state == "active")


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer abc", b"abc"),
        (b"bEaReR abc", b"abc"),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Basic abc", None),
        (b"abc", None),
        (b"", None),
        (None, None),
    ],
)
def test_only_a_bearer_header_holds_a_token(header: bytes | None, token: bytes | None) -> None:
    assert bearer(header) == token


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(1, 50)), max_size=40), st.floats(0.5, 20), st.floats(1, 40))
def test_no_more_than_burst_and_inflow_ever_goes_through(
    uses: list[tuple[float, float]], rate: float, burst: float
) -> None:
    bucket, now, spent, largest = Bucket(rate, burst, 0.0), 0.0, 0.0, 0.0
    for pause, cost in uses:
        now += pause
        wait = bucket.wait_s(now)
        assert wait >= 0.0
        if wait == 0.0:
            bucket.spend(cost)
            spent, largest = spent + cost, max(largest, cost)
        else:
            assert bucket.wait_s(now + wait + 1e-6) == 0.0, "it says truly how long to wait"
            now += wait + 1e-6
    assert spent <= burst + rate * now + largest + 1e-6


@pytest.mark.parametrize("rate", [1e-320, 1e-9, float("inf"), float("nan")])
def test_a_rate_that_was_let_in_before_it_was_refused_is_a_429_and_no_fault(rate: float) -> None:
    minted = mint(secrets.token_bytes)
    grant = table(record(minted.digest, rate_per_s=rate)).find(minted.token.encode())
    assert grant is not None
    for at in (0.0, 0.0, 1.0):
        refusal = grant.hurry(at)
        assert refusal is None or (refusal.status, refusal.retry_after_s) == (429, LONGEST_WAIT_S)


def test_a_bucket_survives_a_new_table_so_that_a_change_elsewhere_refills_nobodys() -> None:
    minted = mint(secrets.token_bytes)
    first = table(record(minted.digest), rate=1.0)
    grant = first.find(minted.token.encode())
    assert grant is not None
    assert [grant.hurry(0.0) is None for _ in range(3)] == [True, True, False]
    second = table(record(minted.digest), before=first, rate=1.0).find(minted.token.encode())
    assert second is not None
    refusal = second.hurry(0.0)
    assert refusal is not None
    assert (refusal.status, refusal.headers()) == (429, [(b"retry-after", b"1")])
    other_rate = table(record(minted.digest, rate_per_s=9.0), before=first).find(minted.token.encode())
    assert other_rate is not None
    assert other_rate.hurry(0.0) is None
