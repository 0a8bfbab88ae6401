"""Bearer tokens, pure: how one is made, what it may do, how it is recognised and how fast it may be used.

A token is ``parked_<id>_<secret>``: the id (16 hex digits) is public and names it in lists; the secret is 256 random
bits (43 characters, base64url). Only the SHA-256 of the whole token is kept (ADR 0009: a random secret needs no slow
hash). One implementation for every door: the REST service, and whoever takes uploads.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from parked.allowances import Allowances, State

Kind = Literal["read", "write"]
"""read: ask where a phone's vehicle is; write: say something about a phone (confirm, correct, upload)."""

KINDS: Final[tuple[Kind, ...]] = ("read", "write")
SECRET_BYTES: Final = 32
ID_BYTES: Final = 8
SLOWEST_PER_S: Final = 1e-5
"""Hardly a request a day: a token for less is one to revoke."""
FASTEST_PER_S: Final = 1e6
"""More than any server answers: a token for more has no limit."""
LONGEST_WAIT_S: Final = 100_000
"""What is said to whoever is to wait longer: a batch may owe for days."""
MAX_DEVICES: Final = 10_000
"""Devices one token may name; a token for more is a token for all."""


@dataclass(frozen=True)
class Minted:
    """A new token: ``token`` is shown to its owner once and kept by no one else."""

    id: str
    token: str
    digest: str
    """Hex SHA-256 of ``token``: what is stored."""


@dataclass(frozen=True)
class TokenRecord:
    """What is known of a token. ``devices`` None: all devices; ``rate_per_s`` None: the door's own limit."""

    id: str
    name: str
    digest: str
    devices: tuple[str, ...] | None
    kinds: tuple[Kind, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rate_per_s: float | None = None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """What the token is worth at ``now`` (aware UTC)."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered, as HTTP says it. Tells a stranger nothing about devices or other tokens."""

    status: int
    code: str
    message: str
    retry_after_s: int | None = None

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the status asks for: ``WWW-Authenticate`` (RFC 6750) or ``Retry-After`` (RFC 9110)."""
        if self.status == 401:
            return [(b"www-authenticate", b"Bearer")]
        return [] if self.retry_after_s is None else [(b"retry-after", str(self.retry_after_s).encode())]


UNAUTHORIZED: Final = Refusal(401, "unauthorized", "send a valid token: Authorization: Bearer <token>")
FORBIDDEN: Final = Refusal(403, "forbidden", "this token may not do that")


def is_rate(rate_per_s: float) -> bool:
    """Whether it is a limit that can be kept: 0 (none), or between a request in 100,000 s and a million a second.

    >>> [is_rate(rate) for rate in (0.0, 0.5, 1e-320, -1.0, float("inf"), float("nan"))]
    [True, True, False, False, False, False]
    """
    return rate_per_s == 0 or SLOWEST_PER_S <= rate_per_s <= FASTEST_PER_S


class Bucket:
    """A token bucket that lets a request go into debt: a batch costs what it holds, and the next one waits for it.

    ``rate_per_s`` units flow in, up to ``burst``; 0 is no limit. Time: seconds of any clock that only grows.

    >>> bucket = Bucket(rate_per_s=2.0, burst=4.0, at=0.0)
    >>> bucket.wait_s(0.0), bucket.spend(5.0)
    (0.0, None)
    >>> bucket.wait_s(0.0), bucket.wait_s(1.0)
    (1.0, 0.0)
    """

    __slots__ = ("_at", "_burst", "_left", "_state", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, at: float, state: State | None = None) -> None:
        """``state``: where what is left is kept (``parked.allowances``); None: here alone, full at ``at``."""
        self.rate_per_s = rate_per_s
        self._burst = burst
        self._state, self._left = ([burst, at], 0) if state is None else state
        self._at = self._left + 1

    def wait_s(self, now: float) -> float:
        """Seconds until another request may go; 0.0: now. Takes nothing."""
        if not self.rate_per_s:
            return 0.0
        state = self._state
        # Shared, it may have been looked at later than now, or before the machine was started anew.
        left = min(self._burst, state[self._left] + max(0.0, now - state[self._at]) * self.rate_per_s)
        state[self._left], state[self._at] = left, now
        return 0.0 if left >= 1.0 else (1.0 - left) / self.rate_per_s

    def spend(self, cost: float) -> None:
        """Take ``cost`` units, whether they are there or not."""
        self._state[self._left] -= cost


class Grant:
    """What the bearer of a recognised token may do."""

    __slots__ = ("_bucket", "_devices", "kinds", "token_id")

    def __init__(
        self, token_id: str, devices: frozenset[str] | None, kinds: frozenset[Kind], bucket: Bucket | None = None
    ) -> None:
        """``devices`` None: every device; ``bucket`` None: as often as it likes."""
        self.token_id = token_id
        self.kinds = kinds
        self._devices = devices
        self._bucket = bucket

    @property
    def everywhere(self) -> bool:
        """Whether it is for all devices."""
        return self._devices is None

    def allows(self, device_id: str) -> bool:
        """Whether it is for this device."""
        devices = self._devices
        return devices is None or device_id in devices

    def may(self, kind: Kind) -> bool:
        """Whether it is for this kind of request."""
        return kind in self.kinds

    def hurry(self, now: float) -> Refusal | None:
        """A 429 where the token is used faster than it may be; else one request is taken from its allowance."""
        bucket = self._bucket
        if bucket is None:
            return None
        wait = bucket.wait_s(now)
        if not wait <= 0.0:  # nor is a rate that is no number
            told = math.ceil(wait) if wait < LONGEST_WAIT_S else LONGEST_WAIT_S
            return Refusal(429, "rate_limited", "too many requests with this token; slow down", told)
        bucket.spend(1.0)
        return None

    def charge(self, cost: float) -> None:
        """Take what a batch costs beyond the one request that ``hurry`` took; the next request waits for it."""
        if self._bucket is not None:
            self._bucket.spend(cost)


EVERYTHING: Final = Grant("", None, frozenset(KINDS))
"""What everyone may where no token is asked for."""


class TokenTable:
    """The tokens that are worth something, by digest. Immutable but for what their buckets hold."""

    def __init__(
        self,
        records: Iterable[TokenRecord],
        now: datetime,
        *,
        rate_per_s: float,
        at: float,
        before: TokenTable | None,
        allowances: Allowances | None = None,
    ) -> None:
        """``rate_per_s``: for tokens without their own (0: no limit); ``at``: the buckets' clock; ``before``: the table
        this one replaces, whose buckets go on (memory is bounded by the tokens there are); ``allowances``: shared with
        other processes."""
        kept = {} if before is None else before._buckets
        self._buckets: dict[str, Bucket] = {}
        self._grants: dict[bytes, tuple[bytes, Grant]] = {}
        for record in records:
            if record.state(now) != "active":
                continue
            rate = rate_per_s if record.rate_per_s is None else record.rate_per_s
            old = kept.get(record.id)
            if old is not None and old.rate_per_s == rate:
                bucket = old
            else:
                burst = max(1.0, 2.0 * rate)
                shared = allowances.of(record.id, burst, at) if allowances is not None and rate else None
                bucket = Bucket(rate, burst, at, shared)
            self._buckets[record.id] = bucket
            digest = bytes.fromhex(record.digest)
            devices = None if record.devices is None else frozenset(record.devices)
            self._grants[digest] = (
                digest,
                Grant(record.id, devices, frozenset(record.kinds), bucket if rate else None),
            )

    def __len__(self) -> int:
        return len(self._grants)

    def find(self, token: bytes) -> Grant | None:
        """The grant of a token, None for one that is not worth anything.

        Looked up by its SHA-256, so that the time taken says nothing about a token (who guesses cannot choose a
        digest), then compared in constant time.
        """
        digest = hashlib.sha256(token).digest()
        found = self._grants.get(digest)
        if found is None or not hmac.compare_digest(found[0], digest):
            return None
        return found[1]


def mint(random: Callable[[int], bytes]) -> Minted:
    """A new token. ``random``: cryptographic random bytes of a length (``secrets.token_bytes``)."""
    token_id = random(ID_BYTES).hex()
    secret = base64.urlsafe_b64encode(random(SECRET_BYTES)).rstrip(b"=").decode()
    token = f"parked_{token_id}_{secret}"
    return Minted(token_id, token, hashlib.sha256(token.encode()).hexdigest())


def bearer(authorization: bytes | None) -> bytes | None:
    """The token of an ``Authorization`` header; None where it holds none (RFC 6750; the scheme in any case).

    >>> bearer(b"Bearer parked_0_x"), bearer(b"bearer  parked_0_x "), bearer(b"Basic eHg6eA=="), bearer(None)
    (b'parked_0_x', b'parked_0_x', None, None)
    """
    if authorization is None or authorization[:7].lower() != b"bearer ":
        return None
    return authorization[7:].strip() or None


def describe(record: TokenRecord) -> Mapping[str, object]:
    """A record for a list: everything but the digest."""
    return {
        "id": record.id,
        "name": record.name,
        "devices": None if record.devices is None else list(record.devices),
        "kinds": list(record.kinds),
        "rate_per_s": record.rate_per_s,
        "created_at": record.created_at,
        "created_by": record.created_by,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
    }
