"""Who may come in, for every door that takes requests: recognises tokens without touching the database.

A door asks ``check`` once per request (about a microsecond). ``refresh`` runs on a thread of the door's own, every
second or so: it reads one integer, and all tokens only where that has changed; so a token that is made or revoked is
so in every process within seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from parked.allowances import Allowances
from parked.clock import Clock
from parked.tokens import EVERYTHING, UNAUTHORIZED, Grant, Refusal, TokenRecord, TokenTable, bearer

STALE_AFTER_S: Final = 60.0
"""Without a look at the database for this long, nobody comes in: a revocation might have been missed."""

UNREAD: Final = "the tokens could not be read"
_NOT_READY: Final = Refusal(503, "not_ready", f"{UNREAD}; ask again", 1)


class TokenSource(Protocol):
    """Where tokens are kept (``parked.opsdb.tokens.TokenStore``). May block; called from one thread."""

    def stamp(self) -> int:
        """Grows with every change of any token."""
        ...

    def records(self) -> Sequence[TokenRecord]:
        """All tokens that are not revoked."""
        ...


class Gatekeeper:
    """Recognises the bearer of a request. ``check`` from any thread, ``refresh`` from one."""

    def __init__(
        self,
        source: TokenSource | None,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        rate_per_s: float = 0.0,
        allowances: Allowances | None = None,
    ) -> None:
        """``source`` None: the door is open, everyone may do everything. ``rate_per_s``: for tokens without a limit
        of their own (0: none), in this process or, with ``allowances``, in all that share them. ``clock`` tells when
        tokens expire, ``monotonic`` (seconds; the machine's, where shared) when a limited one may go on."""
        self._source = source
        self._clock = clock
        self._monotonic = monotonic
        self._rate_per_s = rate_per_s
        self._allowances = allowances
        self._records: Sequence[TokenRecord] = ()
        self._stamp: int | None = None
        self._table: TokenTable | None = None
        self._read_at = monotonic()

    @property
    def asks(self) -> bool:
        """Whether tokens are asked for at all."""
        return self._source is not None

    @property
    def trouble(self) -> str | None:
        """Why nobody can be recognised now; None where who comes can be."""
        if self._source is None:
            return None
        return UNREAD if self._known(self._monotonic()) is None else None

    def check(self, authorization: bytes | None) -> Grant | Refusal:
        """Who sends this ``Authorization`` header (None: no header), or why the request is refused: 401, 429, 503.

        Also takes one request from the token's allowance. What the grant is for is the caller's to ask
        (``Grant.may``, ``Grant.allows``; ``parked.tokens.FORBIDDEN`` is the answer where not).
        """
        if self._source is None:
            return EVERYTHING
        now = self._monotonic()
        table = self._known(now)
        if table is None:
            return _NOT_READY
        token = bearer(authorization)
        grant = None if token is None else table.find(token)
        if grant is None:
            return UNAUTHORIZED
        return grant.hurry(now) or grant

    def _known(self, now: float) -> TokenTable | None:
        """The tokens; None where they were not read yet, or last too long before ``now``."""
        return self._table if now - self._read_at <= STALE_AFTER_S else None

    def refresh(self) -> None:
        """Take up what has changed: made, revoked, expired. Raises what the source raises; then all stays as it is."""
        if self._source is None:
            return
        stamp = self._source.stamp()
        if stamp != self._stamp:
            self._records = self._source.records()  # read after the stamp: a change in between is read twice, not lost
            self._stamp = stamp
        now = self._monotonic()
        before = self._table
        self._table = TokenTable(
            self._records,
            self._clock(),
            rate_per_s=self._rate_per_s,
            at=now,
            before=before,
            allowances=self._allowances,
        )
        self._read_at = now
