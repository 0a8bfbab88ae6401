"""File names and words of the command line as text: the system hands over bytes, which need not be UTF-8."""

from __future__ import annotations

import os
from pathlib import Path


def shown(path: Path | str) -> str:
    r"""A path as text that can be kept and printed: a name may be any bytes, and what is not UTF-8 is written ``\xNN``.

    >>> shown(Path(os.fsdecode(b"caf\xe9.csv")))
    'caf\\xe9.csv'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
