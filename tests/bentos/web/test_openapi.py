"""The OpenAPI document: complete, true to the messages, and kept by the real server (schemathesis)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, get_args

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from schemathesis import checks

from bentos.answer import Reason
from bentos.messages import Place, WhereParkedAnswer
from bentos.web.openapi import API_VERSION, ERRORS, document
from bentos.web.openapi_examples import EXAMPLES
from ingestion.facts.kernel.types import REASONS
from tests.bentos.conftest import Served

EXAMPLES_TO_TRY = 50
"""Requests per path and kind: a bounded part of the suite's time, not a search."""

schemathesis.openapi.format(
    "date-time", st.integers(631_238_400, 1_735_689_600).map(lambda s: datetime.fromtimestamp(s, UTC).isoformat())
)
"""Moments that a person can confirm; others are tried by hand below."""


@pytest.fixture(scope="module")
def told(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{served.server.url}/docs.json").json()
    return found


def operations(told: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, methods in told["paths"].items() for method, one in methods.items()]


def test_the_document_names_its_version_and_every_path(told: dict[str, Any]) -> None:
    assert told == json.loads(json.dumps(document(tokens=False)))
    assert told["info"]["version"] == API_VERSION
    assert set(told["paths"]) == {
        "/where_parked", "/score", "/confirm", "/correct", "/explain", "/model",
        "/livez", "/readyz", "/metrics", "/docs.json",
    }  # fmt: skip
    assert "BentoML" not in json.dumps(told)


def test_every_error_has_the_one_shape(told: dict[str, Any]) -> None:
    for path, _method, operation in operations(told):
        if operation["tags"] == ["service"]:
            continue
        statuses = {int(status) for status in operation["responses"]}
        assert statuses >= {200, 400, 401, 403, 413, 415, 422, 429, 500, 503}, path
        for status in statuses - {200}:
            assert operation["responses"][str(status)] == {"$ref": f"#/components/responses/{status}"}
    for status in ERRORS:
        content = told["components"]["responses"][str(status)]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}
        assert content["examples"]


def test_the_security_scheme_is_said_as_it_is_in_force() -> None:
    assert document(tokens=True)["security"] == [{"bearer": []}]
    assert document(tokens=False)["security"] == [{}, {"bearer": []}]
    for _path, _method, operation in operations(document(tokens=True)):
        assert ("security" in operation) == (operation["tags"] == ["service"])


@pytest.mark.parametrize("message", list(EXAMPLES), ids=lambda message: message.__name__)
def test_examples_are_what_the_messages_take_and_the_document_says(
    told: dict[str, Any], message: type[BaseModel]
) -> None:
    schema = {"$ref": f"#/components/schemas/{message.__name__}", "components": told["components"]}
    for example in EXAMPLES[message].values():
        message.model_validate_json(json.dumps(example))
        jsonschema_rs.Draft202012Validator(schema).validate(example)


def test_every_reason_and_freshness_of_an_answer_has_an_example() -> None:
    shown = EXAMPLES[WhereParkedAnswer].values()
    assert {example["reason"] for example in shown} == set(get_args(Reason))
    assert {example["freshness"] for example in shown} == {"fresh", "stale", "none"}


def test_the_reasons_of_a_place_are_those_that_facts_have() -> None:
    told = re.findall(r"[a-z]+(?:_[a-z]+)*", str(Place.model_fields["reasons"].description))
    assert set(REASONS) <= set(told)
    shown = re.findall(r'"reasons": \[("[^\]]*)\]', json.dumps(list(EXAMPLES[WhereParkedAnswer].values())))
    assert shown
    assert {code for codes in shown for code in json.loads(f"[{codes}]")} <= set(REASONS)


def test_every_question_and_answer_has_an_example(told: dict[str, Any]) -> None:
    for path, method, operation in operations(told):
        if operation["tags"] == ["service"] or (path, method) == ("/model", "post"):
            continue
        parts = [operation["responses"]["200"], *([operation["requestBody"]] if method == "post" else [])]
        for part in parts:
            assert part["content"]["application/json"]["examples"], path


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
)
checks.load_all_checks()
schema = schemathesis.openapi.from_dict(document(tokens=False))
"""What the server says of itself, as the first test here holds."""


@schema.parametrize()
@settings(max_examples=EXAMPLES_TO_TRY, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_real_server_keeps_the_document(case: schemathesis.Case, served: Served) -> None:
    """Valid requests are taken, invalid ones refused, every answer is as documented, nothing is a 500."""
    case.call_and_validate(base_url=served.server.url, checks=checks.CHECKS.get_by_names(CHECKS))


def test_answers_of_the_real_server_are_as_documented(told: dict[str, Any], served: Served) -> None:
    def check(reply: httpx.Response, name: str) -> dict[str, Any]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": told["components"]}
        answer: dict[str, Any] = reply.json()
        jsonschema_rs.Draft202012Validator(schema).validate(answer)
        return answer

    with httpx.Client(base_url=served.server.url) as client:
        for device in ("phone-parked", "phone-driving", "phone-jam", "phone-new", "nobody"):
            answer = check(client.post("/where_parked", json={"device_id": device}), "WhereParkedAnswer")
            if device == "phone-driving":
                check(client.post("/explain", json={"answer_id": answer["answer_id"]}), "ExplainAnswer")
                actual = {"lat": 1.0, "lon": 2.0, "at": "2026-02-01T00:00:00Z"}
                told_where = {"answer_id": answer["answer_id"], "actual": actual}
                check(client.post("/correct", json=told_where), "CorrectAnswer")
        check(client.get("/readyz"), "ReadyAnswer")
