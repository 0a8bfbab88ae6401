"""Each peer in an environment of its own, made once by the benchmark, where it cannot disturb ours."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Peer:
    """A published tool: ``package`` pinned; ``steps``: what pip is told, in order; phones it is given at most."""

    name: str
    package: str
    steps: tuple[tuple[str, ...], ...]
    most_phones: int
    settings: str


def _peer(name: str, package: str, most_phones: int, settings: str, *beside: str) -> Peer:
    return Peer(name, package, ((package, "pyarrow", *beside),), most_phones, settings)


PEERS: Final = (
    _peer("trackintel", "trackintel==1.4.2", 40, "sliding, 100 m, 5 min, gap 15 min (its default)"),
    _peer(
        "scikit-mobility",
        "scikit-mobility==1.3.1",
        40,
        "filter 250 km/h, stay locations 100 m, 5 min",
        # Built for numpy 1: newer numpy and shapely break its pandas and geopandas.
        "numpy==1.26.4",
        "shapely==1.8.5.post1",
        "pyarrow<20",
    ),
    _peer("movingpandas", "movingpandas==0.23.0", 8, "TrajectoryStopDetector, 100 m across, 5 min"),
    Peer(
        "infostop",
        "infostop==0.1.9",
        (
            ("setuptools<81", "wheel", "pybind11", "numpy<2", "pandas<3", "pyarrow<20"),
            # Its sources have no build requirements of their own.
            ("--no-build-isolation", "infostop==0.1.9", "numpy<2"),
        ),
        1_000_000,
        "stationary events of its C++ core, r1 100 m, 5 min, gaps up to 1 day",
    ),
)


def python_of(peer: Peer, folder: Path) -> Path | str:
    """The peer's Python, made where it is not yet; else the reason why it cannot be, in a line."""
    home = folder / peer.name
    python, done = home / "bin" / "python", home / ".installed"
    if done.is_file() and done.read_text(encoding="utf-8") == repr(peer.steps):
        return python
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    for step in peer.steps:
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step]
        try:
            made = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        except subprocess.TimeoutExpired:
            return "pip took more than 15 min"
        if made.returncode:
            lines = [line.strip() for line in made.stderr.splitlines() if "error" in line.lower()]
            return (lines or ["pip failed without a word"])[-1]
    done.write_text(repr(peer.steps), encoding="utf-8")
    return python
