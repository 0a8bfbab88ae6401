"""Work in progress goes with its process, and what a killed one left goes with the next."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from parked.scratch import scratch_folder

_KILLED = """
import os, signal, sys
from pathlib import Path
from parked.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("done")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_is_there_for_the_block_only(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "new") as folder:
        (folder / "a").write_text("a")
        assert folder.parent == tmp_path / "new"
    with pytest.raises(ValueError, match="x"), scratch_folder(tmp_path / "new") as folder:
        raise ValueError("x")
    assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "half").exists()
    with scratch_folder(tmp_path) as first:
        assert not left.exists()
        with scratch_folder(tmp_path) as second:
            assert first != second
            assert sorted(tmp_path.iterdir()) == sorted([first, second])
        assert first.exists()
