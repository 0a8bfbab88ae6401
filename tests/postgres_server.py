"""A real PostgreSQL server of the tests' own: on a free port of the loopback, stopped by its process."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from parked.opsdb.engine import open_database
from tests.servers import free_port, until_it_answers

PATIENCE_S = 30.0
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=100")
"""What is lost with the machine need not be safe from it."""


class PostgresServer:
    """Databases for tests: each has the newest schema, unless it is to be bare, and nothing in it."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._as_whom = _not_root(folder)
        self._port = free_port()
        self._numbers = itertools.count()
        data = folder / "data"
        made = [binaries / "initdb", "-D", data, "-U", "parked", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **self._as_whom)
        given = [f"port={self._port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *QUICK]
        self._command = [binaries / "postgres", "-D", data, *itertools.chain.from_iterable(("-c", g) for g in given)]
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._server = subprocess.Popen(self._command, stdout=quiet, stderr=quiet, **self._as_whom)
        until_it_answers(lambda: self.run("SELECT"), psycopg.OperationalError, self._server, PATIENCE_S)

    def stop(self, *, for_good: bool = False) -> None:
        """Connections are ended. ``for_good``: nothing is brought to the disk first, which takes seconds."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT if for_good else signal.SIGINT)
            self._server.wait(PATIENCE_S)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://parked@127.0.0.1:{self._port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(f"postgresql://parked@127.0.0.1:{self._port}/{database}", autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]  # our own words

    def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a database of its own."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}" + (" TEMPLATE migrated" if migrated else ""))
        return self.url(name)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that lives as long as the block. Skips the test where PostgreSQL is not installed."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # Not in a test's own folder: root's may not be entered by others, and the server refuses to be root.
    folder = Path(tempfile.mkdtemp(prefix="parked-postgres-"))
    try:
        server = PostgresServer(binaries, folder)
        try:
            server.start()
            server.run("CREATE DATABASE migrated")
            open_database(server.url("migrated")).dispose()
            yield server
        finally:
            server.stop(for_good=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    """Debian keeps a version's programs in a folder of its own, not on the path."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def _not_root(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    whom = next((name for name in ("postgres", "nobody") if _is_user(name)), None)
    if whom is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no other user to run it as")
    known = pwd.getpwnam(whom)
    os.chown(folder, known.pw_uid, known.pw_gid)
    return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": [], "cwd": folder}


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
