"""The training set: decision moments × point-in-time features × labels, in one canonical order."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from parked.clock import to_us
from parked.errors import InputError, InternalError, SettingError
from training import split
from training.config import TrainingConfig
from training.labelling import attach, with_motion
from training.outliers import OutlierRules, find_outliers
from training.ports import Floats, Progress, Sources, silent
from training.questions import questions_for
from training.snapshots import decision_moments, final_candidates, read_snapshots

KEYS: Final = ("device_id", "candidate_id", "cell", "left_at_us", "decided_at_us")
ORDER: Final = ["device_id", "left_at_us", "candidate_id", "decided_at_us"]
_LEAST_SHARE: Final = 0.05
"""A negative never stands for more than twenty: beyond that its weight is noise."""
JUDGED: Final = ("label", "label_source", "label_weight", "weight", "split")


@dataclass(frozen=True)
class Dataset:
    """What a fit and its evaluation rest on. All frames are in canonical order: row order changes CatBoost."""

    rows: pd.DataFrame
    """KEYS + JUDGED + features. ``weight`` is the label's weight times ``asking_weight``."""
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
    matured_us = to_us(as_of) - int(config.labels.matured_h * 3.6e9)
    labelled, label_counts = attach(candidates, labels, coverage, config.labels, matured_us)
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
    moments, thinned = thin(moments, config)
    purged = int((moments["split"] == split.PURGED).sum())
    moments = moments[moments["split"] != split.PURGED].sort_values(ORDER, kind="stable", ignore_index=True)
    questions = questions_for(snapshots, candidates, labelled, cut_us, config)
    rows, asked, features = _with_features(moments, questions, sources, config)
    progress()
    categorical = _categorical(rows, features, config)
    rows, asked = typed(rows, features, categorical), typed(asked, features, categorical)
    rows, outlier_counts, dropped = _clean(rows, outliers, outliers_file)
    rows["weight"] = rows["label_weight"].to_numpy() * asking_weight(rows["stood_s"].to_numpy(), config.stood_most_s)
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


def asking_weight(stood_s: Floats, most_s: float) -> Floats:
    """How much a row counts for how long its knowledge stood: sqrt(min(stood, most) / 1 min), shape (n,).

    People ask of a car that stands for hours, hardly ever of a red light's half minute; by plain time the few long
    stays would drown all early judgments, by plain count the lights would drown the stays. The root lies between.
    """
    return np.asarray(np.sqrt(np.clip(stood_s, 1.0, most_s) / 60.0))


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


def thin(moments: pd.DataFrame, config: TrainingConfig) -> tuple[pd.DataFrame, float]:
    """At most about ``most_rows`` rows: some negative candidates, drawn by hash, weigh for those left out.

    Most candidates are red lights that stood for seconds; every parking is kept, and a negative is kept with a
    probability in proportion to how much it weighs (all of the long-standing ones: bus stops, lifts), then weighs by
    the inverse: base rate and calibration stay right (Horvitz, Thompson 1952) at the least variance. Returns the rows
    and the share of negative candidates kept.
    """
    negative = moments[moments["label"] == 0]
    room = config.most_rows - (len(moments) - len(negative))
    if len(negative) <= room:
        return moments, 1.0
    weights = pd.Series(asking_weight(negative["stood_s"].to_numpy(), config.stood_most_s), index=negative.index)
    groups = negative["candidate_id"]
    candidates = pd.DataFrame({"weight": weights.groupby(groups).sum(), "rows": groups.value_counts()})
    low, high = 0.0, 1.0 / candidates["weight"].min()
    for _ in range(50):
        middle = (low + high) / 2
        expected = (_kept_share(candidates["weight"], middle) * candidates["rows"]).sum()
        low, high = (middle, high) if expected <= room else (low, middle)
    share = _kept_share(candidates["weight"], low)
    drawn = pd.Series([split.device_share(str(name), "thin") for name in candidates.index], index=candidates.index)
    share = share[drawn < share]
    stays = (moments["label"] != 0) | moments["candidate_id"].isin(share.index)
    moments = moments[stays].copy()
    moments["label_weight"] /= moments["candidate_id"].map(share).fillna(1.0)
    return moments, len(share) / len(candidates)


def _kept_share(weight: pd.Series, scale: float) -> pd.Series:
    return (weight * scale).clip(lower=_LEAST_SHARE, upper=1.0)


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
