"""What can be said of past answers: why they were given, and that they were wrong."""

from __future__ import annotations

from collections.abc import Callable

from bentos.corrections import Corrections
from bentos.explain import Explainer
from bentos.logged import AnswerLog
from bentos.messages import ConfirmAnswer, ConfirmRequest
from bentos.messages_explain import CorrectAnswer, CorrectRequest, ExplainAnswer, ExplainRequest
from bentos.ports import DeviceFacts, FeatureSource, NotReadyError
from bentos.scorer import Scorer
from parked.tokens import Grant


class Hindsight:
    """``explain`` on a thread of its own, ``correct`` on the labels' thread; both are far from the hot path."""

    def __init__(
        self,
        answers: AnswerLog,
        *,
        load: Callable[[str], Scorer],
        source: Callable[[], FeatureSource | None],
        confirm: Callable[[ConfirmRequest], ConfirmAnswer],
    ) -> None:
        """``load``: model tag → scorer (raises NotFoundError); ``source`` None until the store is open; ``confirm``
        stores a label once."""
        self._explainer = Explainer(answers, load)

        def facts(device_id: str) -> DeviceFacts | None:
            opened = source()
            if opened is None:
                raise NotReadyError("the feature store is not open; /readyz says why")
            return opened.devices([device_id])[0]

        self._corrections = Corrections(
            answers,
            threshold=lambda tag: self._explainer.scorer(tag).card.threshold,
            facts=facts,
            confirm=confirm,
        )

    def explain(self, request: ExplainRequest, grant: Grant) -> ExplainAnswer:
        """See ``Explainer.explain``."""
        return self._explainer.explain(request, grant)

    def correct(self, request: CorrectRequest, grant: Grant) -> CorrectAnswer:
        """See ``Corrections.correct``."""
        return self._corrections.correct(request, grant)
