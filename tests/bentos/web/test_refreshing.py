"""A worker that cannot read the tokens says why to who runs it, once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from structlog.testing import capture_logs

from bentos.web.gatekeeper import Gatekeeper, Refreshing
from parked.clock import system_clock
from parked.errors import SettingError
from parked.tokens import TokenRecord


class Locked:
    """Tokens that cannot be read while ``trouble`` is one."""

    trouble: Exception | None = SettingError("PARKED_DATABASE_URL: cannot use it", mend="see that it can be reached")

    def stamp(self) -> int:
        if self.trouble is not None:
            raise self.trouble
        return 1

    def records(self) -> Sequence[TokenRecord]:
        return []


def test_why_tokens_cannot_be_read_is_told_once_and_that_they_can_again() -> None:
    source = Locked()
    refreshing = Refreshing(Gatekeeper(source, clock=system_clock, monotonic=time.monotonic))
    with capture_logs() as told:
        for trouble in (source.trouble, source.trouble, OSError("of someone"), OSError("of another"), None, None):
            source.trouble = trouble
            refreshing()
    assert [(line["event"], line.get("error")) for line in told] == [
        ("tokens_not_read", "PARKED_DATABASE_URL: cannot use it; see that it can be reached"),
        ("tokens_not_read", "OSError"),
        ("tokens_read_again", None),
    ]
