"""What the start needed is given back, and all that is called afterwards works as before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bentos import lean

RUN = """
import json
import numpy as np
from numba import njit
from bentos.lean import give_back
from bentos.moment_kernel import moment_texts

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

before = resident()
held = give_back()
after = resident()
first = moment_texts([0])
@njit
def twice(x):
    return x * 2
told = {"held": held, "freed": before - after, "texts": first, "compiled": twice(21), "sum": float(np.arange(9).sum())}
print(json.dumps(told))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/smaps is Linux's")
def test_libraries_pages_go_and_come_back_when_they_are_needed() -> None:
    said = subprocess.run([sys.executable, "-c", RUN], check=True, capture_output=True, text=True).stdout
    told = json.loads(said)
    assert told["held"] > 40e6, "LLVM's code alone"
    assert told["freed"] > 0.7 * told["held"]
    assert (told["texts"], told["compiled"], told["sum"]) == (["1970-01-01T00:00:00Z"], 42, 36.0)


SMAPS = """\
1000-3000 r-xp 00000000 fe:00 12 /lib/my lib.so.2
Rss:                   8 kB
Private_Dirty:         0 kB
VmFlags: rd ex mr mw me
3000-4000 r--p 00002000 fe:00 12 /lib/my lib.so.2
Rss:                   4 kB
Private_Dirty:         4 kB
VmFlags: rd mr mw me
4000-5000 rw-p 00003000 fe:00 12 /lib/my lib.so.2
Rss:                   4 kB
Private_Dirty:         0 kB
VmFlags: rd wr mr mw me
5000-6000 r--s 00000000 fe:00 13 /home/data.mdb
Rss:                   4 kB
Private_Dirty:         0 kB
VmFlags: rd sh mr
6000-7000 r--p 00000000 00:00 0
Rss:                   4 kB
Private_Dirty:         0 kB
VmFlags: rd
7000-8000 r--p 00000000 fe:00 14 /lib/other.cpython-311.so
Rss:                   0 kB
Private_Dirty:         0 kB
VmFlags: rd
"""


def test_only_what_is_as_in_its_library_goes() -> None:
    assert list(lean._pages_of_libraries(SMAPS)) == [(0x1000, 0x2000, 8192)]


def test_where_the_system_does_not_tell_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "_MAPPINGS", tmp_path / "smaps")
    assert lean.give_back() == 0
