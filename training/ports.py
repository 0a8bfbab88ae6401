"""What training needs from the rest of the platform, as types; ``training.pipeline`` plugs in the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Retrieve = Callable[[pd.DataFrame, str], pd.DataFrame]
"""Point-in-time features: (entity rows, feature service) -> the same rows, in any order, with feature columns added.

Entity columns: ``device_id``, ``candidate_id``, ``cell`` (string), ``event_timestamp`` (UTC), ``asked_at_us`` (int64).
"""

ReadLabels = Callable[[datetime], pa.Table]
"""LABELS known by a moment (``known_at <= moment``)."""

ReadCoverage = Callable[[], pa.Table]
"""All of COVERAGE."""


class Progress(Protocol):
    """Called as work goes on (``cli.console.Advance``): ``progress(1)``, or ``progress(0, total=n)``."""

    def __call__(self, steps: int = 1, *, total: int | None = None) -> None:
        """So many steps more are done."""


def silent(steps: int = 1, *, total: int | None = None) -> None:
    """A Progress that tells nobody."""


@dataclass(frozen=True)
class Sources:
    """The three doors to features and judgments."""

    retrieve: Retrieve
    labels: ReadLabels
    coverage: ReadCoverage
