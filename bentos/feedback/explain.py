"""Why was this answered? SHAP values in words, from the log's own features, by the very model that answered.

SHAP: Lundberg et al. 2018 (TreeSHAP), as CatBoost computes it: per feature what it added to the raw margin; with the
expected margin they sum to it exactly. Calibration is linear in the margin, so scaled by its slope they sum to the
log-odds of the calibrated probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import structlog
from pydantic_core import to_json

from bentos.log.logged import AnswerLog, LoggedCandidate
from bentos.messages import ModelRef
from bentos.messages_explain import ExplainAnswer, ExplainRequest
from bentos.model.scorer import Scorer
from bentos.ports import UnknownAnswerError
from feature_repo.declare import DECLARED, declared
from parked.errors import InternalError, NotFoundError
from parked.tokens import Grant

log = structlog.get_logger(__name__)

MODELS: Final = 4
"""Models kept loaded for explaining; a past answer may be of one that is no longer champion."""

AT_MOST: Final = 100
"""Candidates explained in one answer. A batch may have weighed three thousand: with all their reasons in words that
would be 50 MB, at a second's work, which beside full load is more than a request may take."""

SMALL: Final = 1e-9
"""Log-odds below this did nothing."""

SUM_TOLERANCE: Final = 1e-6
"""Log-odds by which SHAP values may miss the margin: floating-point sums of a few hundred trees."""

_ASKED: Final = {
    "age_s": "Time since the vehicle was left, seconds",
    "rest_so_far_s": "How long the stop that followed lasted, or lasts at the moment asked, seconds",
    "since_last_stay_s": "Time since the last stop at this place that had ended, seconds",
    "left_hour_sin": "Time of day by the sun when the vehicle was left (sine on a circle of 24 hours)",
    "left_hour_cos": "Time of day by the sun when the vehicle was left (cosine on a circle of 24 hours)",
    "asked_hour_sin": "Time of day by the sun at the moment asked (sine on a circle of 24 hours)",
    "asked_hour_cos": "Time of day by the sun at the moment asked (cosine on a circle of 24 hours)",
}
"""What the on-demand features mean; the others say so where they are declared."""


class Explainer:
    """Explains past answers. Blocks for tens of milliseconds: on a thread of its own."""

    def __init__(self, answers: AnswerLog, load: Callable[[str], Scorer]) -> None:
        """``load``: model tag → scorer; raises NotFoundError where the store no longer has it, InternalError where what
        it has is damaged."""
        self._answers = answers
        self._load = lru_cache(maxsize=MODELS)(load)

    def explain(self, request: ExplainRequest, grant: Grant) -> bytes:
        """Why the answer was given, for the candidates of devices that ``grant`` is for: an ``ExplainAnswer`` as JSON.

        Of a large batch ``AT_MOST`` candidates, ``more`` says how many follow: no call holds the interpreter for long.

        Raises UnknownAnswerError (also where its model is gone or damaged), NotReadyError, and InternalError where the
        model does not give the answered probabilities again.
        """
        logged = self._answers.find(request.answer_id, _of(request, grant), skip=request.skip, at_most=AT_MOST)
        scorer = self.scorer(logged.model_tag)
        asked = logged.candidates
        if scorer.score([one.features for one in asked]) != [one.probability for one in asked]:
            self._load.cache_clear()  # what is not the model that answered is not kept in its place
            raise InternalError(f"answer {logged.answer_id}: {logged.model_tag} gives other probabilities now")
        rows = zip(asked, shap_values(scorer, asked), strict=True)
        told = [to_json(explained(scorer, one, values)) for one, values in rows]
        answer = ExplainAnswer(
            answer_id=logged.answer_id,
            answered_at=logged.answered_at,
            state=logged.state,
            threshold=scorer.card.threshold,
            model=ModelRef(tag=logged.model_tag, generation=logged.generation),
            rules_version=logged.rules_version,
            reproduced=True,
            more=logged.more,
            candidates=[],
        )
        head = answer.model_dump_json().encode().removesuffix(b"]}")  # candidates come last
        return b"".join([head, b",".join(told), b"]}"])

    def scorer(self, tag: str) -> Scorer:
        """A model by its tag. Raises UnknownAnswerError where the store no longer has it, or has it damaged."""
        try:
            return self._load(tag)
        except NotFoundError:
            raise UnknownAnswerError("the model that gave this answer is no longer kept") from None
        except InternalError as error:
            log.error("past_model_damaged", model=tag, why=str(error))
            raise UnknownAnswerError("the model that gave this answer is damaged where it is kept") from None


def _of(request: ExplainRequest, grant: Grant) -> Callable[[str], bool]:
    """Whether a device's candidates are asked about by who may ask."""
    asked = request.device_id
    return grant.allows if asked is None else lambda device_id: device_id == asked and grant.allows(device_id)


def shap_values(scorer: Scorer, candidates: Sequence[LoggedCandidate]) -> list[list[float]]:
    """Per candidate: one value per feature of the card, then the expected margin; calibrated log-odds.

    Raises InternalError where they do not sum to the margin of the candidate's probability.
    """
    import catboost

    if not candidates:
        return []
    card = scorer.card
    pool = catboost.Pool(
        [scorer.encode(candidate.features) for candidate in candidates],
        cat_features=list(scorer.categorical),
        thread_count=1,
    )
    raw = scorer.model.get_feature_importance(pool, type="ShapValues", thread_count=1)
    margins = scorer.model.predict(pool, prediction_type="RawFormulaVal", thread_count=1)
    rows = []
    for row, margin in zip(raw.tolist(), margins.tolist(), strict=True):
        if abs(math.fsum(row) - margin) > SUM_TOLERANCE * max(1.0, abs(margin)):
            raise InternalError(f"model {scorer.tag}: SHAP values sum to {math.fsum(row)}, its margin is {margin}")
        scaled = [card.calibration_slope * value for value in row]
        scaled[-1] += card.calibration_intercept
        rows.append(scaled)
    return rows


def explained(scorer: Scorer, candidate: LoggedCandidate, values: Sequence[float]) -> dict[str, object]:
    """One candidate in words: an ``Explained``. ``values``: its row of ``shap_values``."""
    pairs = zip(scorer.card.features, values[:-1], strict=True)
    told = sorted((pair for pair in pairs if abs(pair[1]) > SMALL), key=lambda pair: (-abs(pair[1]), pair[0]))
    reasons = [reason(name, candidate.features.get(name), value) for name, value in told]
    base = 1.0 / (1.0 + math.exp(-values[-1]))
    return {
        "device_id": candidate.device_id,
        "candidate_id": candidate.candidate_id,
        "rank": candidate.rank,
        "asked_at": candidate.asked_at,
        "probability": candidate.probability,
        "base_probability": base,
        "says": sentence(candidate.probability, base, told),
        "reasons": reasons,
    }


def reason(name: str, value: object, log_odds: float) -> dict[str, object]:
    """One feature's part in words: a ``Reason``.

    >>> reason("walked_m", 120.0, 1.0)["says"]
    'Farthest seen on foot from the vehicle so far, metres: 120. Makes a parking 2.7 times as likely (odds).'
    >>> reason("motion_after", None, -0.7)["says"]
    "The phone's own activity after; not known. Makes a parking 2.0 times less likely (odds)."
    """
    factor = math.exp(min(abs(log_odds), 700.0))
    times = f"{factor:.1f}" if factor < 100 else f"{factor:.0f}"
    effect = f"{times} times as likely" if log_odds > 0 else f"{times} times less likely"
    if factor < 1.05:
        effect = "hardly more likely" if log_odds > 0 else "hardly less likely"
    shown = "; not known" if value is None else f": {_shown(value)}"
    what = meaning(name)
    kept = value if value is None or isinstance(value, (bool, float, str)) else float(str(value))
    return {
        "feature": name,
        "meaning": what,
        "value": kept,
        "log_odds": log_odds,
        "says": f"{what}{shown}. Makes a parking {effect} (odds).",
    }


def sentence(probability: float, base: float, reasons: Sequence[tuple[str, float]]) -> str:
    """The whole in a sentence. ``reasons``: features and their log-odds, the strongest first.

    >>> sentence(0.93, 0.4, [("walked_m", 1.0)])
    'A parking with probability 0.93 (0.40 before anything is known), most of all for walked_m.'
    """
    up = [feature for feature, log_odds in reasons if log_odds > 0][:3]
    down = [feature for feature, log_odds in reasons if log_odds < 0][:3]
    said = f"A parking with probability {probability:.2f} ({base:.2f} before anything is known)"
    if up:
        said += f", most of all for {', '.join(up)}"
    if down:
        said += f"{';' if up else ', most of all'} against it: {', '.join(down)}"
    return said + "."


@lru_cache(maxsize=1024)
def meaning(name: str) -> str:
    """What a feature is, by its declaration: its first sentence; else its name.

    >>> meaning("nobody_declared_this")
    'nobody_declared_this'
    """
    if name in _ASKED:
        return _ASKED[name]
    declared()
    found = DECLARED.get(name)
    if found is None:
        return name
    return " ".join(found.description.split()).split("; null")[0].split(". ")[0].rstrip(".")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
