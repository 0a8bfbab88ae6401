"""The platform over Redis: the same commands and the same answers as over the embedded store."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from bentos.launch import start_server
from bentos.ports import CandidateKey, NotReadyError
from bentos.store.features import FeastSource
from bentos.store.lmdb_source import LmdbSource
from cli.main import app
from feature_repo.services import PARKING_V1, WHERE_PARKED_V1, service_features
from feature_repo.store import open_store
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from ingestion.features.fold import fold_facts
from ingestion.features.online import load_online
from parked.clock import to_us
from parked.errors import SettingError
from parked.settings import Settings
from tests.bentos.fakes import publish, settings_in
from tests.bentos.world import START, drives, train_real
from tests.feature_repo.facts_builder import START as START_US
from tests.feature_repo.facts_builder import row, table
from tests.redis_server import emptied
from tests.servers import free_port

NOBODY_LISTENS = "does not serve .* start the Redis server or correct the setting"


def over_redis(folder: Path, address: str) -> Settings:
    return settings_in(folder, online_store="redis", redis_connection=address)


def test_answers_over_redis_are_those_over_lmdb(tmp_path: Path, redis_address: str) -> None:
    fixes = drives(devices=2, days=3)
    facts = build_facts(fixes, None, load_rules(None))
    near, far = settings_in(tmp_path / "lmdb"), over_redis(tmp_path / "redis", redis_address)
    for settings in (near, far):
        build_features(settings, facts)
    embedded, shared = LmdbSource.open(near), FeastSource.open(far)
    devices = ["phone-0", "nobody", "phone-1"]
    known = embedded.devices(devices)
    assert shared.devices(devices) == [facts and facts._replace(row=b"") for facts in known]
    assert [one is None for one in known] == [False, True, False]
    at_us = to_us(START + timedelta(days=3, hours=5))
    keys = [CandidateKey(f.device_id, c.candidate_id, c.cell, at_us) for f in known if f for c in f.candidates]
    keys.append(CandidateKey("phone-0", "no-such", "", at_us))
    names = service_features(PARKING_V1)
    assert list(map(list, embedded.values(PARKING_V1, names, keys))) == shared.values(PARKING_V1, names, keys)


def test_a_server_and_the_command_line_answer_from_redis(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixes = drives(devices=2, days=2)
    settings = over_redis(tmp_path, redis_address)
    build_features(settings, build_facts(fixes, None, load_rules(None)))
    publish(settings, train_real(settings, fixes), 1)
    asked_at = START + timedelta(hours=14)
    with start_server(settings, port=0) as server:
        server.wait_ready(90)
        question = {"device_id": "phone-0", "asked_at": asked_at.isoformat()}
        answer = httpx.post(f"{server.url}/where_parked", json=question).json()
        server.stop()
    assert (answer["state"], answer["model"]["tag"]) == ("parked", "parking:v1")
    for name in ("home", "online_store", "redis_connection"):
        monkeypatch.setenv(f"PARKED_{name.upper()}", str(getattr(settings, name)))
    said = CliRunner().invoke(app, ["features", "get", "--device", "phone-0", "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["state"]["facts_as_of_us"] is not None
    assert not (settings.feast_dir / "online.lmdb").exists()


def test_a_server_that_lost_everything_knows_of_nobody_that_he_was_never_seen(
    tmp_path: Path, redis_address: str
) -> None:
    settings = over_redis(tmp_path, redis_address)
    facts = build_facts(drives(devices=1, days=1), None, load_rules(None))
    apply_repo(settings)
    source = FeastSource.open(settings)
    with pytest.raises(NotReadyError, match="never loaded, or lost everything; run `parked features build`"):
        source.devices(["phone-0"])
    build_features(settings, facts)
    known, nobody = source.devices(["phone-0", "nobody"])
    assert known is not None
    assert nobody is None
    emptied(redis_address)
    with pytest.raises(NotReadyError, match="lost everything"):
        source.devices(["phone-0"])
    build_features(settings, facts)
    assert source.devices(["phone-0"]) == [known]


@pytest.mark.parametrize("option", ["colour=red", "socket_timeout=soon", "socket_timeout=-1", "host=other"])
def test_an_option_that_redis_py_does_not_take_is_one_line(tmp_path: Path, redis_address: str, option: str) -> None:
    with pytest.raises(SettingError, match=r"127.0.0.1:\d+: an option is wrong") as trouble:
        apply_repo(over_redis(tmp_path, f"{redis_address},{option},password=hush"))
    assert "hush" not in str(trouble.value)
    assert "\n" not in str(trouble.value)


def test_other_definitions_and_a_replacing_load_change_what_is_stored_at_the_same_or_a_later_moment(
    tmp_path: Path, redis_address: str
) -> None:
    settings = over_redis(tmp_path, redis_address)
    apply_repo(settings)
    store, source = open_store(settings), FeastSource.open(settings)

    def newest() -> str | None:
        (facts,) = source.devices(["d1"])
        return facts.candidates[0].candidate_id if facts else None

    later = START_US + 1_000_000
    load_online(store, fold_facts(table([row("d1", "a", "vehicle_left", START_US, later)])))
    load_online(store, fold_facts(table([row("d1", "b", "vehicle_left", START_US, later, rules_version="other")])))
    assert newest() == "b"
    older = fold_facts(table([row("d1", "c", "vehicle_left", START_US, START_US, rules_version="other")]))
    assert load_online(store, older)["device_state"].kept == 1
    assert newest() == "b"
    assert load_online(store, older, replace=True)["device_state"].written == 1
    assert newest() == "c"


def apply_while_it_was_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.setattr("ingestion.features.apply.require_online", lambda _: None)
        apply_repo(settings)


def test_without_a_server_it_is_one_line_and_a_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = over_redis(tmp_path, f"127.0.0.1:{free_port()},password=hush")
    apply_while_it_was_there(settings, monkeypatch)
    with pytest.raises(SettingError, match=NOBODY_LISTENS) as trouble:
        build_features(settings, build_facts(drives(devices=1, days=1), None, load_rules(None)))
    assert "\n" not in str(trouble.value)
    assert "hush" not in str(trouble.value)
    with pytest.raises(NotReadyError, match="the online store does not answer"):
        FeastSource.open(settings).devices(["phone-0"])
    for name in ("home", "online_store", "redis_connection"):
        monkeypatch.setenv(f"PARKED_{name.upper()}", str(getattr(settings, name)))
    said = CliRunner().invoke(app, ["features", "get", "--device", "phone-0"])
    assert said.exit_code != 0
    assert isinstance(said.exception, SettingError)


def test_no_password_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_while_it_was_there(over_redis(tmp_path, "127.0.0.1:1,password=hush"), monkeypatch)
    written = (tmp_path / "feast" / "feature_store.yaml").read_text()
    assert "hush" not in written
    assert yaml.safe_load(written)["online_store"]["connection_string"] == "${PARKED_REDIS_CONNECTION}"


def test_a_wrong_address_or_a_missing_package_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"'redis://x' is no address; say host:port\[,db=0\]"):
        open_store(over_redis(tmp_path, "redis://x,password=hush"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r"redis package is not installed; install `where-you-parked\[redis\]`"):
        open_store(over_redis(tmp_path, "127.0.0.1:6379"))


def test_the_services_of_serving_are_applied_there_too(tmp_path: Path, redis_address: str) -> None:
    settings = over_redis(tmp_path, redis_address)
    assert "Created feature service" in apply_repo(settings)
    assert apply_repo(settings).split("\n")[:2] == ["No changes to registry", "No changes to infrastructure"]
    assert open_store(settings).get_feature_service(WHERE_PARKED_V1).name == WHERE_PARKED_V1
