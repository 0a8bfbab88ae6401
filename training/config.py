"""The scientists' training file (``parking_v1.yaml``), validated on load."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from parked.errors import NotFoundError, SettingError
from parked.vehicle import RETURN_M

DEFAULT_CONFIG: Final = Path(__file__).with_name("parking_v1.yaml")
Source = Literal["truth", "person", "mode", "motion"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelRules(_Part):
    """How judgments become labels of candidates (``training.labelling``)."""

    attach_within_s: float = Field(gt=0, le=3600)
    attach_within_m: float = Field(gt=0, le=2000)
    ambiguous_within_m: float = Field(ge=0)
    precedence: tuple[Source, ...]
    source_weight: dict[Source, float]
    matured_h: float = Field(default=48, ge=0)
    motion_rule: Literal["never", "where_unlabelled", "always"]

    @model_validator(mode="after")
    def _complete(self) -> LabelRules:
        if len(set(self.precedence)) != len(self.precedence):
            raise ValueError("precedence names a source twice")
        if missing := [source for source in self.precedence if not self.source_weight.get(source, 0.0) > 0.0]:
            raise ValueError(f"source_weight of {', '.join(missing)} must be given and above 0")
        return self


class SplitRules(_Part):
    """Who is held out (``training.split``). Fractions of devices, and of candidates by time."""

    salt: str = Field(min_length=1)
    test_devices: float = Field(gt=0, lt=1)
    calibration_devices: float = Field(ge=0, lt=1)
    later: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_training(self) -> SplitRules:
        if self.test_devices + self.calibration_devices >= 1:
            raise ValueError("test_devices + calibration_devices must stay below 1: nobody is left to train on")
        return self


class Costs(_Part):
    """What a wrong answer costs, in units of a missed pin."""

    phantom_pin: float = Field(gt=0)
    missed_pin: float = Field(gt=0)


class EvaluationRules(_Part):
    """What is measured and how surely (``training.evaluate``)."""

    resamples: int = Field(ge=50, le=20_000)
    confidence: float = Field(gt=0.5, lt=1)
    city_resolution: int = Field(ge=0, le=9)
    slice_min_candidates: int = Field(ge=1)
    slow_sampling_s: float = Field(gt=0)
    questions_per_device: int = Field(ge=0)
    right_within_m: float = Field(gt=0)
    return_within_m: float = Field(default=RETURN_M, gt=0)


class GateRules(_Part):
    """When a challenger may be published (``training.gate``)."""

    resamples: int = Field(ge=100, le=20_000)
    confidence: float = Field(gt=0.5, lt=1)
    worse_margin: float = Field(ge=0)
    cost_worse_margin: float = Field(ge=0)
    recent_days: float = Field(gt=0)
    min_devices: int = Field(ge=2)
    min_positives: int = Field(ge=1)
    min_negatives: int = Field(ge=1)
    min_auc: float = Field(ge=0.5, le=1)
    max_ece: float = Field(gt=0, le=1)


class TrainingConfig(_Part):
    """Everything a scientist decides about a training run, except the outlier rules (their own file)."""

    version: str = Field(min_length=1)
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_.-]*[a-z0-9])?$", max_length=40)
    feature_service: str = Field(min_length=1)
    outliers: str = Field(min_length=1)
    categorical: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    decision_ages_s: tuple[float, ...]
    most_snapshots: int = Field(ge=1)
    most_rows: int = Field(ge=100)
    stood_most_s: float = Field(ge=60)
    labels: LabelRules
    split: SplitRules
    seed: int = Field(ge=0)
    catboost: dict[str, Any]
    calibration: Literal["platt", "none"]
    cost: Costs
    evaluation: EvaluationRules
    gate: GateRules

    @field_validator("catboost")
    @classmethod
    def _deterministic(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(value.get("thread_count"), int) or value["thread_count"] < 1:
            raise ValueError("thread_count must be a fixed number: another number of threads gives another model")
        if ours := sorted({"random_seed", "random_state", "cat_features", "loss_function"} & value.keys()):
            raise ValueError(f"{', '.join(ours)} is set by the code (seed, categorical, Logloss)")
        return value

    @field_validator("decision_ages_s")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(age <= 0 for age in value):
            raise ValueError("ages are seconds above 0")
        return value


def read_yaml(path: Path) -> Any:
    """A YAML file's content. Raises NotFoundError (no such file) and SettingError (not YAML; names the line)."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(f"{path}: no such file", mend="check the path") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or "not UTF-8 text"
        raise SettingError(f"{where}: not YAML ({problem})", mend="mend that line") from None


def first_fault(error: ValidationError) -> tuple[str, str]:
    """(dotted place, message) of the first fault pydantic found."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]) or "file", str(first["msg"]).removeprefix("Value error, ")


def load_config(path: Path = DEFAULT_CONFIG) -> TrainingConfig:
    """Read and check a training file.

    Raises NotFoundError (no such file) and SettingError naming file, place and fault.
    """
    content = read_yaml(path)
    try:
        return TrainingConfig.model_validate(content)
    except ValidationError as error:
        place, message = first_fault(error)
        raise SettingError(f"{path}: {place}: {message}", mend=f"mend {place} (see training/parking_v1.yaml)") from None


def outliers_path(config_path: Path, config: TrainingConfig) -> Path:
    """Where the outlier rules lie: ``config.outliers``, relative to the training file's folder."""
    return config_path.parent / config.outliers
