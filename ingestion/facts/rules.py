"""Stop rules: a versioned file with units, loaded once, handed to the kernel as one record."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ingestion.facts.kernel.types import RULES
from parked.errors import InputError, SettingError
from parked.settings import FIRST_RULES, RulesVersion

PACKAGED = Path(__file__).parent / "rules"
LONGEST_S: Final = 366 * 86_400.0
"""Most that a rule's duration may be, s: a year. The kernel counts in int64 milliseconds."""

Seconds = Annotated[float, Field(le=LONGEST_S)]
Count = Annotated[int, Field(le=1_000)]


_VERSION: Final = TypeAdapter[str](RulesVersion)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GateRules(_Section):
    """Which fixes may decide anything."""

    max_accuracy_m: float = Field(gt=0)
    assumed_accuracy_m: float = Field(gt=0)
    teleport_mps: float = Field(gt=0)
    spike_m: float = Field(gt=0)
    spike_return: float = Field(gt=0, lt=1)
    spike_s: Seconds = Field(gt=0)
    jump_m: float = Field(gt=0)
    jump_s: Seconds = Field(ge=0)
    look_ahead: int = Field(ge=1, le=4)


class RestRules(_Section):
    """MOVING <-> AT_REST."""

    window_s: float = Field(gt=0, le=300)
    radius_m: float = Field(gt=0)
    inside_m: float = Field(gt=0)
    exit_fixes: Count = Field(ge=1)
    exit_s: Seconds = Field(ge=0)
    far_m: float = Field(gt=0)
    silence_s: Seconds = Field(gt=0)
    silence_mps: float = Field(gt=0)
    walk_mps: float = Field(gt=0)
    travel_mps: float = Field(gt=0)
    stood_s: Seconds = Field(gt=0)
    linger_s: Seconds = Field(gt=0)
    unseen_s: Seconds = Field(gt=0)
    tight_m: float = Field(gt=0)
    tight_spread: float = Field(gt=0)
    inside_spread: float = Field(gt=0)
    max_blur_m: float = Field(ge=0)
    merge_spread: float = Field(gt=0)
    merge_s: Seconds = Field(ge=0)
    merge_m: float = Field(ge=0)


class LegRules(_Section):
    """Vehicle legs and their ends."""

    fast_mps: float = Field(gt=0)
    vehicle_mps: float = Field(gt=0)
    vehicle_m: float = Field(gt=0)
    again_m: float = Field(gt=0)
    sparse_s: Seconds = Field(gt=0)
    still_mps: float = Field(ge=0)
    roll_s: Seconds = Field(gt=0)
    resume_s: Seconds = Field(gt=0)
    resume_m: float = Field(ge=0)
    foot_m: float = Field(gt=0)
    foot_s: Seconds = Field(ge=0)
    foot_mps: float = Field(gt=0)
    settle_s: Seconds = Field(gt=0)
    settle_m: float = Field(gt=0)
    halt_s: Seconds = Field(gt=0)
    motion_confidence: float = Field(ge=0, le=1)
    motion_s: Seconds = Field(ge=0)
    leave_mps: float = Field(ge=0)
    memory_s: Seconds = Field(gt=0)
    noise_share: float = Field(gt=0, le=1)
    walk_share: float = Field(ge=0, le=1)
    unseen_mps: float = Field(ge=0)
    garage_s: Seconds = Field(gt=0)
    garage_rhythm: float = Field(ge=1, le=1_000)
    garage_m: float = Field(gt=0)
    garage_mps: float = Field(ge=0)


class TimeRules(_Section):
    """When a fact becomes final."""

    watermark_s: Seconds = Field(gt=0)


class Rules(_Section):
    """One version of the stop rules."""

    version: RulesVersion
    gate: GateRules
    rest: RestRules
    leg: LegRules
    time: TimeRules

    def record(self) -> Any:
        """The kernel's view: a ``RULES`` record; seconds become int64 milliseconds."""
        values = np.zeros(1, RULES)
        for section in (self.gate, self.rest, self.leg, self.time):
            for name, value in section:
                if name.endswith("_s"):
                    values[0][name.removesuffix("_s") + "_ms"] = round(value * 1000)
                else:
                    values[0][name] = value
        return values

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the rules as the kernel takes them, without the version's name."""
        return hashlib.sha256(self.record().tobytes()).hexdigest()


@lru_cache(maxsize=8)
def load_rules(path: Path | None = None) -> Rules:
    """Rules from ``path``, or the packaged newest version.

    Raises InputError where the file cannot be read, SettingError naming the first wrong rule.
    """
    source = path or PACKAGED / "v1.toml"
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{source}: cannot read rules ({error})", mend="give a TOML rules file") from None
    try:
        return Rules.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{source}: {where}: {first['msg']}", mend="correct the rule") from None


def is_file(text: str) -> bool:
    """Whether what a person typed for rules is a file's path, and no version's name.

    >>> is_file("my-rules.toml"), is_file("./v2"), is_file("v2")
    (True, True, False)
    """
    return text.endswith(".toml") or "/" in text


def version_named(text: str) -> str:
    """The version of what a person typed: a rules file's own, or a name as it is (features and models of a version can
    be there without its rules).

    Raises what ``load_rules`` raises of a file, InputError for what is no version's name.
    """
    if is_file(text):
        return load_rules(Path(text)).version
    try:
        return _VERSION.validate_python(text)
    except ValidationError:
        raise InputError(f"rules {text!r}: no version's name", mend="give letters, digits, . _ -, or a file") from None


def build_command(version: str) -> str:
    """What to run, in a person's words, for the facts of a version to be built anew."""
    return "run: parked facts build" + ("" if version == FIRST_RULES else f" --rules {version}")


def named_rules(text: str, kept: Callable[[str], Rules | None] = lambda _version: None) -> Rules:
    """Rules by what a person typed: a file's path, or the name of a version that is packaged or ``kept`` has.

    Raises InputError where it is none of these; what ``load_rules`` raises of a file.
    """
    if is_file(text):
        return load_rules(Path(text))
    packaged = {file.stem: file for file in sorted(PACKAGED.glob("*.toml"))}
    found = load_rules(packaged[text]) if text in packaged else kept(text)
    if found is None:
        names = ", ".join(packaged)
        raise InputError(
            f"rules {text}: neither packaged ({names}) nor built here before", mend="give the rules' file (NAME.toml)"
        )
    return found
