"""The scientists' trigger policy: which signs of drift or decay are reason to refit. Short, versioned, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from parked.errors import NotFoundError, SettingError

DEFAULT_POLICY: Final = Path(__file__).with_name("policy.yaml")
"""The packaged policy."""

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowPolicy(_Part):
    """What a look looks at."""

    hours: Annotated[float, Field(gt=0)]
    """Length of a window where only its end is given."""
    states: list[Literal["parked", "driving", "unknown", "score"]] = Field(min_length=1)
    """Answers that count."""
    once_per_minutes: Annotated[float, Field(gt=0)]
    """A phone that asks more often than this counts once in so long: polling says nothing new about the world."""
    context: list[str]
    """Features that the asker chose (how long after parking, at what time of day). Distances of the other features are
    taken between rows of like context; the context itself is not judged."""
    ignore: list[str]
    """Features never judged."""
    pseudo_windows: Annotated[int, Field(ge=20, le=5000)]
    """Windows cut out of the training set to calibrate limits on; the sd's own error is 1 / sqrt(2 n) of it."""
    past_windows: Annotated[int, Field(ge=10)]
    """Quiet past windows needed before limits rest on them (an sd of fewer than 10 is noise)."""


class Trigger(_Part):
    """What every trigger has."""

    enabled: bool
    consecutive: Count
    """The same sign must show in so many non-overlapping windows running before the trigger fires."""
    clear_ratio: Share
    """Hysteresis: once raised, a trigger stays raised until the value is at or below ``clear_ratio * limit``."""
    min_rows: int = Field(default=0, ge=0)
    """Windows of fewer rows neither raise nor clear."""
    min_devices: int = Field(default=0, ge=0)
    """Windows of fewer phones neither raise nor clear."""


class DriftTrigger(Trigger):
    """A distance beyond ``max(min_distance, mean + limit_sd * sd)`` of quiet windows."""

    min_rows: Count
    min_devices: Count
    limit_sd: Annotated[float, Field(gt=0)]
    at_once_sd: Annotated[float, Field(gt=0)]
    """Beyond so many sd one window is enough (the run rules of a Shewhart chart: one far out, or several a little)."""
    min_distance: Share

    @model_validator(mode="after")
    def _ordered(self) -> DriftTrigger:
        if self.at_once_sd < self.limit_sd:
            raise ValueError("at_once_sd must not be below limit_sd")
        return self


class QualityTrigger(Trigger):
    """Shares of rows that are broken or unheard of."""

    min_rows: Count
    min_devices: Count
    limit_sd: Annotated[float, Field(gt=0)]
    """A share must also stand out by so many standard errors, phones being the units: where few phones ask, one phone
    without motion sensors is a large share."""
    null_rise: Share
    unseen_share: Share


class DecayTrigger(Trigger):
    """Answers proved worse by labels that came later."""

    window_hours: Annotated[float, Field(gt=0)]
    """Answers of so long a span are judged together."""
    min_labels: Count
    min_devices: Count
    matured_hours: Annotated[float, Field(ge=0)]
    auc_drop: Share
    auc_sd: Annotated[float, Field(ge=0)]
    """The drop must also stand out by so many standard errors, phones being the units."""
    calibration_z: Annotated[float, Field(gt=0)]
    min_calibration_gap: Annotated[float, Field(ge=0, le=1)]


class VolumeTrigger(Trigger):
    """New labels alone: more to learn from."""

    new_labels: Count


class Triggers(_Part):
    """By name."""

    feature_drift: DriftTrigger
    prediction_drift: DriftTrigger
    quality: QualityTrigger
    decay: DecayTrigger
    volume: VolumeTrigger


class RefitPolicy(_Part):
    """How often a raised trigger may have its refit."""

    cooldown_hours: Annotated[float, Field(ge=0)]
    min_new_labels: Annotated[int, Field(ge=0)]
    """Memory: a cause that was refitted for already waits for so many labels more than there were then."""
    max_failures: Count
    """Refits that broke, one after the other, before the loop stops trying."""


class Policy(_Part):
    """The whole file."""

    version: Annotated[str, Field(min_length=1)]
    window: WindowPolicy
    triggers: Triggers
    refit: RefitPolicy


def load_policy(path: Path | None = None) -> Policy:
    """Read and check a policy file (none: the packaged one).

    Raises NotFoundError where there is no such file, SettingError naming file, field, value and mend otherwise.
    """
    path = path or DEFAULT_POLICY
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(f"{path}: no such policy file", mend="check the path") from None
    except UnicodeDecodeError:
        raise SettingError(f"{path}: not a text file", mend="give a YAML file in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise SettingError(
            f"{path}: {place}not YAML ({getattr(error, 'problem', None) or 'unreadable'})", mend="mend that line"
        ) from None
    if not isinstance(content, dict):
        raise SettingError(f"{path}: holds no settings", mend=f"start from a copy of {DEFAULT_POLICY.name}")
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        what, mend = _first_fault(path, error)
        raise SettingError(what, mend=mend) from None


def _first_fault(path: Path, error: ValidationError) -> tuple[str, str]:
    fault = error.errors()[0]
    field = ".".join(str(part) for part in fault["loc"]) or "file"
    match fault["type"]:
        case "extra_forbidden":
            return f"{path}: {field}: no such setting", "remove it or correct its name"
        case "missing":
            return f"{path}: {field}: missing", f"add it (see {DEFAULT_POLICY.name})"
        case "value_error":
            return f"{path}: {field}: {fault['msg'].removeprefix('Value error, ')}", "correct one of them"
        case _:
            return f"{path}: {field}={fault.get('input')!r}: {fault['msg']}", "correct the value"
