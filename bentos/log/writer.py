"""The prediction log's writer, a process beside each worker: ``python -m bentos.log.writer SOCKET_FD FOLDER``.

It ends when the worker does, by whatever death, and first writes the parts that were begun. ``bentos.log.hand`` says
why, and what is said over the socket.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pandas as pd  # noqa: F401 - pyarrow loads it to look at a list: not once this has stepped aside
import pyarrow as pa

from bentos.log.hand import BEGUN, DONE, TOLD, WRITE
from bentos.log.part import write_part

_ERRORS = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


def serve(told: socket.socket, folder: Path) -> None:
    """Write parts until the other end of ``told`` is closed, then what was begun and not forgotten."""
    begun: dict[int, int] = {}
    while (word := _word(told)) is not None:
        what, part, end, fd = word
        if what == BEGUN and fd is not None:
            begun[part] = fd
            continue
        held = begun.pop(part, None)
        if held is None:
            continue
        if what == WRITE:
            with contextlib.suppress(OSError):  # the worker is gone: there is nobody to tell, and more to write
                told.sendall(_written(part, held, folder, end))
        os.close(held)
    for part in sorted(begun):
        _written(part, begun[part], folder, None)


def _written(part: int, fd: int, folder: Path, end: int | None) -> bytes:
    began = time.process_time_ns()
    rows, why = -1, ""
    try:
        rows = write_part(fd, folder, end)
    except _ERRORS as error:
        why = repr(error)
    return DONE.pack(part, rows, (time.process_time_ns() - began) // 1000, why.encode()[:200])


def _word(told: socket.socket) -> tuple[bytes, int, int, int | None] | None:
    read, fd = b"", None
    while len(read) < TOLD.size:
        try:
            more, fds, _, _ = socket.recv_fds(told, TOLD.size - len(read), 1)
        except OSError:
            return None
        if not more:
            return None
        read += more
        fd = fds[0] if fds else fd
    return *TOLD.unpack(read), fd


def step_aside() -> None:
    """Run only while nobody else wants the core, where the system knows that; else as the last."""
    with contextlib.suppress(OSError):
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.nice(19)


def main() -> None:
    """See the module."""
    for ends in (signal.SIGINT, signal.SIGTERM):  # the worker's to hear; this ends with its socket
        signal.signal(ends, signal.SIG_IGN)
    pa.set_cpu_count(1)
    told = socket.socket(fileno=int(sys.argv[1]))
    folder = Path(sys.argv[2])
    step_aside()
    gc.freeze()
    gc.disable()  # a part's thousands of objects hold no cycles, and all go when it is written
    serve(told, folder)


if __name__ == "__main__":
    main()
