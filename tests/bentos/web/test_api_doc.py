"""docs/api.md says what the door does: its requests are taken, its codes are all there are."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from bentos.answer import Reason, State
from bentos.web.door import ENDPOINTS
from bentos.web.openapi import ERRORS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
CURLS = re.findall(r"^curl .*$", PAGE, re.M)
TOLD = {
    int(status): set(re.findall(r"`([a-z_]+)`", codes))
    for status, codes in re.findall(r"^\| (\d{3}) \| ([^|]+) \|", PAGE, re.M)
}
RAISED = re.compile(r"(?:HttpError|Refusal)\(\s*(\d{3}), \"([a-z_]+)\"")


@pytest.mark.parametrize("line", CURLS)
def test_a_request_in_the_page_is_one_the_server_takes(line: str) -> None:
    words = shlex.split(line.split(" #")[0])
    path = "/" + next(word for word in words if "localhost" in word).split("/", 1)[1]
    if path == "/docs.json":
        return
    endpoint = ENDPOINTS[path]
    if "-d" in words:
        endpoint.request.model_validate_json(words[words.index("-d") + 1])
    else:
        assert "GET" in endpoint.methods


def test_every_state_and_reason_is_in_the_page() -> None:
    for word in (*get_args(State), *get_args(Reason)):
        assert re.search(rf"^\| .*`{word}`", PAGE, re.M), word


def test_every_path_is_in_the_page() -> None:
    for path, endpoint in ENDPOINTS.items():
        assert f"`{endpoint.methods[0]} {path}`" in PAGE


def test_the_table_of_errors_is_complete_and_holds_no_more() -> None:
    sources = [*(ROOT / "bentos").rglob("*.py"), *(ROOT / "parked").glob("*.py")]
    raised: dict[int, set[str]] = {}
    for source in sources:
        for status, code in RAISED.findall(source.read_text(encoding="utf-8")):
            raised.setdefault(int(status), set()).add(code)
    assert raised == TOLD
    for status, (code, _when, _message) in ERRORS.items():
        assert code in TOLD[status]
    assert set(ERRORS) == set(TOLD)


def test_the_example_ids_have_the_form_of_real_ones() -> None:
    for answer_id in re.findall(r'"answer_id": "([^"]+)"', json.dumps(PAGE).replace('\\"', '"')):
        assert re.fullmatch(r"[0-9a-f]{32}", answer_id)
