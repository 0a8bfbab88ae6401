"""A real Redis server of the tests' own: on a free port of the loopback, in memory, stopped by its process."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.servers import free_port, until_it_answers

PATIENCE_S = 20.0


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """``host:port`` of a server that lives as long as the block. Skips the test where Redis is not installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with Redis(host="127.0.0.1", port=port) as client:
            until_it_answers(client.ping, RedisError, server, PATIENCE_S)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def emptied(address: str) -> str:
    host, port = address.split(":")
    with Redis(host=host, port=int(port)) as client:
        client.flushall()
    return address
