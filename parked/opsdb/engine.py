"""Opening the operations database, at the newest schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
)
from sqlalchemy.orm import Session

from parked.errors import SettingError, first_line

OURS: Final = (IntegrityError, ProgrammingError, DataError)
"""Database errors that say that a statement of ours is wrong, not what is the matter with the database."""


def open_database(url: str) -> Engine:
    """Engine for ``url``, migrated to the newest schema (Alembic). SQLite: WAL, foreign keys on, 30 s busy wait; a
    server's connections are tried before they are used again.

    Raises SettingError for a URL SQLAlchemy cannot read, whose driver is not installed, or which cannot be used.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        # A statement's values are places and names: no error's text has them, and so no log.
        # A server may have been started anew since it was last asked.
        engine = create_engine(parsed, hide_parameters=True, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except OSError as error:
        raise SettingError(f"PARKED_DATABASE_URL: {error}", mend="give a place that can be written to") from None
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingError(
            f"PARKED_DATABASE_URL: {error}", mend="give an SQLAlchemy URL with an installed driver"
        ) from None
    except ValueError:  # of a number that is none, whose text may be a piece of the password
        raise SettingError(
            "PARKED_DATABASE_URL: its port is no number", mend="write an @, : or / of a password as %40, %3A or %2F"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _tune_sqlite)
    from parked.opsdb.migrate import upgrade

    try:
        upgrade(engine)
    except DatabaseError as error:
        raise _unusable(url, error) from None
    except UnicodeDecodeError:  # of a damaged file's own words
        raise _unusable(url, ValueError("it is damaged")) from None
    return engine


def trouble(error: Exception, url: str) -> SettingError | None:
    """What a database at ``url`` says of itself (it is full, locked, damaged, gone), in one line, to be raised or told.

    None for any other error, among them a statement of ours that is wrong.
    """
    return None if not isinstance(error, DatabaseError) or isinstance(error, OURS) else _unusable(url, error)


def wait_at_most(engine: Engine, ms: int) -> None:
    """From here on, each connection waits so long (milliseconds) for another's lock."""

    def wait(connection: Any, _record: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.cursor().execute(f"PRAGMA busy_timeout={ms}")
        elif engine.dialect.name == "postgresql":
            connection.autocommit = True  # else it would be taken back with the first transaction that is
            connection.cursor().execute(f"SET statement_timeout = {ms}")
            connection.autocommit = False

    engine.dispose()
    event.listen(engine, "connect", wait)


def _unusable(url: str, error: Exception) -> SettingError:
    place = make_url(url).render_as_string(hide_password=True)
    said = first_line(getattr(error, "orig", None) or error)
    return SettingError(
        f"PARKED_DATABASE_URL: cannot use {place}: {said}", mend="see that it can be reached and written to"
    )


def _tune_sqlite(connection, _record) -> None:  # type: ignore[no-untyped-def]
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=30000")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session that commits when the block succeeds and rolls back when it raises."""
    with Session(engine) as session, session.begin():
        yield session
