"""A challenger before the gate: compared with the champion, and published or rejected. For the CLI and the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from parked.clock import Clock
from parked.errors import ConflictError, InternalError
from parked.files import write_text
from parked.settings import Settings
from training import pipeline, publishing, registry
from training.dataset import retrieve_features, typed
from training.gate import GateDecision, gate
from training.heldout import evidence, held_out_of_both, recent
from training.manifest import read_rows
from training.model_store import StoredModel, load_model
from training.ports import Floats, Sources

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True)
class PublishOutcome:
    """What became of a model at the gate."""

    tag: str
    published: bool
    generation: int | None
    previous: str | None
    """the champion it was compared with"""
    decision: GateDecision
    undone: str | None = None
    """why the running servers' refusal took the publish back"""
    workers: int = 0
    """running ones that answer with it"""


def judge(
    settings: Settings, engine: Engine, tag: str, sources: Sources | None = None
) -> tuple[GateDecision, str | None]:
    """What the gate says of a challenger against the present champion of the rules in use, and its tag.
    Changes nothing.

    Both are scored on the challenger's held-out rows that the champion was not fitted on either
    (``training.heldout``), with each one's own calibration and threshold.
    """
    challenger = load_model(settings, registry.publishable(engine, tag, settings.rules))
    rival = registry.champion(engine, settings.rules)
    if rival == challenger.tag:
        raise ConflictError(f"model {challenger.tag} is already champion", mend="nothing to do")
    champion = load_model(settings, rival) if rival else None
    recipe = challenger.manifest.recipe
    rows = read_rows(settings.manifests_dir, recipe.rows)
    rows = rows[held_out_of_both(rows, champion.manifest if champion else None)].reset_index(drop=True)
    policy = recipe.config.gate
    decision = gate(
        challenger.fit.score(rows),
        _champion_scores(settings, engine, champion, rows, sources) if champion else None,
        rows["label"].to_numpy(dtype=np.int64),
        rows["weight"].to_numpy(dtype=np.float64),
        pd.factorize(rows["device_id"])[0].astype(np.int64),
        policy,
        recipe.config.seed,
        thresholds=(challenger.fit.threshold, champion.fit.threshold if champion else 1.0),
        cost=recipe.config.cost,
        evidence=evidence(rows),
        recent=recent(rows, policy.recent_days),
    )
    return decision, rival


def decide_and_publish(
    settings: Settings, engine: Engine, clock: Clock, tag: str, who: str, why: str, *, sources: Sources | None = None
) -> PublishOutcome:
    """Run the gate; publish the model if it says so, else mark it rejected with the gate's reasons.

    A publish that the running servers do not take up is taken back (``undone`` says why), and the model rejected.

    Raises NotFoundError (no such model) and ConflictError (already champion, or of other rules).
    """
    tag = registry.publishable(engine, tag, settings.rules)
    decision, rival = judge(settings, engine, tag, sources)
    write_text(settings.reports_dir / f"gate-{tag.replace(':', '-')}.json", decision.model_dump_json(indent=2) + "\n")
    said = "; ".join(decision.reasons)
    if decision.publish:
        done = publishing.publish(settings, engine, tag, who, f"{why}; gate: {said}", clock)
        if done.undone:
            return PublishOutcome(tag, False, None, rival, decision, done.undone, done.workers)
        return PublishOutcome(tag, True, done.generation, rival, decision, None, done.workers)
    if registry.REJECTED in registry.MOVES[registry.show(engine, tag).state]:
        registry.move(engine, tag, registry.REJECTED, who, f"gate: {said}", clock)
    return PublishOutcome(tag, False, None, rival, decision)


def _champion_scores(
    settings: Settings, engine: Engine, champion: StoredModel, rows: pd.DataFrame, sources: Sources | None
) -> Floats:
    """The champion's probabilities of the challenger's rows, from its own features (fetched where they lack them)."""
    card = champion.card
    if set(card.features) <= set(rows.columns):
        return champion.fit.score(rows)
    sources = sources or pipeline.real_sources(settings, engine)
    keys = ["device_id", "candidate_id", "cell", "decided_at_us"]
    found = retrieve_features(rows[keys], sources, card.feature_service)
    fetched = rows[keys].merge(
        found, on=["candidate_id", "decided_at_us"], suffixes=("", "_again"), validate="one_to_one"
    )
    if missing := sorted(set(card.features) - set(fetched.columns)):
        raise InternalError(
            f"feature service {card.feature_service} no longer has {missing[0]}, which {champion.tag} eats"
        )
    return champion.fit.score(typed(fetched, tuple(card.features), tuple(card.categorical)))
