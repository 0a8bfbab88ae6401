"""What travels with a model file: how to feed it and how to read its answer.

``training`` writes a card, ``bentos`` and ``parked score`` read it, so that neither imports the other and
both turn a raw margin into the same probability.
"""

from __future__ import annotations

import math
from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ModelCard(BaseModel):
    """Stored as ``card.json`` beside ``model.cbm`` in the model's folder of the BentoML model store."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str
    feature_service: str
    """The Feast FeatureService whose features the model eats."""
    features: list[str]
    """Feature names in the model's own order (Feast's response order varies between processes)."""
    categorical: list[str]
    """Those of ``features`` given to CatBoost as strings; a missing one is the empty string."""
    calibration_slope: float
    calibration_intercept: float
    """Platt (1999): p = 1 / (1 + exp(-(slope * margin + intercept))), margin = CatBoost RawFormulaVal."""
    threshold: float
    """A candidate is called a parking at probability >= threshold (chosen by the stated cost)."""
    rules_version: str
    trained_at: datetime
    manifest_sha256: str
    metrics: dict[str, float]
    """Measured on held-out rows only."""

    def probability(self, margin: float) -> float:
        """Calibrated probability of a raw margin.

        >>> card.probability(0.0)  # doctest: +SKIP
        0.5
        """
        z = self.calibration_slope * margin + self.calibration_intercept
        return 1.0 / (1.0 + math.exp(-z)) if z >= 0 else math.exp(z) / (1.0 + math.exp(z))
