"""The service as users run it: real facts in real Feast stores, a model in BentoML's store, a built bento."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from bentos.launch import ServerHandle, require_free_port
from bentos.model.scorer import load_scorer, model_dir_of
from bentos.ports import CandidateKey
from bentos.store.features import FeastSource
from cli.score import score_fixes
from feature_repo.retrieve import online_features
from feature_repo.services import ANSWERED_V1, PARKING_V1
from feature_repo.store import open_store
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.build import build_features
from parked.clock import from_us, to_us
from parked.errors import ConflictError, NotFoundError
from parked.geo import distance_m
from parked.predictions import read_predictions
from parked.schemas import SCORES
from parked.settings import Settings
from tests.bentos.fakes import publish, settings_in
from tests.bentos.world import HOME, START, drives, save_in_bentoml, train_real

BENTO_PAGE = Path(__file__).resolve().parents[3] / "docs" / "bento.md"


@pytest.fixture(scope="module")
def fixes() -> pa.Table:
    return drives(devices=2, days=2)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, fixes: pa.Table) -> Settings:
    settings = settings_in(tmp_path_factory.mktemp("real"))
    build_features(settings, build_facts(fixes, None, load_rules(None)))
    publish(settings, train_real(settings, fixes), 1)
    return settings


def test_a_store_without_declarations_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="parked features"):
        FeastSource.open(settings_in(tmp_path))


def test_a_bento_built_and_served_as_its_page_says_answers_what_the_store_and_the_model_say(
    built: Settings, tmp_path: Path
) -> None:
    """On another machine, as it were: with the online store, and with no model but the bento's own."""
    build, serve, ask = re.findall(r"```sh\n(.*?)```", BENTO_PAGE.read_text(encoding="utf-8"), re.S)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PARKED_", "BENTOML_"))}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment["BENTOML_DO_NOT_TRACK"] = "True"
    told = subprocess.run(
        ["bash", "-euc", build], cwd=here, env=environment | {"PARKED_HOME": str(built.home)},
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "Serve it with: parked serve --bento where_you_parked:" in told
    elsewhere = settings_in(there / "home")
    shutil.copytree(built.feast_dir, elsewhere.feast_dir)
    shutil.move(here / "parked.bento", there)
    port = require_free_port("127.0.0.1", 0)
    log = there / "serve.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["bash", "-euc", serve.replace("3000", str(port)).replace("bentoml serve", "exec bentoml serve")],
            cwd=there, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    asked_at = START + timedelta(hours=14)
    with ServerHandle(f"http://127.0.0.1:{port}", process, log) as server:
        server.wait_ready(90)
        shown = subprocess.run(
            ["bash", "-euc", ask.replace("3000", str(port))], check=True, capture_output=True, text=True
        ).stdout
        assert '{"ready":true,"reasons":[]}{"model":{"tag":"parking:v1"' in shown.replace("\n", "")
        question = {"device_id": "phone-0", "asked_at": asked_at.isoformat()}
        answer = httpx.post(f"{server.url}/where_parked", json=question).json()
        unknown = httpx.post(f"{server.url}/where_parked", json={"device_id": "nobody"}).json()
        past = {"answer_id": answer["answer_id"]}
        why = httpx.post(f"{server.url}/explain", json=past, timeout=10).json()
        corrected = httpx.post(f"{server.url}/correct", json=past | {"wrong": True}, timeout=10).json()
        assert server.stop() in (0, -signal.SIGTERM)
    assert (unknown["state"], unknown["reason"]) == ("unknown", "unknown_device")
    assert (answer["state"], answer["model"]["tag"]) == ("parked", "parking:v1")
    spot = answer["spot"]
    assert why["reproduced"] is True
    assert {c["candidate_id"]: c["probability"] for c in why["candidates"]}[spot["candidate_id"]] == spot["probability"]
    assert all(reason["meaning"] != reason["feature"] for c in why["candidates"] for reason in c["reasons"])
    assert corrected == {"stored": True, "labels": ["not_parked"], "duplicate": False}
    assert distance_m(spot["lat"], spot["lon"], *HOME) < 60
    kept = read_predictions(elsewhere.predictions_dir).to_pylist()
    logged = {row["candidate_id"]: row for row in kept}[spot["candidate_id"]]
    scorer = load_scorer(model_dir_of(built, "parking:v1"))
    facts = FeastSource.open(built).devices(["phone-0"])[0]
    assert facts is not None
    cell = next(c.cell for c in facts.candidates if c.candidate_id == spot["candidate_id"])
    asked = CandidateKey("phone-0", spot["candidate_id"], cell, to_us(asked_at))
    ((left_at_us, lat, lon),) = FeastSource.open(built).values(ANSWERED_V1, ("left_at_us", "lat", "lon"), [asked])
    assert (lat, lon) == (spot["lat"], spot["lon"])
    assert from_us(int(str(left_at_us))) == datetime.fromisoformat(spot["since"])
    key = {"device_id": "phone-0", "candidate_id": spot["candidate_id"], "cell": cell, "asked_at_us": to_us(asked_at)}
    (row,) = online_features(open_store(built), [key], PARKING_V1)
    assert json.loads(logged["features"]) == {name: row[name] for name in scorer.card.features}
    assert scorer.score([row]) == [logged["probability"]] == [spot["probability"]]


def test_scores_of_a_file_are_the_contract_sorted_and_do_not_depend_on_row_order(
    built: Settings, fixes: pa.Table
) -> None:
    scorer = load_scorer(model_dir_of(built, "parking:v1"))
    rules = load_rules(None)
    scores = score_fixes(fixes, None, rules, scorer)
    assert scores.schema.equals(SCORES)
    assert scores.num_rows
    keys = [(row["device_id"], row["decided_at"], row["fact_id"]) for row in scores.to_pylist()]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    shuffled = fixes.take(pa.array(range(fixes.num_rows - 1, -1, -1)))
    assert score_fixes(shuffled, None, rules, scorer).equals(scores)


def test_a_model_of_other_rules_is_not_asked(built: Settings, fixes: pa.Table) -> None:
    scorer = load_scorer(model_dir_of(built, "parking:v1"))
    other = scorer.card.model_copy(update={"rules_version": "v0"})
    tag = save_in_bentoml(built, scorer.model, other, "old")
    with pytest.raises(ConflictError, match="rules v0"):
        score_fixes(fixes, None, load_rules(None), load_scorer(model_dir_of(built, tag)))
