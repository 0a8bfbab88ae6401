"""The real server asking for tokens: who may what, and what strangers are told."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from sqlalchemy import Engine

from bentos.launch import start_server
from bentos.web.gatekeeper import OPEN, authorize, is_near
from bentos.web.openapi import document
from parked.errors import SettingError
from parked.opsdb.engine import open_database
from parked.opsdb.tokens import create_token, revoke_token
from parked.settings import Settings
from parked.tokens import EVERYTHING, UNAUTHORIZED, Kind, Minted
from tests.bentos.conftest import CONFIRMATION, FAKE_SERVICE, Served, until
from tests.bentos.fakes import publish, settings_in, write_model


class Guarded:
    """A server with PARKED_SERVE_AUTH=tokens, and its operations database."""

    def __init__(self, settings: Settings, url: str, engine: Engine) -> None:
        self.settings, self.url, self.engine = settings, url, engine

    def token(self, *devices: str, **changes: object) -> Minted:
        """A token that the server already knows; for all devices where none is named."""
        values: dict[str, object] = {"kinds": ("read", "write"), "rate_per_s": 0.0} | changes
        minted = create_token(
            self.engine,
            devices=devices or None,
            name="",
            who="test",
            clock=lambda: datetime.now(UTC),
            random=secrets.token_bytes,
            **values,  # type: ignore[arg-type]
        )
        until(lambda: self.ask(minted, "GET", "/model").status_code not in (401, 429))
        return minted

    def ask(self, token: Minted | None, method: str, path: str, **what: object) -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token.token}"}
        return httpx.request(method, self.url + path, headers=headers, **what)  # type: ignore[arg-type]

    def where(self, token: Minted | None, device_id: str) -> httpx.Response:
        return self.ask(token, "POST", "/where_parked", json={"device_id": device_id})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    settings = settings_in(tmp_path_factory.mktemp("guarded"))
    publish(settings, write_model(settings, "v1"), 1)
    engine = open_database(settings.database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARKED_SERVE_AUTH", "tokens")
        server = start_server(settings, port=0, service=FAKE_SERVICE)
    with server:
        server.wait_ready(60)
        yield Guarded(settings, server.url, engine)
    engine.dispose()


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


@pytest.mark.parametrize("path", ["/where_parked", "/score", "/confirm", "/correct", "/explain", "/model"])
def test_without_a_token_nothing_is_answered_nor_even_read(guarded: Guarded, path: str) -> None:
    reply = guarded.ask(None, "POST", path, content=b"{not json")
    assert code(reply) == (401, "unauthorized")
    assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/docs.json"])
def test_health_metrics_and_documentation_name_no_device_and_stay_open(guarded: Guarded, path: str) -> None:
    assert guarded.ask(None, "GET", path).status_code == 200


def test_a_token_reads_its_own_device_and_no_other(guarded: Guarded) -> None:
    token = guarded.token("phone-parked", "unheard-of")
    assert guarded.where(token, "phone-parked").json()["state"] == "parked"
    assert guarded.where(token, "unheard-of").json()["reason"] == "unknown_device"
    others = [guarded.where(token, device) for device in ("phone-driving", "nobody")]
    assert {code(reply) for reply in others} == {(403, "forbidden")}
    assert others[0].content == others[1].content, "nothing tells a known device from an unknown one"


def test_one_foreign_device_in_a_batch_refuses_it_all(guarded: Guarded) -> None:
    token = guarded.token("phone-parked", "phone-jam")
    ask = lambda *ids: guarded.ask(token, "POST", "/score", json={"device_ids": ids})  # noqa: E731
    assert ask("phone-parked", "phone-jam").status_code == 200
    assert code(ask("phone-parked", "phone-driving")) == (403, "forbidden")


def test_reading_and_writing_are_apart(guarded: Guarded) -> None:
    reader = guarded.token("phone-parked", kinds=("read",))
    writer = guarded.token("phone-parked", kinds=("write",))
    confirm = lambda token: guarded.ask(token, "POST", "/confirm", json=CONFIRMATION)  # noqa: E731
    assert (guarded.where(reader, "phone-parked").status_code, confirm(writer).status_code) == (200, 200)
    assert code(guarded.where(writer, "phone-parked")) == code(confirm(reader)) == (403, "forbidden")


@pytest.mark.parametrize("kind", ["read", "write"])
def test_any_token_may_ask_which_model_is_served(guarded: Guarded, kind: Kind) -> None:
    token = guarded.token("phone-parked", kinds=(kind,))
    assert guarded.ask(token, "GET", "/model").status_code == 200
    assert guarded.ask(token, "POST", "/model", json={}).status_code == 200


def test_anothers_answer_is_no_answer(guarded: Guarded) -> None:
    mine, other = guarded.token("phone-parked"), guarded.token("phone-jam")
    answer_id = guarded.where(mine, "phone-parked").json()["answer_id"]
    explain = lambda token: guarded.ask(token, "POST", "/explain", json={"answer_id": answer_id})  # noqa: E731
    assert explain(mine).json()["reproduced"] is True
    assert code(explain(other)) == (404, "unknown_answer")
    told = {"answer_id": answer_id, "wrong": True}
    assert code(guarded.ask(other, "POST", "/correct", json=told)) == (404, "unknown_answer")
    reader = guarded.token("phone-parked", kinds=("read",))
    assert code(guarded.ask(reader, "POST", "/correct", json=told)) == (403, "forbidden")


def test_a_revoked_token_ends_within_seconds_while_the_server_runs(guarded: Guarded) -> None:
    token = guarded.token()
    assert guarded.where(token, "phone-parked").status_code == 200
    revoke_token(guarded.engine, token.id, who="test", clock=lambda: datetime.now(UTC))
    until(lambda: guarded.where(token, "phone-parked").status_code == 401, 5)


def test_too_many_requests_are_told_when_to_come_back(guarded: Guarded) -> None:
    token = guarded.token("phone-parked", "phone-jam", rate_per_s=0.5)
    batch = guarded.ask(token, "POST", "/score", json={"device_ids": ["phone-jam"] * 50})
    replies = [batch, *(guarded.where(token, "phone-parked") for _ in range(3))]
    assert code(replies[-1]) == (429, "rate_limited")
    assert int(replies[-1].headers["retry-after"]) >= 1
    other = guarded.token("phone-parked")
    assert guarded.where(other, "phone-parked").status_code == 200, "one token's haste is not another's"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::"])
def test_a_server_that_others_can_reach_does_not_start_without_tokens(
    tmp_path_factory: pytest.TempPathFactory, host: str
) -> None:
    home = tmp_path_factory.mktemp("home")
    with pytest.raises(SettingError, match="PARKED_SERVE_AUTH=tokens"):
        start_server(settings_in(home), host=host, port=0, service=FAKE_SERVICE)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("client", "near"),
    [
        (("127.0.0.1", 1), True),
        (("127.9.9.9", 1), True),
        (("::1", 1), True),
        (("::ffff:127.0.0.1", 1), True),
        (None, True),
        (("10.0.0.7", 1), False),
        (("::ffff:10.0.0.7", 1), False),
        (("somewhere", 1), False),
    ],
)
def test_an_open_door_is_for_this_machine_only_however_the_server_was_started(
    client: tuple[str, int] | None, near: bool
) -> None:
    assert is_near(client) == near
    assert authorize(OPEN, [], client) is (EVERYTHING if near else UNAUTHORIZED)


def test_what_a_proxy_on_this_machine_brings_from_elsewhere_needs_a_token(served: Served) -> None:
    question = {"device_id": "phone-parked"}
    for elsewhere, status in (("10.0.0.7", 401), ("127.0.0.1", 200)):
        reply = httpx.post(f"{served.server.url}/where_parked", json=question, headers={"x-forwarded-for": elsewhere})
        assert reply.status_code == status


@pytest.mark.parametrize("path", ["/where_parked", "/explain"])
def test_what_is_forwarded_by_the_standards_header_needs_a_token_too(served: Served, path: str) -> None:
    reply = httpx.post(f"{served.server.url}{path}", json={}, headers={"forwarded": "for=10.0.0.7;proto=https"})
    assert code(reply) == (401, "unauthorized")


def test_two_credentials_are_none(guarded: Guarded) -> None:
    token = guarded.token("phone-parked")
    value = f"Bearer {token.token}"
    headers = [("authorization", value), ("authorization", value)]
    reply = httpx.post(f"{guarded.url}/where_parked", headers=headers, json={"device_id": "phone-parked"})
    assert code(reply) == (401, "unauthorized")


def test_the_document_says_that_tokens_are_asked_for(guarded: Guarded) -> None:
    told = guarded.ask(None, "GET", "/docs.json").json()
    assert told["security"] == [{"bearer": []}]
    assert told["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


checks.load_all_checks()
schema = schemathesis.openapi.from_dict(document(tokens=True))


@pytest.fixture(scope="module")
def everyones(guarded: Guarded) -> Minted:
    return guarded.token()


@schema.parametrize()
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_path_forgets_to_ask(case: schemathesis.Case, guarded: Guarded, everyones: Minted) -> None:
    """Schemathesis asks again without the token, and with a wrong one: both must be refused where it is asked for."""
    case.call_and_validate(
        base_url=guarded.url,
        headers={"Authorization": f"Bearer {everyones.token}"},
        checks=checks.CHECKS.get_by_names(["not_a_server_error", "status_code_conformance", "ignored_auth"]),
    )
