"""The numba kernel: a state machine per device over its records in event order, O(1) state.

Reads integers (milliseconds, 1e-7 degrees, centimetres, cm/s), decides with +, -, *, /, sqrt on float64 only (correctly
rounded everywhere, no libm), writes one ``ROW`` per milestone of a fact.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numba


def _cache_folder() -> Path:
    """Where compiled code is kept: named by the hash of all kernel sources.

    numba's own cache looks only at the file of the outermost function, so a change in one it calls would go unseen.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.glob("*.py")):
        digest.update(source.read_bytes())
    return here / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}"


_FOLDER = _cache_folder()
VERSION: Final = _FOLDER.name.removeprefix("compiled-")
"""Changes with every change of the kernel's sources."""
numba.config.CACHE_DIR = str(_FOLDER)


def is_compiled() -> bool:
    """Whether this version of the kernel was compiled on this machine before (compiling takes a minute or two)."""
    return all(any(_FOLDER.rglob(f"{entry}-*.nbc")) for entry in ("arrivals._build", "stream.feed"))
