"""Bringing the operations database to the newest schema, in-process, with Alembic.

Every command opens the database, so the usual case (already at head) is one SELECT and imports no Alembic.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from parked.errors import ConflictError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0003"
"""The newest revision. A test holds it equal to what the migrations folder says."""

_ADVISORY_LOCK: Final = 7_275_733
"""Any fixed number: PostgreSQL's name of "someone is migrating"."""


def upgrade(engine: Engine) -> None:
    """Migrate to ``HEAD``; do nothing where already there.

    Safe when several processes open a new database at once: one migrates, the others wait and find it done.
    Either the whole upgrade happens or none of it (DDL is transactional on SQLite and PostgreSQL).

    Raises ConflictError where the database was written by a newer program than this one.
    """
    with engine.connect() as connection:
        if current(connection) == HEAD:
            return
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Python's sqlite3 opens no transaction for DDL; without this, two processes interleave.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        found = current(connection)
        if found != HEAD:
            _migrate(connection, found)
        connection.commit()


def current(connection: Connection) -> str | None:
    """The database's revision, None where it has none yet."""
    if connection.dialect.name == "sqlite":
        try:
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        except DatabaseError as error:
            if "no such table" in str(error.orig):
                return None
            raise
    # elsewhere a failed statement would spoil the transaction that holds the lock
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration: the migrations beside this file, on ``connection``; no ini file needed."""
    from alembic.config import Config

    config = Config()
    # ConfigParser reads % as interpolation, and a folder may be called anything
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = configuration(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise ConflictError(
            f"{connection.engine.url.render_as_string(hide_password=True)}: schema {found} is newer than this "
            f"program's {HEAD}",
            mend="update the program, or point PARKED_DATABASE_URL at another database",
        )
    command.upgrade(config, "head")
