"""What stands beside the stored facts may be damaged, or another's: one line says what to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion.facts import rebuild as module
from ingestion.facts.rebuild import rebuild
from ingestion.facts.replay import replay
from ingestion.facts.rules import load_rules
from ingestion.facts.store import checkpoint_file, facts_file, position_file, read_stored
from ingestion.facts.update import update
from parked.errors import ConflictError, InputError
from parked.opsdb.engine import open_database
from tests.ingestion.facts.test_update import bytes_of, ingest, parts
from tests.ingestion.facts.worlds import world
from tests.ingestion.raw.conftest import Home, open_home

RULES = load_rules()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = open_home(tmp_path / "home")
    ingest(home, world(6, devices=1), "a")
    rebuild(home.settings, home.log, RULES)
    return home


@pytest.mark.parametrize("damaged", [b"", b"\xb5\x01", b"7x\n"])
def test_a_position_that_is_none_is_as_one_that_is_lost(home: Home, damaged: bytes) -> None:
    position_file(facts_file(home.settings, RULES.version)).write_bytes(damaged)
    for going_on in (
        lambda: update(home.settings, home.log, RULES),
        lambda: replay(home.settings, home.log, RULES, "x"),
    ):
        with pytest.raises(ConflictError, match="parked facts build"):
            going_on()
    rebuild(home.settings, home.log, RULES)
    assert update(home.settings, home.log, RULES).records == 0


def test_facts_of_more_than_raw_has_are_not_gone_on_with(home: Home, tmp_path: Path) -> None:
    before, position = bytes_of(home), read_stored(home.settings, RULES).position
    older = Home(home.settings, open_database(f"sqlite:///{tmp_path / 'older.db'}"))
    for going_on in (
        lambda: update(older.settings, older.log, RULES),
        lambda: replay(older.settings, older.log, RULES, "phone-0"),
    ):
        with pytest.raises(ConflictError, match=r"PARKED_DATABASE_URL.*parked facts build"):
            going_on()
    assert bytes_of(home) == before
    assert read_stored(home.settings, RULES).position == position


def test_damaged_states_of_a_version_say_how_to_build_that_version(home: Home) -> None:
    v2 = RULES.model_copy(update={"version": "v2"})
    rebuild(home.settings, home.log, v2)
    checkpoint_file(home.settings, "v2", read_stored(home.settings, v2).position).write_bytes(b"damaged")
    ingest(home, world(7, devices=1), "b")
    with pytest.raises(InputError, match="run: parked facts build --rules v2"):
        update(home.settings, home.log, v2)


def test_a_build_that_an_update_overtook_ends_where_the_update_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_home(tmp_path / "home")
    first, second = parts(world(5, devices=2), 5, 2, by_receipt=True)
    ingest(home, first, "a")
    rebuild(home.settings, home.log, RULES)
    build = module.build_streamed

    def meanwhile(*args: object, **options: object) -> object:
        ingest(home, second, "b")
        update(home.settings, home.log, RULES)
        return build(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "build_streamed", meanwhile)
        rebuild(home.settings, home.log, RULES)
    assert read_stored(home.settings, RULES).position == home.log.position()
    now = bytes_of(home)
    rebuild(home.settings, home.log, RULES)
    assert bytes_of(home) == now
