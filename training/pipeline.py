"""The door to training: train a candidate, fit one again, evaluate one. For the CLI and the loop.

What becomes of a candidate is ``training.challenge``'s.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from parked.clock import Clock
from parked.errors import ConflictError, NotFoundError
from parked.files import sha256_of, write_text
from parked.model_card import ModelCard
from parked.settings import Settings
from training import registry, split
from training.config import DEFAULT_CONFIG, TrainingConfig, load_config, outliers_path
from training.dataset import Dataset, build_dataset
from training.evaluate import Evaluation, evaluate
from training.fit import Fit, fit, prediction_hash
from training.manifest import (
    Manifest,
    Outcome,
    Recipe,
    code_version,
    digest,
    library_versions,
    read_manifest,
    read_rows,
    write_manifest,
    write_rows,
)
from training.model_store import load_model, save_model
from training.outliers import OutlierRules, load_outliers
from training.ports import Progress, Sources, silent
from training.snapshots import snapshot_files

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True)
class TrainedModel:
    """What a training run leaves: a registered candidate in the model store."""

    tag: str
    card: ModelCard
    manifest_path: Path
    evaluation: Evaluation
    evaluation_path: Path


def open_registry(settings: Settings) -> Engine:
    """The operations database, where models are registered. Raises NotFoundError, and makes nothing, where none is."""
    from sqlalchemy.engine import make_url

    from parked.opsdb.engine import open_database

    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        raise NotFoundError("no model is registered", mend="run `parked train` first")
    return open_database(settings.database)


def check_inputs(settings: Settings, config: Path | None, from_manifest: Path | None) -> None:
    """Raise, before anything is made, what a faulty or missing training file, outlier file, manifest or a home without
    snapshots would raise later."""
    if from_manifest is not None:
        read_manifest(from_manifest)
        return
    config_file = config or DEFAULT_CONFIG
    load_outliers(outliers_path(config_file, load_config(config_file)))
    snapshot_files(settings.features_dir)


def real_sources(settings: Settings, engine: Engine) -> Sources:
    """Feast's offline store and the labels of the operations database."""
    from parked.opsdb.labels import read_coverage, read_labels

    def retrieve(entities: pd.DataFrame, service: str) -> pd.DataFrame:
        with warnings.catch_warnings():  # feast turns deprecations of its own libraries on; not the user's to mend
            from feature_repo.retrieve import historical_features
            from feature_repo.store import open_store

            store = open_store(settings)
            warnings.simplefilter("ignore", DeprecationWarning)
            return historical_features(store, entities, service)

    return Sources(retrieve, lambda moment: read_labels(engine, known_by=moment), lambda: read_coverage(engine))


def train_candidate(
    settings: Settings,
    engine: Engine,
    clock: Clock,
    progress: Progress = silent,
    config: Path | None = None,
    as_of: datetime | None = None,
    *,
    name: str | None = None,
    who: str = "train",
    sources: Sources | None = None,
) -> TrainedModel:
    """Train, evaluate and register a candidate from what was known at ``as_of`` (default: now) by the rules in use.

    ``config``: a training file (default: the packaged one). Raises UserError for faulty files, missing snapshots (or
    of other rules) or labels; then nothing changed. The same snapshots, labels, files and ``as_of`` give the same tag.
    """
    config_file = config or DEFAULT_CONFIG
    rules = load_config(config_file)
    if name is not None:
        rules = with_name(rules, name)
    outliers_file = outliers_path(config_file, rules)
    outliers = load_outliers(outliers_file)
    now = clock()
    progress(0, total=5)
    known = as_of or now
    sources = sources or real_sources(settings, engine)
    data = build_dataset(settings.features_dir, sources, rules, outliers, outliers_file, known, progress)
    if data.rules_version != settings.rules:
        raise ConflictError(
            f"{settings.features_dir}: snapshots of rules {data.rules_version}, and rules {settings.rules} are in use",
            mend="build the features again",
        )
    recipe = _recipe(settings, data, rules, outliers, outliers_file, known)
    fitted = fit(data.rows, data.features, data.categorical, rules, progress)
    evaluation = assess(recipe.tag(), fitted, data.rows, data.questions, rules)
    progress()
    manifest = Manifest(tag=recipe.tag(), trained_at=now, recipe=recipe, outcome=outcome_of(fitted, data.rows))
    path, report = _keep(settings, engine, clock, fitted, manifest, evaluation, who)
    progress()
    stored = load_model(settings, manifest.tag)
    return TrainedModel(manifest.tag, stored.card, path, evaluation, report)


def refit(
    settings: Settings,
    engine: Engine,
    clock: Clock,
    manifest_file: Path,
    progress: Progress = silent,
    who: str = "train",
) -> TrainedModel:
    """Fit again from a manifest and verify that the very same model comes out; put it back where it was lost.

    Raises NotFoundError (manifest or rows gone), InputError (altered) and ConflictError (another model came out; the
    line names the libraries that differ).
    """
    manifest = read_manifest(manifest_file)
    recipe = manifest.recipe
    progress(0, total=4)
    rows = read_rows(manifest_file.parent, recipe.rows)
    questions = read_rows(manifest_file.parent, recipe.questions)
    progress()
    fitted = fit(rows, tuple(recipe.features), tuple(recipe.categorical), recipe.config, progress)
    found = outcome_of(fitted, rows)
    if found != manifest.outcome:
        now_used = library_versions()
        differ = [
            f"{lib} {old} -> {now_used.get(lib)}" for lib, old in recipe.libraries.items() if now_used.get(lib) != old
        ]
        why = f"libraries differ: {', '.join(differ)}" if differ else "with the same libraries"
        raise ConflictError(
            f"{manifest_file}: the refit is another model ({why})", mend="install what the manifest names"
        )
    evaluation = assess(manifest.tag, fitted, rows, questions, recipe.config)
    progress()
    path, report = _keep(settings, engine, clock, fitted, manifest, evaluation, who)
    progress()
    return TrainedModel(manifest.tag, load_model(settings, manifest.tag).card, path, evaluation, report)


def evaluate_model(settings: Settings, engine: Engine, tag: str | None = None) -> tuple[Evaluation, Path]:
    """Measure a registered model (default: the champion of the rules in use, else their newest) on its own held-out
    rows; writes the report.

    Raises NotFoundError.
    """
    chosen = registry.resolve(engine, tag or registry.champion(engine, settings.rules) or "latest", settings.rules)
    stored = load_model(settings, chosen)
    recipe = stored.manifest.recipe
    rows = read_rows(settings.manifests_dir, recipe.rows)
    questions = read_rows(settings.manifests_dir, recipe.questions)
    evaluation = assess(chosen, stored.fit, rows, questions, recipe.config)
    return evaluation, _write_report(settings, evaluation)


def assess(tag: str, fitted: Fit, rows: pd.DataFrame, questions: pd.DataFrame, config: TrainingConfig) -> Evaluation:
    """Score and measure; fitted rows are not even scored."""
    held = rows[rows["split"].isin(split.HELD_OUT)].reset_index(drop=True)
    asked = fitted.score(questions) if len(questions) else np.empty(0)
    return evaluate(tag, held, fitted.score(held), questions, asked, fitted.threshold, config)


def outcome_of(fitted: Fit, rows: pd.DataFrame) -> Outcome:
    """Hashes of the model and of its margins on all rows, and its calibration."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.cbm"
        fitted.save(file)
        model_sha256 = sha256_of(file)
    return Outcome(
        model_sha256=model_sha256,
        predictions_sha256=prediction_hash(fitted.margins(rows)),
        calibration_slope=fitted.slope,
        calibration_intercept=fitted.intercept,
        threshold=fitted.threshold,
    )


def with_name(config: TrainingConfig, name: str) -> TrainingConfig:
    """The same training file under another model name. Raises SettingError for an impossible name."""
    from pydantic import ValidationError

    from parked.errors import SettingError

    try:
        return TrainingConfig.model_validate({**config.model_dump(), "name": name})
    except ValidationError:
        raise SettingError(f"model name {name!r}", mend="use lower case letters, digits, '-', '_' and '.'") from None


def _recipe(
    settings: Settings,
    data: Dataset,
    config: TrainingConfig,
    outliers: OutlierRules,
    outliers_file: Path,
    as_of: datetime,
) -> Recipe:
    return Recipe(
        name=config.name,
        feature_service=config.feature_service,
        rules_version=data.rules_version,
        as_of=as_of,
        cut_us=data.cut_us,
        rows=write_rows(settings.manifests_dir, "rows", data.rows),
        questions=write_rows(settings.manifests_dir, "questions", data.questions),
        features=list(data.features),
        categorical=list(data.categorical),
        counts=data.counts,
        config=config,
        config_sha256=digest(config.model_dump(mode="json")),
        outliers=outliers,
        outliers_sha256=sha256_of(outliers_file),
        code=code_version(),
        libraries=library_versions(),
    )


def _keep(
    settings: Settings, engine: Engine, clock: Clock, fitted: Fit, manifest: Manifest, evaluation: Evaluation, who: str
) -> tuple[Path, Path]:
    """Store, manifest, report, registry: in that order, so that what is registered is complete."""
    recipe = manifest.recipe
    card = ModelCard(
        name=recipe.name,
        feature_service=recipe.feature_service,
        features=recipe.features,
        categorical=recipe.categorical,
        calibration_slope=fitted.slope,
        calibration_intercept=fitted.intercept,
        threshold=fitted.threshold,
        rules_version=recipe.rules_version,
        trained_at=manifest.trained_at,
        manifest_sha256=recipe.sha256(),
        metrics=evaluation.figures(),
    )
    save_model(settings, fitted, card, manifest)
    path = write_manifest(settings.manifests_dir, manifest)
    report = _write_report(settings, evaluation)
    registry.register(engine, settings, manifest.tag, card, path, clock, who)
    return path, report


def _write_report(settings: Settings, evaluation: Evaluation) -> Path:
    path = settings.reports_dir / f"evaluation-{evaluation.model.replace(':', '-')}.json"
    write_text(path, evaluation.model_dump_json(indent=2) + "\n")
    return path
