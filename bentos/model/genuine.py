"""A model is what was trained under its name: its bytes and its card are those its manifest names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from parked.errors import InternalError
from parked.files import sha256_of
from parked.model_card import ModelCard

MANIFEST_FILE: Final = "manifest.json"
_OUTCOME: Final = ("calibration_slope", "calibration_intercept", "threshold")
"""What a card repeats of a manifest's outcome."""


def require_genuine(model_file: Path, tag: str, card: ModelCard) -> None:
    """Raises InternalError where the file or ``card`` is not what the manifest beside them says of ``tag``.

    A flipped bit in a leaf is a model that CatBoost loads. What has no manifest was not made by ``parked train``, and
    is compared with nothing.
    """
    try:
        text = (model_file.parent / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        return
    try:
        manifest = json.loads(text)
        outcome = manifest["outcome"]
        named = {
            MANIFEST_FILE: manifest["tag"] == tag,
            "card.json": all(outcome[name] == getattr(card, name) for name in _OUTCOME),
            model_file.name: outcome["model_sha256"] == sha256_of(model_file),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise InternalError(f"model {tag}: damaged {MANIFEST_FILE} ({type(error).__name__})") from error
    others = [name for name, same in named.items() if not same]
    if others:
        raise InternalError(f"model {tag}: {' and '.join(others)} is not what was trained under this name")
