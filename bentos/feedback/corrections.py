"""A person corrects an answer: what was wrong and what was true become labels, as confirmations do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from bentos.log.logged import AnswerLog, LoggedAnswer
from bentos.messages import ConfirmAnswer, ConfirmRequest
from bentos.messages_explain import CorrectAnswer, CorrectRequest
from bentos.ports import Namespace, Spot
from parked.clock import from_us
from parked.errors import ConflictError
from parked.tokens import Grant

Verdict = Literal["parked", "not_parked"]


class Corrections:
    """Corrects past answers. Blocks: on the labels' thread."""

    def __init__(
        self,
        answers: AnswerLog,
        *,
        rules: str,
        threshold: Callable[[str], float],
        spot: Callable[[str, str], Spot | None],
        confirm: Callable[[ConfirmRequest, Namespace], ConfirmAnswer],
    ) -> None:
        """``rules``: the version served; ``threshold``: of a model by its tag; ``spot``: (device, candidate) → where it
        lies, None where nobody knows (raises NotReadyError); ``confirm`` stores one label, once, under a key of that
        namespace."""
        self._answers = answers
        self._rules = rules
        self._threshold = threshold
        self._spot = spot
        self._confirm = confirm

    def correct(self, request: CorrectRequest, grant: Grant) -> CorrectAnswer:
        """Store ``not_parked`` at the answered spot (``wrong``) and ``parked`` at the true one (``actual``), each once.

        Raises UnknownAnswerError, NotReadyError, InputError (a moment to come), ConflictError where the answer named no
        spot, the spot is out of sight or is the true one too, or the key was used for something else.
        """
        logged = self._answers.find(request.answer_id, grant.allows)
        device_id = self._device(logged)
        told: list[ConfirmRequest] = []
        if request.wrong:
            told.append(self._denial(logged, device_id))
        if request.actual is not None:
            actual = request.actual
            told.append(
                ConfirmRequest(
                    device_id=device_id,
                    at=actual.at,
                    lat=actual.lat,
                    lon=actual.lon,
                    verdict="parked",
                    answer_id=logged.answer_id,
                    key=request.key,
                )
            )
        if len({(one.at, one.lat, one.lon) for one in told}) < len(told):
            raise ConflictError(
                "actual is the answered spot itself", mend="leave out wrong, or say where it really was"
            )
        # The true place first: it alone can still be refused, and then nothing is stored.
        stored = [self._store(one) for one in reversed(told)]
        return CorrectAnswer(stored=True, labels=[one.verdict for one in told], duplicate=not any(stored))

    def _store(self, told: ConfirmRequest) -> bool:
        if told.verdict == "parked":
            return not self._confirm(told, "actual").duplicate
        try:
            return not self._confirm(told, "wrong").duplicate
        except ConflictError:
            # Nobody else can choose a key of this namespace, so it is this very judgment, said before. The spot's place
            # was refined since; the judgment stands where it was made.
            return False

    def _denial(self, logged: LoggedAnswer, device_id: str) -> ConfirmRequest:
        """``not_parked`` where the answer had put the vehicle."""
        place = self._spot(device_id, self._answered(logged))
        if place is None:
            confirm = "say not_parked at its place and time to /confirm"
            if logged.rules_version != self._rules:
                said = f"the answer was given by rules {logged.rules_version}, which are not served here"
                raise ConflictError(said, mend=f"send it to their server, or {confirm}")
            raise ConflictError("the store knows the answered spot no more", mend=confirm)
        return ConfirmRequest(
            device_id=device_id,
            at=from_us(place.left_at_us),
            lat=place.lat,
            lon=place.lon,
            verdict="not_parked",
            answer_id=logged.answer_id,
            key=logged.answer_id,
        )

    def _device(self, logged: LoggedAnswer) -> str:
        if logged.state == "score":
            raise ConflictError("a batch of scores is no answer to correct", mend="send each to /confirm")
        return logged.candidates[0].device_id

    def _answered(self, logged: LoggedAnswer) -> str:
        """The candidate that was answered: the newest that counts as a parking (``answer.decide``)."""
        if logged.state != "parked":
            raise ConflictError(f"the answer was {logged.state}: it named no spot", mend="say where it was: actual")
        threshold = self._threshold(logged.model_tag)
        return next(
            c.candidate_id for c in sorted(logged.candidates, key=lambda c: c.rank) if c.probability >= threshold
        )
