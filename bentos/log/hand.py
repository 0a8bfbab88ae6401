"""The process that writes the prediction log beside a worker, and what the two say to each other.

It runs when nobody else wants the core (``SCHED_IDLE``), so it does not take turns with who answers. It is told of each
part as soon as the part is begun: a worker that is killed leaves its answers in the writer's hands.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from select import select
from typing import Final, NamedTuple

TOLD: Final = struct.Struct("<cIQ")
"""To the writer: ``BEGUN`` (with the spool's file), ``WRITE`` or ``FORGET``; the part's number; bytes of its spool."""
BEGUN, WRITE, FORGET = b"b", b"w", b"f"

DONE: Final = struct.Struct("<IqQ200s")
"""From the writer: the part's number, its rows (-1: it could not), its CPU in microseconds, and why it could not."""


class Done(NamedTuple):
    """A part that the writer is through with."""

    part: int
    rows: int
    """-1: not written, for ``error``."""
    cpu_us: int
    error: str


class LogHand:
    """A worker's end. ``tell`` may be called from any thread, the rest from one at a time. Nothing here raises."""

    def __init__(self, folder: Path) -> None:
        """Start a writer of parts under ``folder``. Raises OSError where no process can be started."""
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with theirs:
            # In a group of its own: what ends the worker's process group lets it write what it was given. Not in a
            # session of its own, which Linux may give a share of the core for itself (autogroup).
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bentos.log.writer", str(theirs.fileno()), str(folder.absolute())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
        ours.setblocking(False)
        self._socket = ours
        self._lock = threading.Lock()
        self._read = b""
        self.alive = True
        """False once it is known to have ended."""

    @property
    def pid(self) -> int:
        """Of the writer's process."""
        return self._process.pid

    def tell(self, what: bytes, part: int, end: int = 0, fd: int | None = None) -> bool:
        """Say something to the writer; False where it does not take it now."""
        said = TOLD.pack(what, part, end)
        extra = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        with self._lock:
            try:
                if self.alive and self._socket.sendmsg([said], extra) == len(said):
                    return True
            except BlockingIOError:
                return False
            except OSError:
                pass
            self.alive = False  # gone, or in the middle of a word: no more can be said
            return False

    def done(self, wait_s: float = 0.0) -> list[Done]:
        """What the writer is through with since it was last asked; waits at most ``wait_s`` for the first of it."""
        found: list[Done] = []
        while self.alive and select([self._socket], [], [], 0 if found else wait_s)[0]:
            read = b""
            with contextlib.suppress(OSError):
                read = self._socket.recv(64 * DONE.size)
            if not read:
                self.alive = False
            self._read += read
            while len(self._read) >= DONE.size:
                part, rows, cpu_us, error = DONE.unpack(self._read[: DONE.size])
                self._read = self._read[DONE.size :]
                found.append(Done(part, rows, cpu_us, error.rstrip(b"\0").decode(errors="replace")))
        return found

    def close(self, wait_s: float) -> None:
        """Let the writer end: it writes what it was told of and not of the end of. Waits at most ``wait_s``."""
        self.alive = False
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
