"""Past answers of the real server, explained by the model that gave them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bentos.feedback import explain
from bentos.feedback.explain import Explainer, shap_values
from bentos.log.answer_id import answer_ids
from bentos.log.logged import AnswerLog, LoggedCandidate
from bentos.messages_explain import ExplainAnswer, Explained, ExplainRequest
from bentos.model.scorer import Scorer, load_scorer, model_dir_of
from parked.clock import fixed_clock, to_us
from parked.predictions import features_json
from parked.schemas import PREDICTIONS
from parked.tokens import EVERYTHING
from tests.bentos.asking import ask, code
from tests.bentos.conftest import Served, until
from tests.bentos.fakes import NOW, publish, settings_in, write_model

LONG_AGO = answer_ids(fixed_clock(NOW.replace(year=2020)))


def test_an_answer_is_explained_from_what_it_was_given_with_the_very_probabilities(
    served: Served, client: httpx.Client
) -> None:
    answer = ask(client)
    reply = client.post("/explain", json={"answer_id": answer["answer_id"]})
    assert reply.status_code == 200
    told = reply.json()
    assert told["reproduced"] is True
    assert (told["model"], told["state"]) == (answer["model"], "parked")
    bus, home = told["candidates"]
    assert (bus["candidate_id"], home["candidate_id"]) == ("bus", "home")
    assert home["probability"] == answer["probability"]
    said = {part["feature"]: part for part in home["reasons"]}
    assert (said["walked_m"]["value"], said["followed_by"]["value"]) == (120.0, "foot")
    assert said["walked_m"]["log_odds"] > 0
    assert said["walked_m"]["says"].startswith("Farthest seen on foot from the vehicle so far, metres: 120. Makes a")
    assert "walked_m" in home["says"]
    assert "against it" in bus["says"]
    for candidate in (bus, home):
        p, base = candidate["probability"], candidate["base_probability"]
        total = math.log(base / (1 - base)) + sum(part["log_odds"] for part in candidate["reasons"])
        assert total == pytest.approx(math.log(p / (1 - p)), abs=1e-6), "nothing is left out"
    scorer = load_scorer(model_dir_of(served.settings, told["model"]["tag"]))
    assert told["threshold"] == scorer.card.threshold


def test_a_batch_is_explained_too(client: httpx.Client) -> None:
    scored = client.post("/score", json={"device_ids": ["phone-jam", "phone-driving"]}).json()
    told = client.post("/explain", json={"answer_id": scored["answer_id"]}).json()
    assert {c["device_id"] for c in told["candidates"]} == {"phone-jam", "phone-driving"}


def test_a_large_batch_is_explained_a_part_at_a_time_until_nothing_is_left(
    served: Served, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = client.post("/score", json={"device_ids": ["phone-jam", "phone-parked", "phone-driving"]}).json()
    answer_id = scored["answer_id"]
    whole = client.post("/explain", json={"answer_id": answer_id}).content
    told = ExplainAnswer.model_validate_json(whole)
    assert (len(told.candidates), told.more) == (4, 0)
    assert told.model_dump_json().encode() == whole
    settings = served.settings
    answers = AnswerLog(settings.predictions_dir, lambda _at: None, fixed_clock(NOW), flush_s=2.0)
    explainer = Explainer(answers, lambda tag: load_scorer(model_dir_of(settings, tag), tag))
    for at_most in (1, 3, 4, 100):
        monkeypatch.setattr(explain, "AT_MOST", at_most)
        found: list[Explained] = []
        more = 4
        while more:
            request = ExplainRequest(answer_id=answer_id, skip=len(found))
            part = ExplainAnswer.model_validate_json(explainer.explain(request, EVERYTHING))
            assert len(part.candidates) == min(at_most, more)
            more = part.more
            found += part.candidates
            assert len(found) + more == 4
        assert found == told.candidates


def test_of_a_batch_one_phone_alone_is_explained_and_no_more_than_there_are(client: httpx.Client) -> None:
    scored = client.post("/score", json={"device_ids": ["phone-jam", "phone-parked", "phone-driving"]}).json()
    asked = {"answer_id": scored["answer_id"]}
    whole = client.post("/explain", json=asked).json()
    one = client.post("/explain", json=asked | {"device_id": "phone-parked"}).json()
    assert one == whole | {"candidates": [c for c in whole["candidates"] if c["device_id"] == "phone-parked"]}
    assert code(client.post("/explain", json=asked | {"device_id": "phone-new"})) == (404, "unknown_answer")
    for past in (4, 4.0):  # to JSON Schema both are integers
        assert client.post("/explain", json=asked | {"skip": past}).json() == whole | {"candidates": []}
    for wrong in (-1, 0.5, "4", True, 1e300):
        assert code(client.post("/explain", json=asked | {"skip": wrong})) == (422, "invalid_request")


def test_of_three_thousand_candidates_those_not_told_are_not_even_weighed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """51 MB in a second's work beside which nobody waits; what is told, is told with its own probability."""
    settings = settings_in(tmp_path)
    scorer = load_scorer(model_dir_of(settings, write_model(settings, "v1")))
    fed = [{"walked_m": float(i % 150), "followed_by": "foot", "age_s": float(i)} for i in range(3000)]
    probabilities = scorer.score(fed)
    answer_id = answer_ids(fixed_clock(NOW))(True)
    shared = {"answer_id": answer_id, "answered_at": NOW, "asked_at": NOW, "state": "score", "rules_version": "v1"}
    rows = [
        shared | {"device_id": f"phone-{i // 3}", "candidate_id": f"{i}", "rank": i % 3, "probability": probability,
                  "model_tag": scorer.tag, "generation": 1, "features": features_json(values)}
        for i, (values, probability) in enumerate(zip(fed, probabilities, strict=True))
    ]  # fmt: skip
    part = tmp_path / f"date={NOW.date()}" / f"{to_us(NOW)}-1.parquet"
    part.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=PREDICTIONS), part)
    weighed: list[int] = []

    def counted(of: Scorer, candidates: Sequence[LoggedCandidate]) -> list[list[float]]:
        weighed.append(len(candidates))
        return shap_values(of, candidates)

    monkeypatch.setattr(explain, "shap_values", counted)
    explainer = Explainer(AnswerLog(tmp_path, lambda _at: None, fixed_clock(NOW), flush_s=2.0), lambda _tag: scorer)
    told = explainer.explain(ExplainRequest(answer_id=answer_id, skip=50), EVERYTHING)
    answer = ExplainAnswer.model_validate_json(told)
    assert weighed == [len(answer.candidates)] == [explain.AT_MOST]
    assert answer.more == 3000 - 50 - explain.AT_MOST
    assert [c.probability for c in answer.candidates] == probabilities[50 : 50 + explain.AT_MOST]
    assert len(told) < 1_000_000


def test_an_answer_of_a_model_since_replaced_is_explained_by_that_model(served: Served, client: httpx.Client) -> None:
    answer = ask(client)
    before = answer["model"]
    publish(served.settings, write_model(served.settings, "other", calibration_slope=2.0), before["generation"] + 1)
    until(lambda: client.get("/model").json()["model"] != before)
    told = client.post("/explain", json={"answer_id": answer["answer_id"]}).json()
    assert told["model"] == before
    assert told["candidates"][1]["probability"] == answer["probability"] != ask(client)["probability"]


def test_an_answer_whose_model_is_damaged_says_so_and_is_explained_when_it_is_put_back(
    served: Served, client: httpx.Client
) -> None:
    tag = write_model(served.settings, "to-be-damaged", calibration_slope=0.5)
    publish(served.settings, tag, ask(client)["model"]["generation"] + 1)
    until(lambda: client.get("/model").json()["model"]["tag"] == tag)
    answer = ask(client)
    file = model_dir_of(served.settings, tag) / "model.cbm"
    whole = file.read_bytes()
    another = model_dir_of(served.settings, write_model(served.settings, "not-it", calibration_slope=9.0))
    card = file.with_name("card.json").read_bytes()
    try:
        file.write_bytes(whole[:1000])
        for path, more in (("/explain", {}), ("/correct", {"wrong": True})):
            reply = client.post(path, json={"answer_id": answer["answer_id"], **more})
            assert code(reply) == (404, "unknown_answer")
            assert "damaged" in reply.json()["error"]["message"]
        file.write_bytes(whole)
        file.with_name("card.json").write_bytes((another / "card.json").read_bytes())
        assert client.post("/explain", json={"answer_id": answer["answer_id"]}).status_code == 500
    finally:
        file.write_bytes(whole)
        file.with_name("card.json").write_bytes(card)
    assert client.post("/explain", json={"answer_id": answer["answer_id"]}).json()["reproduced"] is True


def test_what_nobody_was_answered_is_a_typed_404(client: httpx.Client) -> None:
    for answer_id in ("never", "f" * 32, LONG_AGO(True), "0" * 32, "Ä" * 32):
        reply = client.post("/explain", json={"answer_id": answer_id})
        assert code(reply) == (404, "unknown_answer")
        assert code(client.post("/correct", json={"answer_id": answer_id, "wrong": True})) == (404, "unknown_answer")


def test_an_answer_that_weighed_no_candidate_says_so_at_once(client: httpx.Client) -> None:
    batch = client.post("/score", json={"device_ids": ["nobody", "phone-new"]}).json()
    for answer_id in (ask(client, "nobody")["answer_id"], ask(client, "phone-new")["answer_id"], batch["answer_id"]):
        for path, more in (("/explain", {}), ("/correct", {"wrong": True})):
            reply = client.post(path, json={"answer_id": answer_id, **more})
            assert code(reply) == (404, "nothing_weighed")
            assert "/confirm" in reply.json()["error"]["message"]


def test_what_another_worker_may_still_hold_is_asked_again_later(client: httpx.Client) -> None:
    reply = client.post("/explain", json={"answer_id": answer_ids(fixed_clock(NOW))(True)})
    assert code(reply) == (503, "not_ready")
    assert reply.headers["retry-after"] == "1"
