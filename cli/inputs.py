"""What several commands read from a person: moments, and who the person is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

MOMENT: Final = "an ISO 8601 moment such as 2024-05-01 or 2024-05-01T12:00 (UTC unless it carries an offset)"
GREATEST_ID: Final = 2**63 - 1
"""What a database's integer holds: a greater number names nothing."""


def moment(option: str, text: str | None) -> datetime | None:
    """``text`` as an aware UTC moment, None where not given. Raises InputError naming the option."""
    from parked.errors import InputError

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # an offset can carry the calendar's first and last day out of it
        raise InputError(f"{option} {text}: not a moment", mend=f"give {MOMENT}") from None


def user_name() -> str:
    """Who runs the command, for the record; "unknown" where the system does not tell."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in a bare container
        return "unknown"
