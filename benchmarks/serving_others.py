"""What ours is measured against: the naive service of DESIGN.md §8, and BentoML doing nothing at all."""

# mypy: ignore-errors
from __future__ import annotations

import bentoml
import pandas as pd

from parked.settings import load_settings


@bentoml.service
class Naive:
    """As a tutorial would write it: Feast's call, a DataFrame, predict_proba. One candidate, no log."""

    def __init__(self) -> None:
        from catboost import CatBoostClassifier

        from bentos.model.scorer import load_published
        from feature_repo.services import WHERE_PARKED_V1
        from feature_repo.store import open_store

        settings = load_settings()
        self.card = load_published(settings).card
        self.model = CatBoostClassifier()
        name, version = load_published(settings).tag.split(":")
        self.model.load_model(str(settings.bentoml_home / "models" / name / version / "model.cbm"))
        self.store = open_store(settings)
        self.where = self.store.get_feature_service(WHERE_PARKED_V1)
        self.parking = self.store.get_feature_service(self.card.feature_service)

    @bentoml.api
    def where_parked(self, device_id: str) -> dict:
        """Where is it?"""
        where = self.store.get_online_features(self.where, [{"device_id": device_id}]).to_dict()
        entity = {
            "device_id": device_id,
            "candidate_id": where["candidate_1"][0] or "",
            "cell": where["cell_1"][0] or "",
            "asked_at_us": 1_800_000_000_000_000,
        }
        row = self.store.get_online_features(self.parking, [entity]).to_dict()
        frame = pd.DataFrame({name: row[name] for name in self.card.features})
        for name in self.card.features:
            if name in self.card.categorical:
                frame[name] = frame[name].fillna("").astype(str)
            else:
                frame[name] = frame[name].astype("float64")
        probability = float(self.model.predict_proba(frame)[0, 1])
        return {"lat": where["lat_1"][0], "lon": where["lon_1"][0], "probability": probability}


class _NoOp:
    @bentoml.api
    def where_parked(self, device_id: str) -> str:
        """Nothing."""
        return device_id


NoOp = bentoml.service(name="no_op")(_NoOp)
NoOpTuned = bentoml.service(
    name="no_op_tuned",
    traffic={"timeout": 1},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)(_NoOp)
