"""One look at a window: rows, quality, distances, performance, as an observation to decide on and figures to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from monitoring import drift, performance, quality
from monitoring.context import context_weights, effective_rows
from monitoring.drift import Column, Drift
from monitoring.policy import Policy
from monitoring.quality import FeatureQuality
from monitoring.reference import Reference
from monitoring.report import Finding
from monitoring.statistics import Floats
from monitoring.triggers import Look, Observation, Past, Reading
from monitoring.windows import PREFIX, Question, Served, Window, read_served, read_windows
from parked.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

PROBABILITY: Final = "probability"
PAST_ROWS: Final = 5_000
"""Rows of a past window that are scored: an sd over windows needs no more."""


@dataclass(frozen=True)
class Seen:
    """All that a look found."""

    served: Served
    weights: Floats
    """Of the reference's rows: the served mix of the context."""
    qualities: tuple[FeatureQuality, ...]
    drifts: tuple[Drift, ...]
    observation: Observation
    statistics: dict[str, Any]
    """JSON-ready, kept in ``MonitorRun.statistics``."""
    findings: tuple[Finding, ...]
    """For the report's own table, largest against its limit first."""


def observe(
    settings: Settings,
    engine: Engine,
    reference: Reference,
    window: Window,
    policy: Policy,
    history: Sequence[Past],
    at: datetime,
) -> Seen:
    """Look at ``window``. Pure but for reading the log, the labels and the snapshots; the same input, the same figures.

    Raises InputError where the prediction log is damaged.
    """
    rng = np.random.default_rng(window.bounds_us)
    judged = [n for n in reference.features if n not in policy.window.ignore and n not in policy.window.context]
    slot_us = int(policy.window.once_per_minutes * 60e6)
    question = Question(reference.features, reference.categorical, policy.window.states, reference.model_tag, slot_us)
    served = read_served(settings.predictions_dir, window, question)
    asked, held = reference.frame, reference.held_out()
    weights = context_weights(asked, served.frame, policy.window.context)
    qualities: list[FeatureQuality] = []
    drifts: list[Drift] = []
    predictions: list[Drift] = []
    if served.rows:
        qualities = quality.look(asked, served.frame, judged, reference.categorical, weights)
        past = _quiet_past(settings, window, question, policy, history, reference.model_tag)
        columns = [Column(q.name, PREFIX + q.name, q.categorical) for q in qualities]
        drifts = drift.measure(
            asked, served, past, columns, policy.triggers.feature_drift, policy.window, rng, weights=weights
        )
        if len(held):
            probability = [Column(PROBABILITY, PROBABILITY, False)]
            held_weights = context_weights(held, served.frame, policy.window.context)
            predictions = drift.measure(
                held,
                served,
                past,
                probability,
                policy.triggers.prediction_drift,
                policy.window,
                rng,
                weights=held_weights,
            )
    labels = _labels(engine, window.end)
    performed = _performance(settings, engine, reference, held, window, policy, labels, rng)
    new_labels = _known_after(labels, reference.known_by)
    looks = _looks(served, qualities, drifts, predictions, performed, new_labels, policy)
    observation = Observation(at, window.start, window.end, reference.model_tag, labels.num_rows, looks)
    statistics = {
        "rows": served.rows,
        "devices": served.devices,
        "logged_rows": served.logged,
        "unreadable_rows": served.unreadable,
        "reference_rows": len(asked),
        "reference_effective_rows": round(effective_rows(weights), 1),
        "labels_known": labels.num_rows,
        "labels_new": new_labels,
        "quality": {q.name: q.as_dict() for q in qualities},
        "drift": {d.name: d.as_dict() for d in drifts},
        "prediction_drift": {d.name: d.as_dict() for d in predictions},
        "performance": performed.as_dict()
        if isinstance(performed, performance.Performance)
        else {"missing": performed},
    }
    findings = _findings(qualities, [*drifts, *predictions], reference.categorical)
    return Seen(served, weights, tuple(qualities), tuple(drifts), observation, statistics, findings)


def _quiet_past(
    settings: Settings, window: Window, question: Question, policy: Policy, history: Sequence[Past], model_tag: str
) -> list[Served]:
    """Earlier windows of the same champion and day type in which no drift was raised."""
    # Weekend days are 2 of 7, so 3.5 times as many windows hold enough of either kind.
    back = [w for w in window.before(4 * policy.window.past_windows) if w.weekend == window.weekend]
    loud = [
        past
        for past in history
        if past.model_tag == model_tag
        and any(past.states[n].raised for n in ("feature_drift", "quality") if n in past.states)
    ]
    quiet = [w for w in back if not any(past.start < w.end and w.start < past.end for past in loud)]
    few = replace(question, max_rows=PAST_ROWS)
    return [w for w in read_windows(settings.predictions_dir, quiet, few) if w.rows] if quiet else []


def _looks(
    served: Served,
    qualities: Sequence[FeatureQuality],
    drifts: Sequence[Drift],
    predictions: Sequence[Drift],
    performed: performance.Performance | str,
    new_labels: int,
    policy: Policy,
) -> dict[str, Look]:
    empty = "no rows" if not served.rows else ""
    unreadable = served.unreadable / served.logged if served.logged else 0.0
    quality_readings = quality.readings(qualities, policy.triggers.quality) if served.rows else []
    if served.unreadable:
        quality_readings.append(Reading("unreadable rows", unreadable, policy.triggers.quality.null_rise))
    held_out = empty or "the champion has no held-out rows to compare with"
    looks = {
        "quality": Look(tuple(quality_readings), served.rows, served.devices, empty),
        "feature_drift": Look(tuple(d.reading() for d in drifts), served.rows, served.devices, empty),
        "prediction_drift": Look(
            tuple(d.reading() for d in predictions), served.rows, served.devices, "" if predictions else held_out
        ),
        "volume": Look((Reading("new_labels", float(new_labels), float(policy.triggers.volume.new_labels)),)),
    }
    if isinstance(performed, str):
        looks["decay"] = Look(missing=performed)
    else:
        needed = policy.triggers.decay.min_labels
        enough = performed.rows >= needed
        looks["decay"] = Look(
            tuple(performance.readings(performed, policy.triggers.decay)) if enough else (),
            performed.rows,
            performed.devices,
            "" if enough else f"{performed.rows} matured labels, {needed} needed",
        )
    return looks


def _performance(
    settings: Settings,
    engine: Engine,
    reference: Reference,
    held: pd.DataFrame,
    window: Window,
    policy: Policy,
    labels: pa.Table,
    rng: np.random.Generator,
) -> performance.Performance | str:
    """Figures on matured answers, or why there are none."""
    from parked.errors import UserError
    from parked.opsdb.labels import read_coverage
    from training.snapshots import final_candidates, read_snapshots

    if not labels.num_rows:
        return "no labels"
    matured = window.end - timedelta(hours=policy.triggers.decay.matured_hours)
    span = Window(matured - timedelta(hours=policy.triggers.decay.window_hours), matured)
    context = [n for n in reference.features if n in policy.window.context]
    slot_us = int(policy.window.once_per_minutes * 60e6)
    question = Question(context, [], policy.window.states, reference.model_tag, slot_us)
    served = read_served(settings.predictions_dir, span, question)
    if not served.rows:
        return f"no answers from {span}"
    try:
        candidates = final_candidates(read_snapshots(settings.features_dir, window.end))
    except UserError as error:
        return f"candidates unknown ({error.what})"
    judged = performance.candidate_labels(candidates, labels, read_coverage(engine), reference.label_rules)
    labelled, known = (frame.merge(judged, on="candidate_id") for frame in (served.frame, held))
    if labelled.empty:
        return "no matured labels"
    return performance.measure(labelled, known, context_weights(known, labelled, policy.window.context), rng)


def _labels(engine: Engine, known_by: datetime) -> pa.Table:
    from parked.opsdb.labels import read_labels

    return read_labels(engine, known_by=known_by)


def _known_after(labels: pa.Table, moment: datetime) -> int:
    import pyarrow.compute as pc

    later = pc.sum(pc.greater(labels["known_at"], pa.scalar(moment, labels.schema.field("known_at").type)))
    return int(later.as_py() or 0)


def _findings(
    qualities: Sequence[FeatureQuality], drifts: Sequence[Drift], categorical: Sequence[str]
) -> tuple[Finding, ...]:
    by_name = {d.name: d for d in drifts}
    remarks = {q.name: q.remarks() for q in qualities}
    names = [*remarks, *(name for name in by_name if name not in remarks)]
    found = []
    for name in names:
        one = by_name.get(name)
        found.append(
            Finding(
                name,
                name in set(categorical),
                one.distance if one else None,
                one.reached_at if one else None,
                "not judged" if one is None else "drift" if one.over else "quiet",
                tuple(remarks.get(name, ())),
                missing_counts=name != PROBABILITY,
            )
        )
    return tuple(sorted(found, key=lambda f: -(f.distance or 0) / (f.limit or 1)))


def report_frames(seen: Seen, reference: Reference) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two frames of a report: a column per finding, named as people call it."""
    keys = {PROBABILITY if f.name == PROBABILITY else PREFIX + f.name: f.name for f in seen.findings}
    return tuple(frame[list(keys)].rename(columns=keys) for frame in (reference.frame, seen.served.frame))  # type: ignore[return-value]
