"""Which files BentoML's pages consist of.

BentoML has series of their own for each path that it is asked for, the missing too, as long as the worker lives: it is
asked for nothing that is not there, or whoever asks for a million of them fills memory, disk and ``/metrics``.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

PREFIXES: Final = ("/static_content/", "/assets/")
_FOLDERS: Final = (("bentoml._internal.server", "static_content"), ("_bentoml_impl.server", "assets"))
"""(package, folder of it) of each."""


def there_is(path: str) -> bool:
    """Whether ``path`` is such a file's."""
    return path.startswith(PREFIXES) and path in _paths()


@cache
def _paths() -> frozenset[str]:
    found = set[str]()
    for prefix, (package, name) in zip(PREFIXES, _FOLDERS, strict=True):
        folder = Path(str(files(package))) / name
        found |= {prefix + file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    return frozenset(found)
