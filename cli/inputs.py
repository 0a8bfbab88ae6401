"""What several commands read from a person: moments, the rules version, and who the person is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from parked.settings import Settings

MOMENT: Final = "an ISO 8601 moment such as 2024-05-01 or 2024-05-01T12:00 (UTC unless it carries an offset)"
GREATEST_ID: Final = 2**63 - 1
"""What a database's integer holds: a greater number names nothing."""


RulesOption = Annotated[
    str | None, typer.Option("--rules", help="Rules version: its name, or its file.  [default: PARKED_RULES, else v1]")
]


def settings_of(rules: str | None, **overrides: Any) -> Settings:
    """The settings, with the rules version that ``--rules`` names in use.

    Raises SettingError for a wrong setting, InputError for what is no version's name and no rules file.
    """
    from parked.settings import load_settings

    if rules is not None:
        from ingestion.facts.rules import version_named

        overrides["rules"] = version_named(rules)
    return load_settings(**overrides)


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
