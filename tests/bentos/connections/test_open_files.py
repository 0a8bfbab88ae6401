"""More clients at once than a shell's 1,024 open files, and what those are told for whom there is no room."""

from __future__ import annotations

import contextlib
import functools
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bentos import launch
from bentos.connections.open_files import BOUND, raise_limit, room
from bentos.launch import ServerHandle, start_server
from tests.bentos.conftest import FAKE_SERVICE
from tests.bentos.fakes import publish, settings_in, write_model
from tests.bentos.load import REQUEST

Limited = Callable[[int, int], None]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limited]:
    """Says within which limits servers begin; this process may hold as many files open as it likes."""
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    if raise_limit() < 4_000:
        pytest.skip("the system lets nobody open 4,000 files")

    def limited(soft: int, hard: int) -> None:
        begin = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, min(hard, own[1])))
        monkeypatch.setattr(launch.subprocess, "Popen", functools.partial(subprocess.Popen, preexec_fn=begin))

    yield limited
    resource.setrlimit(resource.RLIMIT_NOFILE, own)


@contextlib.contextmanager
def serving(home: Path) -> Iterator[ServerHandle]:
    settings = settings_in(home, pointer_poll_s=0.05)
    publish(settings, write_model(settings, "v1"), 1)
    with start_server(settings, port=0, service=FAKE_SERVICE) as server:
        server.wait_ready(60)
        yield server


def knock(server: ServerHandle, count: int, these: contextlib.ExitStack) -> list[socket.socket]:
    address = (urlsplit(server.url).hostname, urlsplit(server.url).port)
    return [these.enter_context(socket.create_connection(address, timeout=10)) for _ in range(count)]


def status(connection: socket.socket) -> int:
    connection.sendall(REQUEST)
    return int(connection.recv(65_536).split(b" ", 2)[1])


def test_as_many_clients_as_the_system_allows_not_as_the_shell_does(tmp_path: Path, limits: Limited) -> None:
    limits(1_024, 20_000)
    with serving(tmp_path) as server, contextlib.ExitStack() as these:
        idle = knock(server, 2_000, these)
        assert [status(one) for one in (idle[0], idle[1_200], idle[-1])] == [200, 200, 200]
        assert httpx.get(f"{server.url}/livez", timeout=2).status_code == 200


def test_where_the_system_allows_few_the_most_silent_go_and_who_knocks_is_answered(
    tmp_path: Path, limits: Limited
) -> None:
    limits(200, 200)
    with serving(tmp_path) as server, contextlib.ExitStack() as these:
        idle = knock(server, 200, these)
        time.sleep(0.6)  # silent for long enough to go (bentos.connections.full.SILENT_S), not for keep-alive's five
        for _ in range(5):
            began = time.monotonic()
            assert httpx.get(f"{server.url}/livez", timeout=5).status_code == 200
            asked = httpx.post(f"{server.url}/where_parked", json={"device_id": "phone-parked"}, timeout=5)
            assert asked.status_code == 200
            assert time.monotonic() - began < 1
        assert any(gone(one) for one in idle)


def test_who_knocks_while_all_are_busy_is_told_at_once(tmp_path: Path, limits: Limited) -> None:
    limits(200, 200)
    with serving(tmp_path) as server, contextlib.ExitStack() as these:
        busy = knock(server, 300, these)
        for one in busy:  # a head that goes on: nothing of it may be cut off before its time
            with contextlib.suppress(OSError):
                one.sendall(b"POST /where_parked HTTP/1.1\r\n")
        began = time.monotonic()
        reply = httpx.get(f"{server.url}/livez", timeout=1)
        while reply.status_code == 200 and time.monotonic() - began < 1.5:  # not all of them have come in yet
            reply = httpx.get(f"{server.url}/livez", timeout=1)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "overloaded")
        assert (reply.headers["retry-after"], reply.headers["connection"]) == ("1", "close")
        assert reply.headers["x-request-id"]
        time.sleep(max(0.0, began + 3 - time.monotonic()))  # their time (two seconds) is up
        assert httpx.get(f"{server.url}/livez", timeout=1).status_code == 200


def gone(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_a_limit_is_raised_to_what_is_allowed_and_never_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    never = resource.RLIM_INFINITY
    now = [0, 0]
    monkeypatch.setattr(resource, "getrlimit", lambda _of: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda _of, told: now.__setitem__(slice(2), told))
    for before, hard, after, said in (
        (1_024, 4_096, 4_096, 4_096),
        (1_024, 1_048_576, BOUND, BOUND),
        (1_024, never, BOUND, BOUND),
        (50_000, 1_048_576, 50_000, 50_000),
        (never, never, never, BOUND),
        (256, 256, 256, 256),
    ):
        now[:] = [before, hard]
        assert raise_limit() == said
        assert now == [after, hard]
        assert 8 <= room() < max(said, 9)
