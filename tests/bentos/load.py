"""Clients under constant load, each on a connection of its own, and what became of every request they sent."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field


def question(device_id: str) -> bytes:
    """A whole HTTP request."""
    body = b'{"device_id": "%s"}' % device_id.encode()
    head = b"POST /where_parked HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n%s" % (len(body), body)


REQUEST = question("phone-parked")


@dataclass
class Seen:
    """What clients met. Written by their threads, read when they have ended."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Whole answers."""
    generations: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    """Connections that took a request and ended without a byte."""
    cut: int = 0
    """Answers that broke off."""
    refused: int = 0
    """Connections that were never made: nothing was asked."""
    slowest_s: float = 0.0
    newest: int = 0

    @property
    def answered(self) -> int:
        return sum(self.statuses.values())


class Load:
    """``keeping`` clients ask on one connection for as long as the server keeps it; ``renewing`` make one a question.
    A client ends when it is refused a connection, or when the load is stopped."""

    def __init__(self, url: str, *, keeping: int = 8, renewing: int = 0) -> None:
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self._address = host, int(port)
        self.seen = Seen()
        self._on = threading.Event()
        self._on.set()
        self._lock = threading.Lock()
        kinds = [True] * keeping + [False] * renewing
        self._threads = [threading.Thread(target=self._ask, args=(keeps,), daemon=True) for keeps in kinds]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on.clear()
        self.wait()

    def wait(self, timeout_s: float = 30.0) -> None:
        """Until every client has ended."""
        for thread in self._threads:
            thread.join(timeout_s)
            assert not thread.is_alive(), "a client still waits for its answer"

    def _ask(self, keeps: bool) -> None:
        while self._on.is_set():
            try:
                connection = socket.create_connection(self._address, timeout=10)
            except OSError:
                with self._lock:
                    self.seen.refused += 1
                return
            with connection:
                while self._on.is_set() and self._once(connection) and keeps:
                    pass

    def _once(self, connection: socket.socket) -> bool:
        """Ask once; whether the connection is kept."""
        began = time.monotonic()
        got = b""
        try:
            connection.sendall(REQUEST)
            while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < _length(got):
                part = connection.recv(65536)
                if not part:
                    break
                got += part
        except OSError:
            pass
        head, _, body = got.partition(b"\r\n\r\n")
        whole = bool(body) and len(body) == _length(got)
        with self._lock:
            seen = self.seen
            if not whole:
                seen.cut += bool(got)
                seen.unanswered += not got
                return False
            status = int(head.split(b" ", 2)[1])
            seen.statuses[status] += 1
            seen.slowest_s = max(seen.slowest_s, time.monotonic() - began)
            if status == 200:
                generation = json.loads(body)["model"]["generation"]
                seen.generations[generation] += 1
                seen.newest = max(seen.newest, generation)
        return b"connection: close" not in head.lower()


def _length(got: bytes) -> int:
    for line in got.split(b"\r\n\r\n", 1)[0].lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0
