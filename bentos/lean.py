"""What only the start needed goes back: the compiler's code, libraries that are loaded and not used, freed memory.

LLVM alone is 70 MB of pages that nothing runs again once the kernels are there. Whatever is needed after all comes back
from the page cache at its first use.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MAPPINGS: Final = Path("/proc/self/smaps")
_UNCHANGED: Final = ("Private_Dirty:", "Shared_Dirty:", "Anonymous:", "Swap:")


def give_back() -> int:
    """Let go of libraries' pages that are as in their files, and of freed memory; bytes of the former that were held.

    Where the system does not tell of them, or has no such call, nothing is done.
    """
    held = 0
    with contextlib.suppress(OSError, AttributeError, ValueError):
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for start, size, resident in _pages_of_libraries(_MAPPINGS.read_text(encoding="utf-8", errors="replace")):
            # Private pages that were written to would be lost: of these mappings nobody writes to any.
            if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_DONTNEED) == 0:
                held += resident
    return held


def _pages_of_libraries(told: str) -> Iterator[tuple[int, int, int]]:
    """(address, bytes, bytes in memory) of what is mapped read-only of shared libraries, and was never written to."""
    start = end = resident = 0
    library = False
    for line in told.splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            library = _is_library(line)
            start, end = (int(number, 16) for number in name.split("-"))
        elif name == "Rss:":
            resident = int(rest.split()[0]) * 1024
        elif name in _UNCHANGED and int(rest.split()[0]):
            library = False
        elif name == "VmFlags:" and library and resident:  # the last line of a mapping
            yield start, end - start, resident


def _is_library(line: str) -> bool:
    """Whether a mapping's first line tells of a shared library's part that nobody may write to."""
    parts = line.split(maxsplit=5)
    return len(parts) == 6 and "w" not in parts[1] and parts[1].endswith("p") and ".so" in Path(parts[5]).name
