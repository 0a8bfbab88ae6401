"""A key that a JSON object holds twice: parsers keep one of the two silently, and which one is anybody's guess."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel


class _RepeatedError(Exception):
    pass


def repeated_key(body: bytes, parsed: BaseModel) -> str | None:
    """A key that some object in ``body`` holds twice; None where there is none. ``body`` was parsed into ``parsed``.

    Requests forbid unknown fields, so that a repeated key is one of theirs: counting their names tells nearly always
    (about a microsecond for a question); only where the count is odd, or a key may be escaped, the body is read again.
    """
    if b"\\" not in body:
        for name, times in _told(parsed):
            if body.count(b'"%s"' % name.encode()) != times:
                break
        else:
            return None
    try:
        json.loads(body, object_pairs_hook=_once)
    except _RepeatedError as found:
        return str(found)
    return None


def _told(parsed: BaseModel) -> Iterable[tuple[str, int]]:
    """How often each field's name is told in ``parsed``."""
    fields = parsed.model_fields_set
    nested = [value for name in fields if isinstance(value := getattr(parsed, name), (list, BaseModel))]
    if not nested:
        return [(name, 1) for name in fields]
    names: Counter[str] = Counter()
    _count(parsed, names)
    return names.items()


def _count(value: Any, names: Counter[str]) -> None:
    if isinstance(value, BaseModel):
        for name in value.model_fields_set:
            names[name] += 1
            _count(getattr(value, name), names)
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for item in value:
            _count(item, names)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        raise _RepeatedError(next(name for name, times in names.items() if times > 1))
    return found
