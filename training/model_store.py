"""Models in BentoML's model store: ``model.cbm``, ``card.json`` and ``manifest.json`` under a tag ``name:version``."""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from parked.errors import InternalError, NotFoundError
from parked.files import sha256_of, write_text
from parked.model_card import ModelCard
from parked.settings import Settings
from training.fit import Fit
from training.manifest import Manifest

MODEL_FILE: Final = "model.cbm"
CARD_FILE: Final = "card.json"
MANIFEST_FILE: Final = "manifest.json"


@dataclass(frozen=True)
class StoredModel:
    """A model as loaded from the store."""

    tag: str
    path: Path
    fit: Fit
    card: ModelCard
    manifest: Manifest


def _store(settings: Settings) -> Any:
    """BentoML's store in our home. Named explicitly: BENTOML_HOME is read once per process, at the first use."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")  # it would post usage to the vendor
    os.environ.setdefault("BENTOML_HOME", str(settings.bentoml_home))
    from bentoml._internal.models import ModelStore

    folder = settings.bentoml_home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return ModelStore(folder)


def model_dir(settings: Settings, tag: str) -> Path:
    """Where the store keeps ``tag``. Raises NotFoundError where it does not, or where this is no ``name:version``."""
    name, _, version = tag.partition(":")
    folder = settings.bentoml_home / "models" / name / version
    odd = not name or not version or version == "latest" or "/" in tag or ".." in tag
    if odd or not (folder / CARD_FILE).is_file():
        raise NotFoundError(f"model {tag!r}: not in the model store", mend="see `parked models`")
    return folder


def save_model(settings: Settings, fitted: Fit, card: ModelCard, manifest: Manifest) -> Path:
    """Put a model into the store; answers its folder. A model already there under the tag is kept if it is the same.

    Raises InternalError where the tag holds another model: the recipe left something out. A folder that a crash left
    incomplete is replaced.
    """
    import bentoml

    store = _store(settings)
    name, _, version = manifest.tag.partition(":")
    folder = settings.bentoml_home / "models" / name / version
    if folder.is_dir():
        if all((folder / file).is_file() for file in (MODEL_FILE, CARD_FILE, MANIFEST_FILE, "model.yaml")):
            if sha256_of(folder / MODEL_FILE) != manifest.outcome.model_sha256:
                raise InternalError(f"{folder}: holds another model than this fit of the same recipe")
            return folder
        shutil.rmtree(folder)
    labels = {"rules_version": card.rules_version, "feature_service": card.feature_service}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of BentoML's own libraries; not the user's to mend
        with bentoml.models.create(manifest.tag, labels=labels, _model_store=store) as created:
            target = Path(created.path)
            fitted.save(target / MODEL_FILE)
            write_text(target / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
            write_text(target / CARD_FILE, card.model_dump_json(indent=2) + "\n")
    return folder


def load_model(settings: Settings, tag: str) -> StoredModel:
    """Load and check a model: it opens, its features are its card's, its bytes its manifest's.

    Raises NotFoundError (no such model) and InternalError (damaged).
    """
    from catboost import CatBoostClassifier, CatBoostError

    folder = model_dir(settings, tag)
    try:
        card = ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
        manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
        model = CatBoostClassifier()
        model.load_model(str(folder / MODEL_FILE))
    except (OSError, ValidationError, CatBoostError) as error:
        raise InternalError(f"{folder}: damaged model ({type(error).__name__})") from error
    indices = [card.features.index(name) for name in card.categorical if name in card.features]
    if list(model.feature_names_) != card.features or sorted(model.get_cat_feature_indices()) != sorted(indices):
        raise InternalError(f"{folder}: the model's features are not those of its card")
    if (
        card.manifest_sha256 != manifest.recipe.sha256()
        or sha256_of(folder / MODEL_FILE) != manifest.outcome.model_sha256
    ):
        raise InternalError(f"{folder}: the model is not the one its manifest names")
    fitted = Fit(
        model,
        tuple(card.features),
        tuple(card.categorical),
        card.calibration_slope,
        card.calibration_intercept,
        card.threshold,
    )
    return StoredModel(tag, folder, fitted, card, manifest)
