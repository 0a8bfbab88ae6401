"""The training set: decision moments × point-in-time features × labels, in one canonical order."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from parked.errors import InputError, InternalError, SettingError
from training import split
from training.config import TrainingConfig
from training.labelling import attach, with_motion
from training.outliers import OutlierRules, find_outliers
from training.ports import Progress, Sources, silent
from training.questions import questions_for
from training.snapshots import decision_moments, final_candidates, read_snapshots

KEYS: Final = ("device_id", "candidate_id", "cell", "left_at_us", "decided_at_us")
ORDER: Final = ["device_id", "left_at_us", "candidate_id", "decided_at_us"]
_LEAST_NEGATIVES: Final = 0.05
"""A negative never stands for more than twenty: beyond that its weight is noise."""
JUDGED: Final = ("label", "label_source", "label_weight", "weight", "split")


@dataclass(frozen=True)
class Dataset:
    """What a fit and its evaluation rest on. All frames are in canonical order: row order changes CatBoost."""

    rows: pd.DataFrame
    """KEYS + JUDGED + features. ``weight`` sums, over the rows of a candidate that were kept, to its label weight."""
    questions: pd.DataFrame
    """Held-out questions (``training.questions``) + features, for the answer-level metric."""
    features: tuple[str, ...]
    categorical: tuple[str, ...]
    cut_us: int
    """Candidates left from here on are held out (µs)."""
    rules_version: str
    counts: dict[str, Any]


def build_dataset(
    features_dir: Path,
    sources: Sources,
    config: TrainingConfig,
    outliers: OutlierRules,
    outliers_file: Path,
    as_of: datetime,
    progress: Progress = silent,
) -> Dataset:
    """Everything known at ``as_of``, labelled, split, cleaned and weighted.

    Raises NotFoundError (no snapshots), InputError (no labels, or a single class to learn from) and SettingError (the
    training or outlier file names a column that is not there).
    """
    snapshots = read_snapshots(features_dir, as_of)
    candidates = final_candidates(snapshots)
    coverage = sources.coverage()
    labels = with_motion(sources.labels(as_of), coverage, candidates, config.labels)
    labels = labels.filter(_known(labels, as_of))
    labelled, label_counts = attach(candidates, labels, coverage, config.labels)
    progress()
    if labelled.empty:
        raise InputError(
            f"no label attaches to any of {len(candidates)} candidates known at {as_of.isoformat()}",
            mend="import labels, or set labels.motion_rule in the training file",
        )
    cut_us = split.later_cut(labelled["left_at_us"], config.split)
    moments = decision_moments(snapshots, config.decision_ages_s, config.most_snapshots, as_of)
    judgment = labelled[["candidate_id", "left_at_us", "label", "label_source", "label_weight"]]
    moments = moments.drop(columns="left_at_us").merge(judgment, on="candidate_id")
    moments["split"] = split.assign(moments, cut_us, config.split)
    moments, thinned = _thin(moments, config)
    purged = int((moments["split"] == split.PURGED).sum())
    moments = moments[moments["split"] != split.PURGED].sort_values(ORDER, kind="stable", ignore_index=True)
    questions = questions_for(snapshots, candidates, labelled, cut_us, config)
    rows, asked, features = _with_features(moments, questions, sources, config)
    progress()
    categorical = _categorical(rows, features, config)
    rows, asked = typed(rows, features, categorical), typed(asked, features, categorical)
    rows, outlier_counts, dropped = _clean(rows, outliers, outliers_file)
    share = rows.groupby("candidate_id")["decided_at_us"].transform("size")
    rows["weight"] = rows["label_weight"].to_numpy() / share.to_numpy(dtype=np.float64)
    rows = rows[[*KEYS, *JUDGED, *features]]
    _must_teach(rows)
    counts: dict[str, Any] = {
        "snapshots": len(snapshots),
        "labels": asdict(label_counts),
        "rows": {part: int(n) for part, n in sorted(rows["split"].value_counts().items())},
        "candidates": {str(part): int(n) for part, n in rows.groupby("split")["candidate_id"].nunique().items()},
        "devices": {str(part): int(n) for part, n in rows.groupby("split")["device_id"].nunique().items()},
        "purged_rows": purged,
        "negatives_kept": thinned,
        "outliers": outlier_counts,
        "outlier_rows": dropped,
        "questions": int(asked["question_id"].nunique()) if len(asked) else 0,
    }
    return Dataset(rows, asked, features, categorical, cut_us, _rules_version(snapshots), counts)


def _known(labels: Any, as_of: datetime) -> Any:
    """Labels that had reached us by ``as_of``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.less_equal(labels["known_at"], pa.scalar(as_of, labels.schema.field("known_at").type))


def _with_features(
    moments: pd.DataFrame, questions: pd.DataFrame, sources: Sources, config: TrainingConfig
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Rows and questions with their features (one retrieval for both), and the features' names, sorted."""
    keys = ["device_id", "candidate_id", "cell", "decided_at_us"]
    asked = [moments[keys], questions[keys]] if len(questions) else [moments[keys]]
    wanted = pd.concat(asked).drop_duplicates(["candidate_id", "decided_at_us"])
    found = retrieve_features(wanted, sources, config.feature_service)
    names = tuple(sorted(set(found.columns) - set(keys) - set(config.exclude)))
    if unknown := sorted(set(config.exclude) - set(found.columns)):
        raise SettingError(f"training file: exclude names {unknown[0]!r}, which {config.feature_service} does not have")
    on = ["candidate_id", "decided_at_us"]
    found = found[[*on, *names]]
    rows = moments.merge(found, on=on, validate="one_to_one").sort_values(ORDER, kind="stable", ignore_index=True)
    if not len(questions):
        return rows, questions.reindex(columns=[*questions.columns, *names]), names
    questions = questions.merge(found, on=on).sort_values(["question_id", "rank"], kind="stable", ignore_index=True)
    return rows, questions, names


def retrieve_features(wanted: pd.DataFrame, sources: Sources, service: str) -> pd.DataFrame:
    """Point-in-time features, one row per row of ``wanted`` (columns device_id, candidate_id, cell, decided_at_us).

    Raises InternalError where the store answers with other rows than asked.
    """
    entities = wanted[["device_id", "candidate_id", "cell"]].copy()
    entities["event_timestamp"] = pd.to_datetime(wanted["decided_at_us"], unit="us", utc=True)
    entities["asked_at_us"] = wanted["decided_at_us"].astype("int64")
    found = sources.retrieve(entities.reset_index(drop=True), service)
    if len(found) != len(wanted):
        raise InternalError(f"feature service {service}: asked for {len(wanted)} rows, got {len(found)}")
    return found.drop(columns="event_timestamp").rename(columns={"asked_at_us": "decided_at_us"})


def _categorical(rows: pd.DataFrame, features: tuple[str, ...], config: TrainingConfig) -> tuple[str, ...]:
    if unknown := [name for name in config.categorical if name not in features]:
        raise SettingError(
            f"training file: categorical names {unknown[0]!r}, which {config.feature_service} does not have",
            mend="correct the name, or add the feature to the service",
        )
    for name in features:
        text = pd.api.types.infer_dtype(rows[name], skipna=True) in ("string", "mixed")
        if text and name not in config.categorical:
            raise SettingError(
                f"feature {name} of {config.feature_service} holds text",
                mend="list it under categorical, or exclude it",
            )
    return tuple(name for name in features if name in config.categorical)


def typed(rows: pd.DataFrame, features: tuple[str, ...], categorical: tuple[str, ...]) -> pd.DataFrame:
    """Categorical features as strings (missing: ""), all others as float64 (missing: NaN)."""
    values = {
        name: rows[name].astype(object).where(rows[name].notna(), "").astype(str)
        if name in categorical
        else pd.to_numeric(rows[name]).astype("float64")
        for name in features
    }
    return rows.assign(**values)


def _thin(moments: pd.DataFrame, config: TrainingConfig) -> tuple[pd.DataFrame, float]:
    """At most about ``most_rows`` rows: a share of the negative candidates, by hash, weighing for those left out.

    Most candidates are red lights, seen again and again; every parking is kept. Weighing by the inverse share keeps
    base rate and calibration right (Horvitz, Thompson 1952). Returns the rows and the share of negatives kept.
    """
    negative = (moments["label"] == 0).to_numpy()
    room = config.most_rows - int((~negative).sum())
    share = min(1.0, max(_LEAST_NEGATIVES, room / max(1, int(negative.sum()))))
    if share == 1.0:
        return moments, 1.0
    ids = moments.loc[negative, "candidate_id"].unique()
    kept = {name for name in ids if split.device_share(str(name), "thin") < share}
    moments = moments[~negative | moments["candidate_id"].isin(kept).to_numpy()].copy()
    moments.loc[moments["label"] == 0, "label_weight"] /= share
    return moments, share


def _clean(rows: pd.DataFrame, outliers: OutlierRules, file: Path) -> tuple[pd.DataFrame, dict[str, int], int]:
    """Fitted rows without outliers; held-out rows as they are."""
    fitted = rows["split"].isin(split.FITTED).to_numpy()
    drop, counts = find_outliers(outliers, rows[fitted], file)
    gone = np.zeros(len(rows), dtype=np.bool_)
    gone[np.flatnonzero(fitted)[drop]] = True
    return rows[~gone].reset_index(drop=True), counts, int(gone.sum())


def _must_teach(rows: pd.DataFrame) -> None:
    train = rows[rows["split"] == split.TRAIN]
    if train["label"].nunique() < 2:
        seen = "no rows" if train.empty else f"only label {train['label'].iloc[0]}"
        raise InputError(f"training has {seen} to learn from", mend="more devices, more time, or labels of both kinds")


def _rules_version(snapshots: pd.DataFrame) -> str:
    """The rules the facts came from; ``built_by`` is "<rules version>/<declarations version>"."""
    versions = sorted({str(made).rpartition("/")[0] or str(made) for made in snapshots["built_by"].dropna().unique()})
    if len(versions) > 1:
        raise InputError(
            f"candidate snapshots of several rules versions: {', '.join(versions)}", mend="build the features of one"
        )
    return versions[0] if versions else "unknown"
