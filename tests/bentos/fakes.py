"""A tiny world to serve: four phones, a model that reads one feature, fakes behind the ports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from catboost import CatBoost, Pool

from bentos.answer import Candidate
from bentos.ports import CandidateKey, Confirmation, DeviceFacts, FeatureSource, Values
from parked.clock import to_us
from parked.errors import ConflictError, NotFoundError
from parked.model_card import ModelCard
from parked.pointer import Pointer, write_pointer
from parked.settings import Settings
from parked.worker_status import live_workers, workers_dir

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_US = to_us(NOW)
HOUR_US = 3_600_000_000

FEATURES = ["walked_m", "followed_by", "age_s"]
CATEGORICAL = ["followed_by"]
SERVICE = "parking_v1"
MODEL_NAME = "parking"


@lru_cache(maxsize=1)
def trained_model() -> CatBoost:
    """Walking off (> 50 m) after the drive means parking; ``followed_by`` adds a little."""
    rows = [
        [float(walked), kind, float(age)]
        for walked in range(0, 200, 2)
        for kind in ("foot", "vehicle", "")
        for age in (60, 9000)
    ]
    target = [1.0 if row[0] > 50 and row[1] != "vehicle" else 0.0 for row in rows]
    model = CatBoost(
        {"loss_function": "Logloss", "iterations": 30, "depth": 4, "random_seed": 7, "thread_count": 1, "verbose": 0,
         "allow_writing_files": False}
    )  # fmt: skip
    return model.fit(Pool(rows, target, cat_features=[1], feature_names=FEATURES))


def card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "name": MODEL_NAME,
        "feature_service": SERVICE,
        "features": FEATURES,
        "categorical": CATEGORICAL,
        "calibration_slope": 1.0,
        "calibration_intercept": 0.0,
        "threshold": 0.5,
        "rules_version": "v1",
        "trained_at": NOW,
        "manifest_sha256": "0" * 64,
        "metrics": {"auc": 0.97},
    }
    return ModelCard.model_validate(values | changes)


def write_model(settings: Settings, version: str, **changes: object) -> str:
    """A model in BentoML's store layout; returns its tag."""
    folder = settings.bentoml_home / "models" / MODEL_NAME / version
    folder.mkdir(parents=True)
    trained_model().save_model(str(folder / "model.cbm"))
    (folder / "card.json").write_text(card(**changes).model_dump_json())
    return f"{MODEL_NAME}:{version}"


def publish(settings: Settings, tag: str, generation: int, **changes: object) -> Pointer:
    values: dict[str, object] = {
        "generation": generation,
        "model_tag": tag,
        "rules_version": "v1",
        "feature_service": SERVICE,
        "published_at": NOW,
    }
    pointer = Pointer.model_validate(values | changes)
    write_pointer(settings.pointer_file, pointer)
    return pointer


def candidate(name: str, hours_ago: float, **changes: object) -> Candidate:
    values: dict[str, object] = {
        "candidate_id": name,
        "cell": f"cell-{name}",
        "left_at_us": NOW_US - int(hours_ago * HOUR_US),
        "lat": 48.1,
        "lon": 11.5,
        "uncertainty_m": 12.0,
        "ended_at_us": None,
        "return_m": None,
    }
    return Candidate(**(values | changes))  # type: ignore[arg-type]


WALKED = {"home": 120.0, "office": 150.0, "red-light": 0.0, "bus": 5.0, "shop": 90.0}
"""The feature that decides, by candidate."""

DEVICES = {
    "phone-parked": DeviceFacts(
        "phone-parked",
        (
            candidate("bus", 1),
            candidate("home", 5, ended_at_us=NOW_US - 2 * HOUR_US, return_m=800.0),
        ),
        False,
        NOW_US - HOUR_US,
    ),
    "phone-corrected": DeviceFacts("phone-corrected", (candidate("home", 5),), False, NOW_US - HOUR_US),
    "phone-driving": DeviceFacts(
        "phone-driving", (candidate("office", 3, ended_at_us=NOW_US - HOUR_US // 2, return_m=20.0),), True, NOW_US - 1
    ),
    "phone-jam": DeviceFacts("phone-jam", (candidate("red-light", 0.1),), False, NOW_US - 1),
    "phone-new": DeviceFacts("phone-new", (), False, NOW_US - 1),
}


MADE_UP = ("signal", "motion_after", "status", "uncertainty_m", "sends_motion", "leg_fixes")
"""What models of ``tests.training.world`` eat; nothing is known of it here."""


SLOW = {"phone-slow": 0.6, "phone-stuck": 2.5}
"""Seconds that the store takes to find them: within its limit (1 s), and beyond it."""


class FakeSource(FeatureSource):
    """The feature store as a dictionary."""

    inline = False

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken

    def devices(self, device_ids: Sequence[str]) -> list[DeviceFacts | None]:
        if self.broken:
            raise OSError("the disk is gone")
        time.sleep(max(SLOW.get(device_id, 0.0) for device_id in device_ids))
        return [DEVICES.get(device_id) for device_id in device_ids]

    def values(self, service: str, names: Sequence[str], keys: Sequence[CandidateKey]) -> list[Values]:
        if service != SERVICE:
            raise NotFoundError(f"feature service {service!r}")
        return [
            [
                {
                    "walked_m": WALKED.get(key.candidate_id),
                    "followed_by": "foot" if key.candidate_id in WALKED else None,
                    "age_s": (key.asked_at_us - NOW_US) / 1e6,
                    **dict.fromkeys(MADE_UP),
                }[name]
                for name in names
            ]
            for key in keys
        ]


class FakeLabels:
    """The label store as a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[object, Confirmation] = {}

    def prepare(self) -> None:
        pass

    def add(self, confirmation: Confirmation, known_at: datetime) -> bool:  # noqa: ARG002  the port's signature
        key = confirmation.key or (confirmation.device_id, confirmation.at, confirmation.lat, confirmation.verdict)
        if key in self.kept:
            if self.kept[key] != confirmation:
                raise ConflictError("this key was used for another confirmation")
            return False
        self.kept[key] = confirmation
        return True


def settings_in(home: Path, **changes: object) -> Settings:
    return Settings(home=home, **changes)  # type: ignore[arg-type]


def until(true: Callable[[], bool], timeout_s: float = 15) -> None:
    """Wait for a condition another process brings about."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def answering(settings: Settings, generation: int = 1) -> set[int]:
    """Pids of the home's live workers that answer with this generation."""
    return {one.pid for one in live_workers(workers_dir(settings)) if one.generation == generation}
