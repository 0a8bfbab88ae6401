"""``fake_server`` whose feature store takes a while to open, as a real one does on a busy machine."""

from __future__ import annotations

import time

from tests.bentos import fake_server
from tests.bentos.fakes import FakeSource

OPENS_IN_S = 1.5


class SlowSource(FakeSource):
    def __init__(self) -> None:
        time.sleep(OPENS_IN_S)
        super().__init__()


fake_server.FakeSource = SlowSource  # type: ignore[misc]

from tests.bentos.fake_server import WhereYouParked  # noqa: E402, F401
