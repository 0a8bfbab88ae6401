"""A home to serve from: made-up rows of as many phones as wanted, and a model of the real one's shape."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from bentos.model.kept_trees import load_proved
from feature_repo.declare import DEVICE, VIEWS, Dtype, declared
from feature_repo.services import PARKING_V1, categorical_features, service_features
from feature_repo.store import open_store
from ingestion.features.apply import apply_repo
from ingestion.features.online import load_online
from parked.clock import to_us
from parked.model_card import ModelCard
from parked.pointer import Pointer, write_pointer
from parked.schemas import ACTIVITIES, FOLLOWED, STATUSES, TIME
from parked.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORDS = {"status": STATUSES[:3], "motion_before": ACTIVITIES, "motion_after": ACTIVITIES, "followed_by": FOLLOWED}


def phone(number: int) -> str:
    """The id of a phone; ``benchmarks/serving.lua`` asks for them."""
    return f"phone-{number:06d}"


def make_home(settings: Settings, phones: int) -> dict[str, int]:
    """Fill the online store with ``phones`` phones of three candidates each and publish a model; view → rows."""
    apply_repo(settings)
    random = np.random.default_rng(7)
    parts: dict[str, list[pa.Table]] = {view: [] for view in VIEWS}
    for start in range(0, phones, 20_000):
        for view, made in parts.items():
            made.append(snapshot_rows(view, range(start, min(phones, start + 20_000)), random))
    done = load_online(open_store(settings), {view: pa.concat_tables(made) for view, made in parts.items()})
    _publish(settings, random)
    return {view: loaded.written for view, loaded in done.items()}


def snapshot_rows(view: str, numbers: range, random: np.random.Generator) -> pa.Table:
    ranks = (1,) if view == DEVICE else (1, 2, 3)
    pairs = [(number, rank) for number in numbers for rank in ranks]
    count, now_us = len(pairs), to_us(NOW)
    made: dict[str, Any] = {
        "device_id": [phone(n) for n, _ in pairs],
        "candidate_id": [candidate_name(n, r) for n, r in pairs],
        "cell": [cell_name(n, r) for n, r in pairs],
        "available_at": pa.array([now_us] * count, pa.int64()).cast(TIME),
        "facts_as_of_us": [now_us] * count,
        "built_by": ["bench"] * count,
        "left_at_us": [now_us - r * 7_200_000_000 for _, r in pairs],
        "lon": random.uniform(13, 14, count),
        "rest_from_us": [now_us - r * 7_100_000_000 for _, r in pairs],
        "rest_until_us": [None] * count,
        "last_stay_ended_us": [now_us - 86_400_000_000] * count,
        "reasons": ["motion,walked"] * count,
        "driving": [False] * count,
        "built": ["bench"] * count,
    }
    for rank in (1, 2, 3):
        made |= {
            f"candidate_{rank}": [candidate_name(n, rank) for n, _ in pairs],
            f"cell_{rank}": [cell_name(n, rank) for n, _ in pairs],
            f"left_at_us_{rank}": [now_us - rank * 7_200_000_000] * count,
            f"ended_at_us_{rank}": [None if rank == 1 else now_us - rank * 7_000_000_000] * count,
            f"return_m_{rank}": [None if rank == 1 else 12.5] * count,
            f"reasons_{rank}": ["motion,walked"] * count,
        }
    columns = []
    schema = declared().schema(view)
    for field in schema:
        values = made.get(field.name)
        if values is None:
            values = _made_up(field, count, random)
        columns.append(values if isinstance(values, pa.Array) else pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def _made_up(field: pa.Field, count: int, random: np.random.Generator) -> Any:
    missing = random.random(count) < 0.2
    if field.name in WORDS:
        return pa.array(random.choice(WORDS[field.name], count), field.type, mask=missing)
    if field.type == Dtype.STRING.arrow:
        return [None] * count
    if field.type == Dtype.BOOL.arrow:
        return random.random(count) < 0.5
    if field.type == Dtype.INT64.arrow:
        return pa.array(random.integers(0, 50, count), field.type, mask=missing)
    return pa.array(random.normal(60, 40, count), field.type, mask=missing)


def candidate_name(number: int, rank: int) -> str:
    """As facts are named: sixteen digits of the phone, sixteen of its own."""
    return "".join(hashlib.blake2b(of.encode(), digest_size=8).hexdigest() for of in (f"{number}", f"{number}/{rank}"))


def cell_name(number: int, rank: int) -> str:
    return f"8a1f1{number:08d}{rank}f"


def _publish(settings: Settings, random: np.random.Generator) -> None:
    from catboost import CatBoost, Pool

    features, categorical = service_features(PARKING_V1), categorical_features(PARKING_V1)
    rows = [
        [str(random.choice(WORDS[n])) if n in categorical else float(random.normal(60, 40)) for n in features]
        for _ in range(4_000)
    ]
    steers = [features.index(name) for name in ("rest_so_far_s", "walked_m", "leg_distance_m", "followed_by")]
    target = [float((row[steers[1]] > 50) ^ (row[steers[3]] == "vehicle")) for row in rows]
    parameters = {"iterations": 300, "depth": 4, "one_hot_max_size": 32, "boosting_type": "Plain", "rsm": 0.5,
                  "thread_count": 1, "verbose": 0, "random_seed": 7, "allow_writing_files": False,
                  "loss_function": "Logloss"}  # fmt: skip
    model = CatBoost(parameters).fit(Pool(rows, target, cat_features=categorical, feature_names=features))
    folder = settings.bentoml_home / "models" / "parking" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    model.save_model(str(folder / "model.cbm"))
    card = ModelCard(
        name="parking", feature_service=PARKING_V1, features=features, categorical=categorical, calibration_slope=1.0,
        calibration_intercept=0.0, threshold=0.5, rules_version="v1", trained_at=NOW, manifest_sha256="0" * 64,
        metrics={},
    )  # fmt: skip
    (folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    pointer = {"generation": 1, "model_tag": "parking:bench", "rules_version": "v1", "published_at": NOW}
    write_pointer(settings.pointer_file, Pointer(feature_service=PARKING_V1, **pointer))
    load_proved(settings, "parking:bench")  # as `parked publish` does
