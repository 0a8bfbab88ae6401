"""``PARKED_REDIS_CONNECTION``: what it may be, and how it is handed to Feast. Needs no Redis package."""

from __future__ import annotations

import importlib.util
import re
from typing import Final

from parked.errors import SettingError

_FORM: Final = re.compile(r"[^,:=\s]+:\d{1,5}(,\w+=[^,]+)*")
_WAITS: Final = ("socket_timeout", "socket_connect_timeout")
PATIENCE_S: Final = 2
"""Seconds until a silent server is given up, where the setting names no time: a request has seconds at most."""

IN_ENVIRONMENT: Final = "${PARKED_REDIS_CONNECTION}"
"""For a file: Feast puts the environment's value in its place, so that no password is written down."""


def feast_connection(setting: str) -> str:
    """The setting (``host:port[,db=1][,password=...]``) as Feast's connection string, with a limit to every wait.

    Raises SettingError for another form, or where the package is not installed.

    >>> feast_connection("10.0.0.7:6379,db=2,socket_timeout=0.5")
    '10.0.0.7:6379,db=2,socket_timeout=0.5,socket_connect_timeout=2'
    """
    if not _FORM.fullmatch(setting):
        raise SettingError(
            f"PARKED_REDIS_CONNECTION: {place_of(setting)!r} is no address", mend="say host:port[,db=0][,password=...]"
        )
    if importlib.util.find_spec("redis") is None:
        raise SettingError(
            "PARKED_ONLINE_STORE=redis: the redis package is not installed",
            mend="install `where-you-parked[redis]` (requirements/redis.txt)",
        )
    return ",".join([setting, *(f"{wait}={PATIENCE_S}" for wait in _WAITS if f",{wait}=" not in setting)])


def place_of(connection: str) -> str:
    """The server of a connection, without its passwords.

    >>> place_of("10.0.0.7:6379,password=secret")
    '10.0.0.7:6379'
    """
    return connection.split(",")[0]
