"""Bearer tokens in the operations database: made, listed, revoked; never deleted, never readable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from parked.clock import Clock
from parked.errors import InputError, NotFoundError
from parked.opsdb.engine import open_database, transaction
from parked.opsdb.tables import Token, TokenStamp
from parked.tokens import FASTEST_PER_S, KINDS, MAX_DEVICES, SLOWEST_PER_S, Kind, Minted, TokenRecord, is_rate, mint


def create_token(
    engine: Engine,
    *,
    devices: Sequence[str] | None,
    kinds: Sequence[Kind],
    name: str,
    who: str,
    clock: Clock,
    random: Callable[[int], bytes],
    expires_at: datetime | None = None,
    rate_per_s: float | None = None,
) -> Minted:
    """Make a token and keep its hash; what is returned holds the only copy of the token itself.

    ``devices`` None: all devices. Raises InputError for an empty scope, an expiry that has passed, or what is no rate
    (``is_rate``).
    """
    now = clock()
    if devices is not None and not devices:
        raise InputError("a token for no device", mend="name devices, or all of them")
    if devices is not None and not all(devices):
        raise InputError("a device's id is empty", mend="name each device by its id")
    if devices is not None and len(devices) > MAX_DEVICES:
        raise InputError(f"a token for {len(devices)} devices", mend=f"name {MAX_DEVICES} at most, or all")
    if not kinds or set(kinds) - set(KINDS):
        raise InputError(f"a token that may {', '.join(kinds) or 'nothing'}", mend=f"choose of {', '.join(KINDS)}")
    if expires_at is not None and expires_at <= now:
        raise InputError(f"expiry {expires_at.isoformat()} has passed", mend="give a later one")
    if rate_per_s is not None and not is_rate(rate_per_s):
        raise InputError(
            f"rate {rate_per_s:g}",
            mend=f"give requests a second, {SLOWEST_PER_S:g} to {FASTEST_PER_S:g}, or 0 for no limit",
        )
    minted = mint(random)
    with transaction(engine) as session:
        _changed(session)
        session.add(
            Token(
                id=minted.id,
                name=name,
                digest=minted.digest,
                devices=None if devices is None else sorted(set(devices)),
                reads="read" in kinds,
                writes="write" in kinds,
                rate_per_s=rate_per_s,
                created_at=now,
                created_by=who,
                expires_at=expires_at,
            )
        )
    return minted


def revoke_token(engine: Engine, token_id: str, *, who: str, clock: Clock) -> bool:
    """Revoke a token; False where it is revoked already. Raises NotFoundError."""
    with transaction(engine) as session:
        _changed(session)
        token = session.get(Token, token_id)
        if token is None:
            raise NotFoundError(f"token {token_id!r} not found", mend="see `parked tokens list`")
        if token.revoked_at is not None:
            return False
        token.revoked_at, token.revoked_by = clock(), who
    return True


def list_tokens(engine: Engine) -> list[TokenRecord]:
    """All tokens there ever were, newest first."""
    with Session(engine) as session:
        return [_record(row) for row in session.scalars(select(Token).order_by(Token.created_at.desc(), Token.id))]


class TokenStore:
    """The ``TokenSource`` of a ``parked.gatekeeper.Gatekeeper``: opens the database at the first look."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._engine: Engine | None = None

    def stamp(self) -> int:
        """Grows with every change of any token. One row, one column."""
        with self._open().connect() as connection:
            return connection.execute(select(TokenStamp.value)).scalar() or 0

    def records(self) -> list[TokenRecord]:
        """All tokens that are not revoked."""
        with Session(self._open()) as session:
            return [_record(row) for row in session.scalars(select(Token).where(Token.revoked_at.is_(None)))]

    def close(self) -> None:
        """Give the connections back."""
        if self._engine is not None:
            self._engine.dispose()

    def _open(self) -> Engine:
        if self._engine is None:
            self._engine = open_database(self._url)
        return self._engine


def _changed(session: Session) -> None:
    """Count one change. First in its transaction: the row's lock makes changes take turns, so no reader misses one."""
    if not session.execute(update(TokenStamp).values(value=TokenStamp.value + 1)).rowcount:  # type: ignore[attr-defined]
        session.add(TokenStamp(id=1, value=1))
        session.flush()


def _record(row: Token) -> TokenRecord:
    kinds: tuple[Kind, ...] = tuple(kind for kind, may in zip(KINDS, (row.reads, row.writes), strict=True) if may)
    return TokenRecord(
        id=row.id,
        name=row.name,
        digest=row.digest,
        devices=None if row.devices is None else tuple(row.devices),
        kinds=kinds,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        rate_per_s=row.rate_per_s,
    )
