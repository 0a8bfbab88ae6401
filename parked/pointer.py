"""The published pointer: one small file that says which model is champion, for each rules version one.

Publishing writes a new one (temporary name, fsync, ``os.replace``); every server polls it. A generation
only grows, so "newer" is a comparison of integers; a rollback is a new generation that names an old model.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from parked.errors import ConflictError, InternalError
from parked.files import write_text
from parked.settings import Settings


class Pointer(BaseModel):
    """What is published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generation: int
    """Grows by one with every publish or rollback; starts at 1."""
    model_tag: str
    """BentoML model tag, ``name:version``, never ``latest``."""
    rules_version: str
    feature_service: str
    published_at: datetime


def read_pointer(path: Path) -> Pointer | None:
    """The pointer, or None where nothing was published yet.

    Raises InternalError where the file is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return Pointer.model_validate_json(text)
    except ValidationError as error:
        raise InternalError(f"{path}: damaged published pointer ({error.error_count()} faults)") from error


def published(settings: Settings, seed: Pointer | None = None) -> Pointer | None:
    """What is published for the rules in use; ``seed`` where nothing is.

    Raises InternalError where the file is damaged, ConflictError for a model of other rules.
    """
    pointer = read_pointer(settings.pointer_file) or seed
    if pointer is not None and pointer.rules_version != settings.rules:
        raise ConflictError(
            f"model {pointer.model_tag} was trained on facts of rules {pointer.rules_version!r}, "
            f"and rules {settings.rules!r} are in use",
            mend=f"say --rules {pointer.rules_version} (PARKED_RULES), or publish a model of {settings.rules}",
        )
    return pointer


def write_pointer(path: Path, pointer: Pointer) -> None:
    """Publish: replace the pointer atomically."""
    write_text(path, pointer.model_dump_json(indent=2) + "\n")
