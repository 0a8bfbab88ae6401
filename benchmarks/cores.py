"""Which cores a benchmark may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


def hold_to_one() -> set[int]:
    """Hold this thread, and whatever it starts from now on, to the last core; all that it might use before."""
    cores = os.sched_getaffinity(0)
    _hold({max(cores)})
    return cores


@contextmanager
def on_all(cores: set[int]) -> Iterator[None]:
    """``cores`` for a while, for who was held to the last of them."""
    _hold(cores)
    try:
        yield
    finally:
        _hold({max(cores)})


def _hold(cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    pa.set_cpu_count(len(cores))
