"""Who may ask: ``parked.gatekeeper`` as this server uses it, with the thread that keeps it fresh.

The door asks ``Gatekeeper.check`` with the request's ``Authorization`` header and then the ``Grant`` it gets:
``may("read" | "write")``, ``allows(device_id)``, ``charge(n)`` for what a batch holds beyond one question.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from bentos.config import ServingConfig
from parked.allowances import Allowances
from parked.clock import Clock, system_clock
from parked.errors import UserError
from parked.gatekeeper import Gatekeeper
from parked.opsdb.tokens import TokenStore
from parked.settings import Settings
from parked.tokens import EVERYTHING, FORBIDDEN, UNAUTHORIZED, Grant, Refusal

__all__ = ["EVERYTHING", "FORBIDDEN", "OPEN", "UNAUTHORIZED", "Gatekeeper", "Grant", "Refusal", "build_gatekeeper"]

log = structlog.get_logger(__name__)

REFRESH_S = 1.0
"""How often a worker looks whether any token has changed."""

OPEN = Gatekeeper(None, clock=system_clock, monotonic=time.monotonic)
"""Lets everyone in."""


def build_gatekeeper(settings: Settings, config: ServingConfig, clock: Clock) -> Gatekeeper:
    """As ``PARKED_SERVE_AUTH`` says; ``Gatekeeper.refresh`` is then the caller's to run."""
    if config.auth == "open":
        return OPEN
    store = TokenStore(settings.database)
    return Gatekeeper(
        store,
        clock=clock,
        monotonic=time.monotonic,
        rate_per_s=config.rate_per_s,
        allowances=_shared(settings.home / "serving" / "allowances.bin"),
    )


def _shared(file: Path) -> Allowances | None:
    """Each token's limit, one for all workers of this home; None where it cannot be kept: then each has its own."""
    try:
        return Allowances(file)
    except OSError as error:
        log.warning("limits_not_shared", error=str(error))
        return None


class Refreshing:
    """``keeper.refresh`` for a thread: why a database cannot be read is logged, once, and it is tried again."""

    def __init__(self, keeper: Gatekeeper) -> None:
        self._keeper = keeper
        self._said: str | None = None

    def __call__(self) -> None:
        """Try once. Never raises."""
        why = None
        try:
            self._keeper.refresh()
        except Exception as error:  # locked, unreachable, damaged: who is known stays known for a while
            # A UserError is written for who runs the server; of others the text may hold anything.
            why = str(error) if isinstance(error, UserError) else type(error).__name__
        if why != self._said:
            self._said = why
            if why is None:
                log.info("tokens_read_again")
            else:
                log.warning("tokens_not_read", error=why)


def is_near(client: Sequence[Any] | None) -> bool:
    """Whether a request's peer (ASGI ``scope["client"]``) is this machine. None (a Unix socket) is.

    >>> is_near(("127.0.0.1", 5000)), is_near(None), is_near(("10.0.0.7", 5000))
    (True, True, False)
    """
    if client is None or client[0] == "127.0.0.1":
        return True
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def authorize(
    keeper: Gatekeeper, headers: Sequence[tuple[bytes, bytes]], client: Sequence[Any] | None
) -> Grant | Refusal:
    """What who sends these headers (names in lower case) may, or why it is refused. ``client``: the peer's address.

    An open door is for this machine only, also where the server was started around ``bentos.launch``. What a proxy here
    hands on with ``Forwarded`` (RFC 7239) is not this machine's; whom ``X-Forwarded-For`` names, uvicorn puts in
    ``client``.
    """
    if not keeper.asks:
        if not is_near(client):
            return UNAUTHORIZED
        for name, _ in headers:
            if name == b"forwarded":
                return UNAUTHORIZED
        return EVERYTHING
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                return UNAUTHORIZED  # two credentials are none
            found = value
    return keeper.check(found)
