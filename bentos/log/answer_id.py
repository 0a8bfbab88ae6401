"""Ids of answers: 32 hex digits that say when, so that one answer is found in the log without reading it all.

14 digits of microseconds since the epoch (until the year 4253), then 72 random bits: as unguessable as it needs to be
beside tokens, unique without any coordination between workers. An answer for which no candidate was weighed is not in
the log; its id says so itself (the last 24 bits are ``NOTHING``), so that it can be told from one that never was.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

from parked.clock import Clock, to_us

_ID: Final = re.compile(r"[0-9a-f]{32}")


NOTHING: Final = "0f0f0f"

NewId = Callable[[bool], str]
"""(whether a candidate was weighed) → an id."""


def answer_ids(clock: Clock, getrandbits: Callable[[int], int] | None = None) -> NewId:
    """Makes ids. ``getrandbits``: ``random.Random.getrandbits``; default: a generator seeded by the system.

    >>> from datetime import UTC, datetime
    >>> answer_ids(lambda: datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), lambda _bits: 10)(True)
    '000000000f424000000000000000000a'
    """
    bits = getrandbits or random.Random().getrandbits

    def make(weighed: bool) -> str:
        rest = f"{bits(72):018x}" if weighed else f"{bits(48):012x}{NOTHING}"
        return f"{to_us(clock()):014x}{rest}"

    return make


def weighed_nothing(answer_id: str) -> bool:
    """Whether this is the id of an answer without a candidate, if it is one at all; of others one in 2^24 looks so.

    >>> weighed_nothing("000000000f42401234567890ab0f0f0f"), weighed_nothing("000000000f424000000000000000000a")
    (True, False)
    """
    return answer_id.endswith(NOTHING) and _ID.fullmatch(answer_id) is not None


def asked_us(answer_id: str) -> int | None:
    """When the answer was given, microseconds since the epoch; None for what is no id of ours.

    >>> asked_us("000000000f424000000000000000000a"), asked_us("my answer")
    (1000000, None)
    """
    return int(answer_id[:14], 16) if _ID.fullmatch(answer_id) else None
