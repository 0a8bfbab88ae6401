"""/correct: what a person says of an answer becomes labels, once."""

from __future__ import annotations

import httpx
import pytest

from bentos.feedback.corrections import Corrections
from bentos.messages_explain import CorrectRequest
from parked.errors import ConflictError
from parked.tokens import EVERYTHING
from tests.bentos.asking import OneAnswer, ask, code, labels
from tests.bentos.conftest import Served


def test_a_wrong_answer_and_the_true_place_become_labels_once(served: Served, client: httpx.Client) -> None:
    answer = ask(client, "phone-corrected")
    told = {
        "answer_id": answer["answer_id"],
        "wrong": True,
        "actual": {"lat": 48.2, "lon": 11.6, "at": "2026-03-01T10:00:00Z"},
    }
    first, again = (client.post("/correct", json=told).json() for _ in range(2))
    assert first == {"stored": True, "labels": ["not_parked", "parked"], "duplicate": False}
    assert again == first | {"duplicate": True}
    assert labels(served, f"answer {answer['answer_id']}") == [
        ("not_parked", answer["spot"]["lat"], answer["spot"]["lon"], "2026-03-01 07:00:00"),
        ("parked", 48.2, 11.6, "2026-03-01 10:00:00"),
    ]


def test_only_where_it_was_makes_one_label_even_if_no_spot_was_answered(served: Served, client: httpx.Client) -> None:
    answer = ask(client, "phone-jam")
    actual = {"lat": 48.3, "lon": 11.6, "at": "2026-03-01T10:00:00Z"}
    reply = client.post("/correct", json={"answer_id": answer["answer_id"], "actual": actual})
    assert reply.json()["labels"] == ["parked"]
    assert len(labels(served, f"answer {answer['answer_id']}")) == 1


def test_what_cannot_be_corrected_is_told_and_nothing_is_stored(served: Served, client: httpx.Client) -> None:
    unknown = ask(client, "phone-jam")["answer_id"]
    scored = client.post("/score", json={"device_ids": ["phone-jam"]}).json()["answer_id"]
    parked = ask(client, "phone-corrected")["answer_id"]
    future = {"lat": 1.0, "lon": 1.0, "at": "2099-01-01T00:00:00Z"}
    assert code(client.post("/correct", json={"answer_id": unknown, "wrong": True})) == (409, "conflict")
    assert code(client.post("/correct", json={"answer_id": scored, "wrong": True})) == (409, "conflict")
    for wrong in (False, True):
        told = {"answer_id": parked, "wrong": wrong, "actual": future}
        assert code(client.post("/correct", json=told)) == (400, "invalid_request")
    assert code(client.post("/correct", json={"answer_id": parked})) == (422, "invalid_request")
    assert code(client.post("/correct", json={"answer_id": parked, "wrong": 1})) == (422, "invalid_request")
    for answer_id in (unknown, scored, parked):
        assert labels(served, f"answer {answer_id}") == []


def test_an_answer_cannot_be_wrong_and_right_at_once(served: Served, client: httpx.Client) -> None:
    """They were two labels that deny each other."""
    answer = ask(client, "phone-corrected")
    spot = {"lat": answer["spot"]["lat"], "lon": answer["spot"]["lon"], "at": answer["since"]}
    told = {"answer_id": answer["answer_id"], "wrong": True, "actual": spot}
    reply = client.post("/correct", json=told)
    assert code(reply) == (409, "conflict")
    assert "the answered spot itself" in reply.json()["error"]["message"]
    assert labels(served, f"answer {answer['answer_id']}") == []
    for change in ({"lat": 48.2}, {"at": "2026-03-01T06:00:00Z"}):
        assert client.post("/correct", json=told | {"actual": spot | change}).json()["stored"]


def test_a_key_used_for_another_place_is_a_conflict(client: httpx.Client) -> None:
    answer_id = ask(client, "phone-corrected")["answer_id"]
    one = {"lat": 48.2, "lon": 11.7, "at": "2026-03-01T10:00:00Z"}
    told = {"answer_id": answer_id, "key": "k", "actual": one}
    assert client.post("/correct", json=told).json()["duplicate"] is False
    assert client.post("/correct", json=told).json()["duplicate"] is True
    assert code(client.post("/correct", json=told | {"actual": one | {"lat": 1.0}})) == (409, "conflict")


def test_what_a_client_chose_as_a_key_never_passes_for_a_correction(served: Served, client: httpx.Client) -> None:
    answer = ask(client, "phone-corrected")
    answer_id = answer["answer_id"]
    said = {"device_id": "phone-corrected", "at": "2026-03-01T09:00:00Z", "lat": 1.0, "lon": 1.0, "verdict": "parked"}
    for n, key in enumerate((answer_id, f"correct/{answer_id}", f"wrong:15:phone-corrected:{answer_id}")):
        reply = client.post("/confirm", json=said | {"lat": 1.0 + n, "key": key})
        assert reply.json() == {"stored": True, "duplicate": False}
    actual = {"lat": 48.2, "lon": 11.8, "at": "2026-03-01T10:00:00Z"}
    told = {"answer_id": answer_id, "wrong": True, "actual": actual, "key": answer_id}
    first, again = (client.post("/correct", json=told).json() for _ in range(2))
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert labels(served, f"answer {answer_id}") == [
        ("not_parked", answer["spot"]["lat"], answer["spot"]["lon"], "2026-03-01 07:00:00"),
        ("parked", 48.2, 11.8, "2026-03-01 10:00:00"),
    ]


@pytest.mark.parametrize(("served", "says"), [("v2", "given by rules v1"), ("v1", "knows the answered spot no more")])
def test_a_wrong_answer_of_other_rules_is_sent_to_who_serves_them(served: str, says: str) -> None:
    corrections = Corrections(
        OneAnswer(),  # type: ignore[arg-type]
        rules=served,
        threshold=lambda _tag: 0.5,
        spot=lambda _device, _candidate: None,
        confirm=lambda _request, _namespace: pytest.fail("nothing is to be stored"),
    )
    with pytest.raises(ConflictError, match=says) as raised:
        corrections.correct(CorrectRequest(answer_id="a" * 32, wrong=True), EVERYTHING)
    assert raised.value.mend
    assert "/confirm" in raised.value.mend
    assert ("their server" in raised.value.mend) == (served == "v2")
