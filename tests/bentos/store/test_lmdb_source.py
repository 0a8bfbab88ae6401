"""What is served from packed rows is what Feast's own call gives."""

from __future__ import annotations

import math
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from bentos.ports import CandidateKey
from bentos.store.features import FeastSource
from bentos.store.lmdb_source import LmdbSource
from bentos.store.watch import StoreWatch
from feature_repo import packed
from feature_repo.packed import file_of
from feature_repo.services import PARKING_V1, service_features
from feature_repo.store import lmdb_folder
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from parked.clock import to_us
from parked.errors import InputError, NotFoundError
from parked.settings import Settings
from tests.bentos.elsewhere import elsewhere
from tests.bentos.fakes import settings_in
from tests.bentos.world import START, drives

DEVICES = ["phone-0", "phone-1", "nobody"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("packed"))
    build_features(settings, build_facts(drives(devices=2, days=3), None, load_rules(None)))
    return settings


def test_devices_are_as_feast_tells_them(built: Settings) -> None:
    packed, feast = LmdbSource.open(built).devices(DEVICES), FeastSource.open(built).devices(DEVICES)
    assert [facts and facts._replace(row=b"") for facts in packed] == feast
    assert packed[0] is not None
    assert len(packed[0].candidates) == 3
    assert packed[2] is None


def test_features_are_as_feast_tells_them_value_and_type(built: Settings) -> None:
    packed, feast = LmdbSource.open(built), FeastSource.open(built)
    keys = [CandidateKey("nobody", "no-such", "no-cell", to_us(START)), CandidateKey("phone-0", "no-such", "", 0)]
    for facts in packed.devices(DEVICES[:2]):
        assert facts is not None
        for hours in (0, 30):
            at_us = to_us(START + timedelta(days=3, hours=hours))
            keys += [CandidateKey(facts.device_id, c.candidate_id, c.cell, at_us) for c in facts.candidates]
    names = service_features(PARKING_V1)
    theirs, ours = feast.values(PARKING_V1, names, keys), packed.values(PARKING_V1, names, keys)
    assert len(ours) == 14
    for key, mine, other in zip(keys, ours, theirs, strict=True):
        for name, a, b in zip(names, mine, other, strict=True):
            same = a == b or (isinstance(b, float) and math.isnan(b) and a is None)
            assert same, f"{name} of {key}: {a!r} against {b!r}"


def test_a_feature_nobody_declares_is_not_served(built: Settings) -> None:
    key = [CandidateKey("phone-0", "x", "y", 0)]
    for service, name in ((PARKING_V1, "made_up"), ("parking_v0", "age_s")):
        with pytest.raises(NotFoundError):
            LmdbSource.open(built).values(service, [name], key)


def test_a_store_that_holds_nothing_yet_is_open_and_fills_before_the_servers_eyes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    apply_repo(settings)
    source = LmdbSource.open(settings)
    assert source.devices(["phone-0"]) == [None]
    build_features(settings, build_facts(drives(devices=1, days=1), None, load_rules(None)))
    (facts,) = source.devices(["phone-0"])
    assert facts is not None
    assert len(facts.candidates) == 2


def test_a_home_whose_rows_are_in_another_store_says_what_to_run(tmp_path: Path) -> None:
    apply_repo(settings_in(tmp_path, online_store="sqlite"))
    with pytest.raises(NotFoundError, match="parked features build"):
        LmdbSource.open(settings_in(tmp_path))


def test_a_store_without_declarations_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="parked features"):
        LmdbSource.open(settings_in(tmp_path))


def test_a_damaged_file_is_one_line_for_whoever_opens_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    apply_repo(settings)
    remove_handle(settings)
    (lmdb_folder(settings) / "data.mdb").write_bytes(b"\x00" * 4096)
    for opens in (LmdbSource.open, apply_repo):
        with pytest.raises(InputError, match=r"online.lmdb: .*; remove this folder, then run `parked features build`"):
            opens(settings)


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path) -> None:
    facts = build_facts(drives(devices=1, days=1), None, load_rules(None))
    settings = settings_in(tmp_path)
    build_features(settings, facts)
    file_of(lmdb_folder(settings))._environment.set_mapsize(1 << 17)  # as little as there is
    more = build_facts(drives(devices=40, days=1), None, load_rules(None))
    try:
        with pytest.raises(InputError, match=r"online.lmdb: .*; check the disk and permissions"):
            build_features(settings, more)
        known = LmdbSource.open(settings).devices(["phone-0", "phone-1"])
    finally:
        remove_handle(settings)
    assert [one is None for one in known] == [False, True]


def test_a_folder_made_anew_is_opened_once_it_knows_somebody_and_the_old_one_answers_until_then(tmp_path: Path) -> None:
    facts = build_facts(drives(devices=2, days=1), None, load_rules(None))
    settings = settings_in(tmp_path)
    build_features(settings, facts)
    watch = StoreWatch(lambda: LmdbSource.open(settings), 1.0)
    watch.look()
    assert (watch.source, watch.trouble) != (None, None)

    def known() -> list[bool]:
        watch.look()
        assert watch.source is not None
        return [one is not None for one in watch.source.devices(["phone-0", "phone-1"])]

    assert known() == [True, True]
    assert watch.trouble is None
    shutil.rmtree(lmdb_folder(settings))
    assert known() == [True, True]
    assert "no online store; run `parked features build`" in str(watch.trouble)
    elsewhere("apply", settings)
    assert known() == [True, True]
    assert watch.trouble == "the online store was replaced by one that knows no phone yet"
    elsewhere("build", settings)
    assert known() == [True, False]
    assert watch.trouble is None


def test_a_file_replaced_beside_its_lock_wants_a_restart(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    apply_repo(settings)
    watch = StoreWatch(lambda: LmdbSource.open(settings), 1.0)
    watch.look()
    data = lmdb_folder(settings) / "data.mdb"
    shutil.copy(data, tmp_path / "copy")
    (tmp_path / "copy").rename(data)
    watch.look()
    assert watch.source is not None
    assert watch.trouble == f"{lmdb_folder(settings)}: data.mdb was removed or replaced alone; restart the server"


def remove_handle(settings: Settings) -> None:
    packed._OPEN.pop(lmdb_folder(settings)).close()
