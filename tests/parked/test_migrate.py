"""The operations database opens at the newest schema: quickly, safely, and equal to the models."""

from __future__ import annotations

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import OperationalError

from parked.errors import ConflictError, SettingError
from parked.opsdb import migrate
from parked.opsdb.engine import open_database
from parked.opsdb.tables import Base


@pytest.fixture
def url(bare_database_url: str) -> str:
    return bare_database_url


def test_the_head_the_program_checks_is_the_newest_migration():
    assert ScriptDirectory.from_config(migrate.configuration()).get_current_head() == migrate.HEAD


def test_migrations_make_exactly_the_tables_of_the_models(url):
    with open_database(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_downgrading_leaves_nothing_but_alembics_own_table(url):
    from alembic import command

    with open_database(url).begin() as connection:
        command.downgrade(migrate.configuration(connection), "base")
    assert inspect(create_engine(url)).get_table_names() == ["alembic_version"]


def test_opening_at_head_does_not_import_alembic(url):
    open_database(url).dispose()
    code = (
        "import sys\nfrom parked.opsdb.engine import open_database\n"
        f"open_database({url!r})\nsys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_processes_that_open_a_new_database_at_once_all_find_it_migrated(url):
    code = f"from parked.opsdb.engine import open_database\nopen_database({url!r}).connect().close()"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    with create_engine(url).connect() as connection:
        assert migrate.current(connection) == migrate.HEAD


def test_a_database_from_a_newer_program_is_refused_and_left_alone(url):
    engine = open_database(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConflictError, match="newer than this program"):
        migrate.upgrade(engine)
    with engine.connect() as connection:
        assert migrate.current(connection) == "9999"


def test_a_failed_migration_leaves_the_database_empty(url, monkeypatch):
    from alembic import command

    def upgrade_then_fail(config, _revision):
        config.attributes["connection"].exec_driver_sql("CREATE TABLE half (id INTEGER)")
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", upgrade_then_fail)
    with pytest.raises(RuntimeError, match="power cut"):
        open_database(url)
    assert inspect(create_engine(url)).get_table_names() == []


@pytest.mark.parametrize("wrong", ["not a url", "nosuchdb://x/y"])
def test_an_unreadable_url_names_the_setting(wrong):
    with pytest.raises(SettingError, match="PARKED_DATABASE_URL"):
        open_database(wrong)


def test_a_port_that_is_no_number_names_the_setting_and_nothing_of_the_password():
    with pytest.raises(SettingError, match="PARKED_DATABASE_URL: its port is no number") as caught:
        open_database("postgresql://u:secret:word@host:secret/db")
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path):
    (tmp_path / "file").write_text("not a database, just words, and long enough to look at")
    with pytest.raises(SettingError, match="cannot use sqlite"):
        open_database(f"sqlite:///{tmp_path / 'file'}")
    with pytest.raises(SettingError, match="give a place that can be written to"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'ops.db'}")


def test_a_database_whose_own_words_are_damaged_is_one_line(tmp_path):
    url = f"sqlite:///{tmp_path / 'ops.db'}"
    open_database(url).dispose()
    file = tmp_path / "ops.db"
    whole = file.read_bytes()
    broken = whole.replace(b"tablelabellabel", b"table\xc5abellabel").replace(
        b"CREATE TABLE label", b"CREATE TABEL label"
    )
    assert broken != whole
    file.write_bytes(broken)
    with pytest.raises(SettingError, match=r"cannot use sqlite:///.*ops.db: "):
        open_database(url)


def test_what_a_database_says_in_two_lines_is_told_in_one(url, monkeypatch):
    def away(_engine):
        raise OperationalError("select 1", {}, Exception("connection refused\n\tIs the server running?"))

    monkeypatch.setattr(migrate, "upgrade", away)
    with pytest.raises(SettingError, match=r"connection refused; see that it can be reached") as caught:
        open_database(url)
    assert "\n" not in str(caught.value)
