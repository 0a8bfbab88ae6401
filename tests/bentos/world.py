"""A small real world: fixes of a few drives → facts → Feast's stores, and a model trained on those very features."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from catboost import CatBoost, Pool

from feature_repo.services import PARKING_V1, categorical_features, service_features
from ingestion.facts.build import build_facts
from ingestion.facts.rules import load_rules
from ingestion.features.fold import fold_facts
from ingestion.features.moments import assemble, candidate_moments
from parked.geo import offset_m
from parked.model_card import ModelCard
from parked.schemas import FIXES
from parked.settings import Settings

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
HOME = (48.1, 11.5)


def drives(devices: int = 3, days: int = 2) -> pa.Table:
    """FIXES: each phone drives 6 km to work in the morning, walks off 80 m, and drives home in the evening."""
    rows: list[dict[str, object]] = []
    for device in range(devices):
        east0 = 10_000.0 * device
        for day in range(days):
            for hour, there in ((0, True), (10, False)):
                begin = START + timedelta(days=day, hours=hour, minutes=device)
                rows += _trip(f"phone-{device}", begin, east0, there)
    return pa.Table.from_pylist(rows, schema=FIXES)


def _trip(device: str, begin: datetime, east0: float, there: bool) -> list[dict[str, object]]:
    track: list[tuple[float, float]] = []
    ends = (0.0, 6000.0) if there else (6000.0, 0.0)
    away = 80.0 if there else -80.0
    track += [(s, ends[0]) for s in range(0, 300, 30)]
    drive = 480
    track += [(300 + s, ends[0] + (ends[1] - ends[0]) * s / drive) for s in range(0, drive + 1, 10)]
    walk = 60
    track += [(300 + drive + s, ends[1] + away * s / walk) for s in range(10, walk + 1, 10)]
    track += [(300 + drive + walk + s, ends[1] + away) for s in range(60, 3600, 60)]
    rows = []
    for seconds, east in track:
        lat, lon = offset_m(*HOME, east_m=east0 + east, north_m=(seconds * 7 % 5) - 2.0)
        at = begin + timedelta(seconds=seconds)
        rows.append(
            {"device_id": device, "event_time": at, "lat": lat, "lon": lon, "accuracy_m": 8.0, "received_at": at}
        )
    return rows


def train_real(settings: Settings, fixes: pa.Table, version: str = "v1") -> str:
    """A model over the real ``parking_v1`` in BentoML's own store; returns its tag. Its opinion is: rested = parked."""
    rules = load_rules(None)
    snapshots = fold_facts(build_facts(fixes, None, rules))
    table = assemble(candidate_moments(snapshots), snapshots, PARKING_V1)
    features, categorical = service_features(PARKING_V1), categorical_features(PARKING_V1)
    frame = table.select(features).to_pandas()
    for name in features:
        column = frame[name]
        text = name in categorical
        frame[name] = column.astype(object).where(column.notna(), "").astype(str) if text else column.astype("float64")
    target = [1.0 if rested and rested > 300 else 0.0 for rested in table["rest_so_far_s"].to_pylist()]
    model = CatBoost(
        {"loss_function": "Logloss", "iterations": 20, "depth": 3, "random_seed": 7, "thread_count": 1, "verbose": 0,
         "allow_writing_files": False}
    )  # fmt: skip
    model.fit(Pool(frame, target, cat_features=categorical, feature_names=features))
    card = ModelCard(
        name="parking",
        feature_service=PARKING_V1,
        features=features,
        categorical=categorical,
        calibration_slope=3.0,
        calibration_intercept=0.0,
        threshold=0.5,
        rules_version=rules.version,
        trained_at=START,
        manifest_sha256="0" * 64,
        metrics={},
    )
    return save_in_bentoml(settings, model, card, version)


def save_in_bentoml(settings: Settings, model: CatBoost, card: ModelCard, version: str) -> str:
    """As ``training`` does: through BentoML, so that a bento can be built with it."""
    import bentoml
    from bentoml._internal.models import ModelStore

    folder = settings.bentoml_home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    with bentoml.models.create(f"{card.name}:{version}", _model_store=ModelStore(folder)) as created:
        model.save_model(created.path_of("model.cbm"))
        Path(created.path_of("card.json")).write_text(card.model_dump_json(), encoding="utf-8")
    return f"{card.name}:{version}"
