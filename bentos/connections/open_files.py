"""How many files this process may hold open, which is how many clients it can be connected with.

What a shell hands on is 1,024 (the soft limit) where the system would allow many more (the hard one): a client that
opens two hundred connections a second and asks nothing has taken them all before the first is ended for its silence.
"""

from __future__ import annotations

import os
import resource
from typing import Final

BOUND: Final = 16_384
"""No more than so many, whatever the system allows: a connection that asks nothing holds seven kilobytes."""

SPARE: Final = 64
"""Left for what a worker opens beside its connections: parts of the log, a model, databases, who is being refused."""

FEWEST: Final = 8
"""Connections that are taken even where no room for them is left by this count."""


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, to ``BOUND`` at most; never lowers it. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = BOUND if hard == resource.RLIM_INFINITY else min(hard, BOUND)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return BOUND if soft == resource.RLIM_INFINITY else soft


def room() -> int:
    """For how many connections more there is room beside what is open now, leaving ``SPARE``."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = BOUND if soft == resource.RLIM_INFINITY else min(soft, BOUND)
    return max(limit - len(os.listdir("/dev/fd")) - SPARE, FEWEST)  # noqa: PTH208  no paths, numbers
