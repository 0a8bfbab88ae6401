"""Room for what a worker counts, taken before it counts.

prometheus_client maps files with holes. Where the disk is full, the first count in a hole's page is no error that could
be caught but SIGBUS: the worker is killed, and its successors at their start, again and again.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

_BYTES: Final = 1 << 16
"""As prometheus_client begins a file; all series of a worker fit in many times over."""


@cache
def take_room() -> None:
    """Have prometheus_client's files made with all their blocks from now on. Without room for them a worker counts in
    memory of its own: others do not see it in ``/metrics``, and it answers."""
    from prometheus_client.mmap_dict import MmapedDict  # not at import: BentoML says first where its files are

    its: Any = MmapedDict  # untyped
    made = its.__init__

    def roomy(self: Any, filename: str, read_mode: bool = False) -> None:
        made(self, filename if read_mode else _with_room(filename), read_mode)

    its.__init__ = roomy


def _with_room(filename: str) -> str:
    """``filename``, with its blocks; else a file in memory."""
    fd = os.open(filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        had = os.fstat(fd).st_size
        try:
            os.posix_fallocate(fd, 0, max(had, _BYTES))
        except OSError as error:
            os.ftruncate(fd, had)
            log.warning("metrics_counted_in_memory", error=error.strerror)
        else:
            return filename
    finally:
        os.close(fd)
    # Never closed: prometheus_client opens it by this name, and has it as long as the process lives.
    return f"/proc/self/fd/{os.memfd_create('metrics', os.MFD_CLOEXEC)}"
