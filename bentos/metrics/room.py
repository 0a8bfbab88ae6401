"""Room for what a worker counts, taken before it counts.

prometheus_client maps files with holes, and a file that is full it doubles by another. Where the disk is full, the
first count in a hole's page is no error that could be caught but SIGBUS: the worker is killed, and its successors at
their start, again and again.
"""

from __future__ import annotations

import mmap
import os
from functools import cache
from typing import Any, Final

import structlog

from parked.files import take_blocks

log = structlog.get_logger(__name__)

_BYTES: Final = 1 << 16
"""As prometheus_client begins a file. A worker's counts of requests' durations take some 50 kB of it."""
_FRAME_BYTES: Final = 4 + 8 + 16
"""Of a series beside its key: the key's length, what it is filled up with at most, value and time."""


@cache
def take_room() -> None:
    """Have prometheus_client's files made, and made larger, with all their blocks from now on. Without room for them a
    worker counts in memory of its own until it ends: others do not see it in ``/metrics``, and it answers."""
    from prometheus_client.mmap_dict import MmapedDict  # not at import: BentoML says first where its files are

    its: Any = MmapedDict  # untyped
    made, begun = its.__init__, its._init_value

    def roomy(self: Any, filename: str, read_mode: bool = False) -> None:
        if not read_mode and not _has_room(filename, _BYTES):
            # Never closed: prometheus_client opens it by this name, and has it as long as the process lives.
            filename = f"/proc/self/fd/{os.memfd_create('metrics', os.MFD_CLOEXEC)}"
        made(self, filename, read_mode)

    def begin(self: Any, key: str) -> None:
        size = self._capacity
        while size < self._used + len(key.encode()) + _FRAME_BYTES:
            size *= 2
        if size > self._capacity and not _has_room(self._fname, size):
            _go_to_memory(self)
        begun(self, key)

    its.__init__, its._init_value = roomy, begin


def _has_room(filename: str, size: int) -> bool:
    """Whether ``filename``, made where it is not there, has all its blocks: of ``size`` bytes, or of all it had."""
    try:
        fd = os.open(filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)  # the map's own appends
        try:
            take_blocks(fd, size)
        finally:
            os.close(fd)
    except OSError as error:
        log.warning("metrics_counted_in_memory", error=error.strerror)
        return False
    return True


def _go_to_memory(its: Any) -> None:
    """Go on counting in memory. The file stays as it is, so that nothing that was shown goes back."""
    counted = its._m[: its._used]
    its.close()
    its._f = os.fdopen(os.memfd_create("metrics", os.MFD_CLOEXEC), "r+b", buffering=0)
    its._fname = f"/proc/self/fd/{its._f.fileno()}"
    its._f.truncate(its._capacity)
    its._m = mmap.mmap(its._f.fileno(), its._capacity)
    its._m[: its._used] = counted
