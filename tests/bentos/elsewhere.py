"""A home worked on by another process, as under a server: in this one, its store's files are open already."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

from parked.settings import Settings

_PROGRAM = """
import sys
from pathlib import Path
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from parked.settings import Settings
from tests.bentos.world import drives
what, home, online = sys.argv[1:]
settings = Settings(home=Path(home), online_store=online)
if what == "apply":
    apply_repo(settings)
else:
    build_features(settings, build_facts(drives(devices=1, days=1), None, load_rules(None)))
"""


def elsewhere(what: Literal["apply", "build"], settings: Settings) -> None:
    """``parked features apply``, or ``build`` of one phone."""
    asked = [sys.executable, "-c", _PROGRAM, what, str(settings.home), settings.online_store]
    subprocess.run(asked, check=True, cwd=Path(__file__).parents[2])
