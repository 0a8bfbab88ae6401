"""What is compiled of the stop engine, on each machine once, is waited for: there is one copy of the machine."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest

from ingestion.facts.build import build_facts
from ingestion.facts.kernel.types import RECORD
from ingestion.facts.rules import load_rules
from ingestion.facts.stream import StopStream
from parked.schemas import FIXES


@pytest.mark.parametrize("function", ["step.on_record", "arrivals.run", "arrivals._by_moments", "arrivals.difference"])
def test_the_machine_is_compiled_once(function: str) -> None:
    """numba compiles a function for each set of argument types, and a literal is a type of its own."""
    build_facts(FIXES.empty_table(), None, load_rules())
    StopStream(load_rules()).feed(np.zeros(0, RECORD))
    assert len(list(Path(numba.config.CACHE_DIR).rglob(f"{function}-*.nbc"))) == 1
