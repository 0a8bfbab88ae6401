"""A key told twice is found, wherever it is and however it is spelt; nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.messages import ScoreRequest, WhereParkedRequest
from bentos.web.repeated import repeated_key

names = st.sampled_from(["phone", "device_id", "items", '"device_id"', "a\\b", "é", "candidate_id"]) | st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1, max_size=8
)
items = st.fixed_dictionaries({"device_id": names}, optional={"candidate_id": names | st.none(), "asked_at": st.none()})
requests = st.fixed_dictionaries({"items": st.lists(items, min_size=1, max_size=4)}) | st.fixed_dictionaries(
    {"device_ids": st.lists(names, min_size=1, max_size=4)}
)


@given(requests, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_is_said_once_is_fine(request: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(request, ensure_ascii=ascii_only, indent=indent).encode()
    assert repeated_key(body, ScoreRequest.model_validate_json(body)) is None


@given(requests, st.data())
def test_whatever_is_said_twice_is_found(request: dict[str, Any], data: st.DataObject) -> None:
    objects = [request, *request.get("items", [])]
    target = data.draw(st.sampled_from(objects))
    name = data.draw(st.sampled_from(sorted(target)))
    spelt = data.draw(st.sampled_from([name, "".join(f"\\u{ord(c):04x}" for c in name)]))
    mark = "\x01twice"  # control characters are in no id
    marked = json.dumps(_with(request, target, {mark: 0} | target))
    body = marked.replace(f"{json.dumps(mark)}: 0", f'"{spelt}": {json.dumps(target[name])}', 1).encode()
    assert repeated_key(body, ScoreRequest.model_validate_json(body)) == name


def _with(request: dict[str, Any], target: dict[str, Any], instead: dict[str, Any]) -> dict[str, Any]:
    if target is request:
        return instead
    return request | {"items": [instead if item is target else item for item in request["items"]]}


@pytest.mark.parametrize("space", ["", " ", "\n\t "])
def test_space_before_the_colon_hides_nothing(space: str) -> None:
    body = f'{{"device_id"{space}: "a", "device_id"{space}: "b"}}'.encode()
    assert repeated_key(body, WhereParkedRequest.model_validate_json(body)) == "device_id"
