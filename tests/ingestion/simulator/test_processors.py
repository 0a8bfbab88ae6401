"""The same seed gives the same world on processors that numpy computes on in other ways."""

import os
import subprocess
import sys

import numpy as np
import pytest

STEPS = """
import hashlib
import numpy as np
from ingestion.simulator.cities import CITIES
from ingestion.simulator.receiver import gauss_markov
from ingestion.simulator.streets import StreetPlan

rng = np.random.default_rng(5)
t = np.cumsum(rng.exponential(20.0, 100_000))
slow = gauss_markov(t, np.full(len(t), 60.0), rng.standard_normal(len(t)))
roads = StreetPlan(CITIES["lisbon"]).bend(*rng.uniform(-5_000.0, 5_000.0, (2, 100_000)))
drawn = rng.lognormal(1.0, 0.5, 100_000)
print(hashlib.sha256(np.concatenate([slow, *roads, drawn])).hexdigest())
"""


def digest(**environment: str) -> str:
    run = [sys.executable, "-c", STEPS]
    return subprocess.run(run, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout


def test_what_the_processor_has_beyond_the_least_changes_no_bit():
    used = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not used:
        pytest.skip("numpy knows no more of this processor than the least that it was built for")
    assert digest() == digest(NPY_DISABLE_CPU_FEATURES=" ".join(used))
