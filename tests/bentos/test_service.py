"""The real BentoML server in a process of its own, over fake stores."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest

from bentos.model.scorer import load_scorer, model_dir_of
from parked.opsdb.engine import open_database
from parked.opsdb.labels import read_labels
from parked.predictions import read_predictions
from parked.worker_status import live_workers, workers_dir
from tests.bentos.conftest import CONFIRMATION, Served
from tests.bentos.fakes import NOW, until
from tests.bentos.load import Load


def metric(client: httpx.Client, name: str) -> float:
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@pytest.mark.parametrize(
    ("device_id", "state", "reason", "candidate"),
    [
        ("phone-parked", "parked", "last_parking", "home"),
        ("phone-driving", "driving", "vehicle_moving", None),
        ("phone-jam", "unknown", "below_threshold", None),
        ("phone-new", "unknown", "no_candidates", None),
        ("nobody", "unknown", "unknown_device", None),
    ],
)
def test_each_phone_gets_its_typed_answer(
    client: httpx.Client, device_id: str, state: str, reason: str, candidate: str | None
) -> None:
    reply = client.post("/where_parked", json={"device_id": device_id})
    assert reply.status_code == 200
    answer = reply.json()
    assert (answer["state"], answer["reason"]) == (state, reason)
    assert (answer["spot"] or {}).get("candidate_id") == candidate
    assert answer["model"]["tag"].startswith("parking:")
    assert answer["rules_version"] == "v1"


def test_the_answer_names_the_spot_its_age_and_the_runner_up(client: httpx.Client) -> None:
    answer = client.post("/where_parked", json={"device_id": "phone-parked"}).json()
    assert answer["since"] == answer["spot"]["since"] == "2026-03-01T07:00:00Z"
    assert answer["probability"] == answer["spot"]["probability"] > 0.5
    assert answer["uncertainty_m"] == 12.0
    assert [place["candidate_id"] for place in answer["runner_up"]] == ["bus"]
    assert (answer["facts_as_of"], answer["facts_age_s"]) == ("2026-03-01T11:00:00Z", 3600.0)


def test_asked_about_a_moment_before_the_bus_there_is_no_bus(client: httpx.Client) -> None:
    answer = client.post(
        "/where_parked", json={"device_id": "phone-parked", "asked_at": "2026-03-01T11:30:00+02:00"}
    ).json()
    assert answer["state"] == "parked"
    assert answer["runner_up"] == []
    assert answer["asked_at"] == "2026-03-01T09:30:00Z"


@pytest.mark.parametrize(
    ("asked_at", "facts_as_of", "age_s", "freshness"),
    [
        ("2020-01-01T00:00:00Z", None, None, "none"),  # before all that is known of the phone
        ("2026-03-01T09:30:00Z", "2026-03-01T11:00:00Z", 0.0, "fresh"),  # answered with what became known later
        ("2026-03-01T11:00:30Z", "2026-03-01T11:00:00Z", 30.0, "fresh"),
        ("2026-04-01T11:00:00Z", "2026-03-01T11:00:00Z", 31 * 86_400.0, "stale"),
    ],
)
def test_how_old_what_is_known_is_at_the_moment_asked_about(
    client: httpx.Client, asked_at: str, facts_as_of: str | None, age_s: float | None, freshness: str
) -> None:
    answer = client.post("/where_parked", json={"device_id": "phone-parked", "asked_at": asked_at}).json()
    assert (answer["facts_as_of"], answer["facts_age_s"], answer["freshness"]) == (facts_as_of, age_s, freshness)


def test_many_are_scored_at_once_in_their_order(client: httpx.Client) -> None:
    items = [
        {"device_id": "phone-parked", "candidate_id": "home"},
        {"device_id": "nobody"},
        {"device_id": "phone-parked"},
        {"device_id": "phone-driving", "candidate_id": "home"},
        {"device_id": "phone-new"},
    ]
    reply = client.post("/score", json={"items": items})
    assert reply.status_code == 200
    results = reply.json()["results"]
    assert [[place["candidate_id"] for place in result["candidates"]] for result in results] == [
        ["home"], [], ["bus", "home"], [], [],
    ]  # fmt: skip
    assert [result["reason"] for result in results] == [
        None, "unknown_device", None, "unknown_candidate", "no_candidates",
    ]  # fmt: skip
    single = client.post("/where_parked", json={"device_id": "phone-parked"}).json()
    assert results[0]["candidates"][0]["probability"] == single["probability"]


def test_device_ids_are_a_shorter_way_to_ask(client: httpx.Client) -> None:
    results = client.post("/score", json={"device_ids": ["phone-jam", "nobody"]}).json()["results"]
    assert [result["device_id"] for result in results] == ["phone-jam", "nobody"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_model_says_what_it_is(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/model").json()
    assert answer["feature_service"] == "parking_v1"
    assert answer["metrics"] == {"auc": 0.97}
    assert answer["threshold"] == 0.5


def test_a_confirmation_is_one_label_however_often_it_is_sent(served: Served, client: httpx.Client) -> None:
    first, again = (client.post("/confirm", json=CONFIRMATION | {"answer_id": "a1"}).json() for _ in range(2))
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    engine = open_database(served.settings.database)
    mine = [row for row in read_labels(engine).to_pylist() if row["device_id"] == "phone-parked"]
    engine.dispose()
    assert [(row["source"], row["verdict"], row["lat"], row["known_at"]) for row in mine] == [
        ("person", "parked", 48.1, NOW)
    ]


def test_a_key_used_for_something_else_is_a_conflict(client: httpx.Client) -> None:
    told = CONFIRMATION | {"device_id": "phone-key", "key": "k1"}
    assert client.post("/confirm", json=told).json() == {"stored": True, "duplicate": False}
    assert client.post("/confirm", json=told).json() == {"stored": True, "duplicate": True}
    reply = client.post("/confirm", json=told | {"verdict": "not_parked"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conflict")
    assert client.post("/confirm", json=told | {"device_id": "another"}).json() == {"stored": True, "duplicate": False}


def test_two_devices_never_share_a_key_whatever_is_written_in_them(client: httpx.Client) -> None:
    for device_id, key in (("a", "b/c"), ("a/b", "c"), ("1:a", "b"), ("1", "a:b")):
        told = CONFIRMATION | {"device_id": device_id, "key": key, "lat": 40.0 + len(device_id)}
        for duplicate in (False, True):
            assert client.post("/confirm", json=told).json() == {"stored": True, "duplicate": duplicate}


def test_bentomls_own_routes_stay(client: httpx.Client) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}
    assert set(client.get("/docs.json").json()["paths"]) >= {"/where_parked", "/score", "/confirm", "/model"}
    assert client.get("/").status_code == 200


def test_the_metrics_count_answers_by_state(client: httpx.Client) -> None:
    name = 'parked_answers_total{reason="unknown_device",state="unknown"}'
    before = metric(client, name)
    client.post("/where_parked", json={"device_id": "nobody"})
    assert metric(client, name) == before + 1
    assert metric(client, "parked_model_generation") >= 1
    assert metric(client, "bentoml_service_request_total") > 0


def test_the_log_holds_exactly_what_was_served(served: Served, client: httpx.Client) -> None:
    answer = client.post("/where_parked", json={"device_id": "phone-parked"}).json()
    scored = client.post("/score", json={"device_ids": ["phone-jam"]}).json()
    asked = {answer["answer_id"], scored["answer_id"]}

    def logged() -> dict[tuple[str, str], dict[str, Any]]:
        rows = read_predictions(served.settings.predictions_dir, sorted(asked)).to_pylist()
        return {(row["answer_id"], row["candidate_id"]): row for row in rows}

    until(lambda: len(logged()) == 3)
    of = logged()
    assert set(of) == {(answer["answer_id"], "bus"), (answer["answer_id"], "home"), (scored["answer_id"], "red-light")}
    home = of[answer["answer_id"], "home"]
    assert (home["rank"], home["state"], home["probability"]) == (1, "parked", answer["probability"])
    assert {"tag": home["model_tag"], "generation": home["generation"]} == answer["model"]
    features = json.loads(home["features"])
    assert features == {"walked_m": 120.0, "followed_by": "foot", "age_s": 0.0}
    model = load_scorer(model_dir_of(served.settings, home["model_tag"]))
    assert model.score([features]) == [home["probability"]]
    assert of[scored["answer_id"], "red-light"]["state"] == "score"


def test_a_server_without_a_model_is_alive_not_ready_and_says_why(served: Served) -> None:
    before = served.before_publishing
    assert before["livez"].status_code == 200
    assert (before["readyz"].status_code, before["readyz"].json()["ready"]) == (503, False)
    assert "no model is published" in before["readyz"].json()["reasons"][0]
    for name in ("where_parked", "model"):
        assert before[name].status_code == 503
        assert before[name].json()["error"]["code"] == "not_ready"
        assert "parked publish" in before[name].json()["error"]["message"]
    assert before["confirm"].json()["stored"], "a person's word needs no model"


def test_a_damaged_publication_is_told_and_the_old_model_keeps_answering(served: Served, client: httpx.Client) -> None:
    settings = served.settings
    whole = settings.pointer_file.read_text()
    failures = metric(client, "parked_model_swap_failures_total")
    before = client.get("/model").json()["model"]
    settings.pointer_file.write_text('{"generation": 99, "model_tag"')
    try:
        until(lambda: client.get("/readyz").json()["reasons"] != [])
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert "damaged" in ready.json()["reasons"][0]
        assert metric(client, "parked_model_swap_failures_total") == failures + 1
        answer = client.post("/where_parked", json={"device_id": "phone-parked"}).json()
        assert (answer["state"], answer["model"]) == ("parked", before)
    finally:
        settings.pointer_file.write_text(whole)
    until(lambda: client.get("/readyz").json()["reasons"] == [])


def test_the_servers_log_holds_no_coordinates(served: Served, client: httpx.Client) -> None:
    client.post("/confirm", json=CONFIRMATION | {"lat": 12.345678})
    client.post("/confirm", json=CONFIRMATION | {"lat": 98.765432})
    client.post("/where_parked", json={"device_id": "phone-parked"})
    log = served.server.log_file.read_text()
    assert "initialized" in log
    for secret in ("12.345678", "98.765432", "48.1"):
        assert secret not in log


def test_nobody_can_confirm_what_has_not_happened_yet(client: httpx.Client) -> None:
    told = {"device_id": "phone-parked", "at": "2099-01-12T12:00:00Z", "lat": 9.0, "lon": -9.1, "verdict": "parked"}
    reply = client.post("/confirm", json=told)
    assert reply.status_code == 400
    assert "future" in reply.json()["error"]["message"]


def test_each_worker_reports_what_it_serves(served: Served, client: httpx.Client) -> None:
    def reported() -> list[tuple[int, str | None]]:
        return [(w.generation, w.model_tag) for w in live_workers(workers_dir(served.settings))]

    answering = client.get("/model").json()["model"]
    assert reported() == [(answering["generation"], answering["tag"])]


def test_what_evaluates_the_model_is_told(served: Served, client: httpx.Client) -> None:
    """The fakes' model has counters over categories, which arrays do not hold."""
    assert metric(client, "parked_model_trees_compiled") == 0
    assert [w.trees for w in live_workers(workers_dir(served.settings))] == ["catboost"]


def test_a_stuck_store_is_quick_503s_for_all_and_health_never_waits_for_it(
    served: Served, client: httpx.Client
) -> None:
    stuck: list[httpx.Response] = []

    def ask() -> None:
        stuck.append(httpx.post(f"{served.server.url}/where_parked", json={"device_id": "phone-stuck"}, timeout=10))

    def store_slow() -> float:
        return metric(client, 'parked_errors_total{code="store_slow"}')

    before = store_slow()
    asking = threading.Thread(target=ask)
    with Load(served.server.url, keeping=12, renewing=4) as load:
        until(lambda: load.seen.statuses[200] > 0)
        asking.start()
        until(lambda: load.seen.statuses[503] > 0)
        for path in ("/livez", "/readyz", "/metrics", "/model", "/docs.json"):
            reply = client.get(path, timeout=0.7)
            assert reply.status_code == 200, path
        asking.join()
        again = load.seen.statuses[200]
        until(lambda: load.seen.statuses[200] > again + 50)
    (first,) = stuck
    seen = load.seen
    assert (first.status_code, first.json()["error"]["code"]) == (503, "store_slow")
    assert first.headers["retry-after"] == "1"
    assert first.elapsed.total_seconds() < 2.0, "the store takes 2.5 s, its limit is 1 s"
    assert set(seen.statuses) == {200, 503}
    assert seen.slowest_s < 2.0, "who waited with it was told with it, who came later at once"
    assert (seen.unanswered, seen.cut, seen.refused) == (0, 0, 0)
    assert store_slow() == before + 1 + seen.statuses[503]
    assert metric(client, "parked_requests_in_progress") <= 1, "this reading alone"
