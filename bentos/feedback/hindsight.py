"""What can be said of past answers: why they were given, and that they were wrong."""

from __future__ import annotations

from collections.abc import Callable

from bentos.feedback.corrections import Corrections
from bentos.feedback.explain import Explainer
from bentos.log.logged import AnswerLog
from bentos.messages import ConfirmAnswer, ConfirmRequest
from bentos.messages_explain import CorrectAnswer, CorrectRequest, ExplainRequest
from bentos.model.scorer import Scorer
from bentos.ports import CandidateKey, FeatureSource, Namespace, NotReadyError, Spot
from feature_repo.services import ANSWERED_V1
from parked.errors import NotFoundError
from parked.tokens import Grant


class Hindsight:
    """``explain`` on a thread of its own, ``correct`` on the labels' thread; both are far from the hot path."""

    def __init__(
        self,
        answers: AnswerLog,
        *,
        rules: str,
        load: Callable[[str], Scorer],
        source: Callable[[], FeatureSource | None],
        confirm: Callable[[ConfirmRequest, Namespace], ConfirmAnswer],
    ) -> None:
        """``rules``: the version served; ``load``: model tag → scorer (raises NotFoundError); ``source`` None until the
        store is open; ``confirm`` stores a label once."""
        self._explainer = Explainer(answers, load)

        def spot(device_id: str, candidate_id: str) -> Spot | None:
            opened = source()
            if opened is None:
                raise NotReadyError("the feature store is not open; /readyz says why")
            return spot_of(opened, device_id, candidate_id)

        self._corrections = Corrections(
            answers,
            rules=rules,
            threshold=lambda tag: self._explainer.scorer(tag).card.threshold,
            spot=spot,
            confirm=confirm,
        )

    def explain(self, request: ExplainRequest, grant: Grant) -> bytes:
        """See ``Explainer.explain``."""
        return self._explainer.explain(request, grant)

    def correct(self, request: CorrectRequest, grant: Grant) -> CorrectAnswer:
        """See ``Corrections.correct``."""
        return self._corrections.correct(request, grant)


def spot_of(source: FeatureSource, device_id: str, candidate_id: str) -> Spot | None:
    """Where and when a candidate's vehicle was left, as far as is known now; None where nothing is known of it.

    Of the phone's newest candidates the store always knows; of older ones where ``answered_v1`` was applied to it.
    """
    (facts,) = source.devices([device_id])
    for candidate in facts.candidates if facts else ():
        if candidate.candidate_id == candidate_id:
            return Spot(candidate.left_at_us, candidate.lat, candidate.lon)
    key = CandidateKey(device_id, candidate_id, "", 0)
    try:
        ((left_at_us, lat, lon),) = source.values(ANSWERED_V1, ("left_at_us", "lat", "lon"), [key])
    except NotFoundError:
        return None
    if not (isinstance(left_at_us, (int, float)) and isinstance(lat, float) and isinstance(lon, float)):
        return None
    return Spot(int(left_at_us), lat, lon)
