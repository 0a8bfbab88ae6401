"""Time is data: whoever needs "now" is handed a clock. Only the command line builds ``system_clock``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Clock = Callable[[], datetime]
"""Returns an aware UTC ``datetime``."""


def system_clock() -> datetime:
    """The machine's wall clock, UTC. Called from ``cli`` and server start-up only."""
    return datetime.now(UTC)


def fixed_clock(moment: datetime) -> Clock:
    """A clock that always answers ``moment`` (aware UTC): for tests and replays."""
    return lambda: moment


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware ``datetime``, exact (no float).

    >>> to_us(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005
    """
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> datetime:
    """Aware UTC ``datetime`` of ``us`` microseconds since the epoch.

    >>> from_us(1000005).isoformat()
    '1970-01-01T00:00:01.000005+00:00'
    """
    return _EPOCH + timedelta(microseconds=us)
