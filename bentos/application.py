"""What the service does, without HTTP: requests in, answers out, over the ports of ``bentos.ports``.

Synchronous and single-threaded by design; the transport decides on which thread it runs. The two questions asked
thousands of times a second answer with plain mappings (``bentos.bodies``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from bentos.answer import Candidate, Decision, decide, known_at, of_values, was_driving
from bentos.bodies import Answer, or_none, place_body, where_parked_body
from bentos.log.answer_id import NewId
from bentos.log.prediction_log import PredictionLog
from bentos.log.waiting import Answered
from bentos.messages import (
    Asked,
    ConfirmAnswer,
    ConfirmRequest,
    ModelAnswer,
    ModelRef,
    ScoreRequest,
    Unscored,
    WhereParkedRequest,
)
from bentos.metrics.prometheus import Metrics
from bentos.model.champion import Champion
from bentos.model.scorer import Fed
from bentos.moment_kernel import moment_texts
from bentos.ports import (
    CandidateKey,
    Confirmation,
    DeviceFacts,
    FeatureSource,
    LabelSink,
    Namespace,
    NotReadyError,
    label_key,
)
from parked.clock import Clock, to_us
from parked.errors import InputError

CLOCKS_APART = timedelta(hours=1)
"""How far ahead of ours a phone's clock may be when a person confirms."""


class Application:
    """The use cases of the service."""

    def __init__(
        self,
        *,
        champion: Callable[[], Champion | None],
        loaded: Callable[[], Champion | None],
        missing: Callable[[], str],
        source: Callable[[], FeatureSource | None],
        labels: LabelSink,
        log: PredictionLog,
        metrics: Metrics,
        clock: Clock,
        new_id: NewId,
        stale_after_s: float,
    ) -> None:
        """``champion`` and ``source`` return None until they are there, and ``missing`` says in words what is not;
        ``loaded``: the champion, else what waits to become it. ``new_id`` makes an answer's id."""
        self._champion = champion
        self._loaded = loaded
        self._missing = missing
        self._source = source
        self._labels = labels
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self._stale_after_us = int(stale_after_s * 1_000_000)

    @property
    def inline(self) -> bool:
        """Whether questions may be answered on the event loop (``FeatureSource.inline``)."""
        source = self._source()
        return source is not None and source.inline

    def where_parked(self, request: WhereParkedRequest) -> Answer:
        """Where the vehicle is: a ``WhereParkedAnswer``. Raises NotReadyError."""
        champion, source = self._ready()
        now_us = to_us(self._clock())
        at_us = now_us if request.asked_at is None else to_us(request.asked_at)
        device_id = request.device_id
        facts = source.devices((device_id,))[0]
        candidates = known_at(facts.candidates, at_us) if facts else []
        row = facts.row if facts else b""
        keys = [of_values(CandidateKey, (device_id, c.candidate_id, c.cell, at_us, row)) for c in candidates]
        probabilities: Sequence[float] = ()
        if keys:
            probabilities, fed = source.evaluate(champion.scorer, keys)
        decision = _decide(champion, facts, candidates, probabilities, at_us)
        answer = where_parked_body(
            self._new_id(bool(candidates)),
            champion,
            facts,
            candidates,
            probabilities,
            decision,
            at_us,
            stale_after_us=self._stale_after_us,
        )
        self._metrics.tally.answers[decision.state, decision.reason] += 1
        if keys:
            self._keep(champion, answer, now_us, decision.state, keys, range(len(keys)), fed, probabilities)
        return answer

    def score(self, request: ScoreRequest) -> Answer:
        """Probabilities of many candidates at once, without a decision: a ``ScoreAnswer``. Raises NotReadyError."""
        champion, source = self._ready()
        now_us = to_us(self._clock())
        questions = request.questions()
        known = source.devices([item.device_id for item in questions])
        results: list[Answer] = []
        keys: list[CandidateKey] = []
        ranks: list[int] = []
        asked: list[tuple[list[Answer], Candidate]] = []
        moments: list[int] = []
        for item, facts in zip(questions, known, strict=True):
            at_us = now_us if item.asked_at is None else to_us(item.asked_at)
            ranked, reason = _pick(item, facts, at_us)
            row = facts.row if facts else b""
            places: list[Answer] = []
            for rank, candidate in ranked:
                name, cell = candidate.candidate_id, candidate.cell
                keys.append(of_values(CandidateKey, (item.device_id, name, cell, at_us, row)))
                ranks.append(rank)
                asked.append((places, candidate))
                moments += (candidate.left_at_us, or_none(candidate.ended_at_us))
            results.append({"device_id": item.device_id, "reason": reason, "candidates": places})
        answer: Answer = {
            "answer_id": self._new_id(bool(keys)),
            "results": results,
            "model": {"tag": champion.scorer.tag, "generation": champion.pointer.generation},
            "rules_version": champion.pointer.rules_version,
        }
        if keys:
            probabilities, fed = source.evaluate(champion.scorer, keys)
            texts = moment_texts(moments)
            told = zip(asked, probabilities, texts[::2], texts[1::2], strict=True)
            for (places, candidate), probability, since, ended_at in told:
                places.append(place_body(candidate, probability, since, ended_at))
            self._keep(champion, answer, now_us, "score", keys, ranks, fed, probabilities)
        return answer

    def confirm(self, request: ConfirmRequest, namespace: Namespace = "confirm") -> ConfirmAnswer:
        """Keep what a person says as a label; the same key is one label, however often it is sent.

        ``namespace``: whose key it is. Needs neither model nor features. Raises ConflictError where the key belongs to
        another confirmation, InputError for a moment still to come.
        """
        now = self._clock()
        if request.at > now + CLOCKS_APART:
            raise InputError(f"at {request.at.isoformat()} is in the future", mend="say when the vehicle was left")
        added = self._labels.add(
            Confirmation(
                # A client's key is its own affair: two devices may choose the same one.
                key=label_key(namespace, request.device_id, request.key) if request.key else None,
                device_id=request.device_id,
                at=request.at,
                lat=request.lat,
                lon=request.lon,
                verdict=request.verdict,
                note=f"answer {request.answer_id}" if request.answer_id else "",
            ),
            now,
        )
        if added:
            self._metrics.labels.labels(request.verdict).inc()
        return ConfirmAnswer(stored=True, duplicate=not added)

    def model(self) -> ModelAnswer:
        """What is being served, or what waits for the store to be. Raises NotReadyError where there is neither."""
        champion = self._loaded()
        if champion is None:
            raise NotReadyError(self._missing())
        card, pointer = champion.scorer.card, champion.pointer
        return ModelAnswer(
            model=ModelRef(tag=champion.scorer.tag, generation=pointer.generation),
            rules_version=card.rules_version,
            feature_service=card.feature_service,
            features=card.features,
            threshold=card.threshold,
            trained_at=card.trained_at,
            published_at=pointer.published_at,
            manifest_sha256=card.manifest_sha256,
            metrics=card.metrics,
            evaluated_by=champion.scorer.evaluated_by,
            serving=champion is self._champion(),
        )

    def _ready(self) -> tuple[Champion, FeatureSource]:
        champion, source = self._champion(), self._source()
        if champion is None or source is None:
            raise NotReadyError(self._missing())
        return champion, source

    def _keep(
        self,
        champion: Champion,
        answer: Answer,
        now_us: int,
        state: str,
        keys: Sequence[CandidateKey],
        ranks: Sequence[int],
        fed: Fed,
        probabilities: Sequence[float],
    ) -> None:
        self._metrics.tally.scored += len(keys)
        self._log.add(
            of_values(
                Answered,
                (
                    answer["answer_id"],
                    now_us,
                    state,
                    champion.pointer.generation,
                    champion.pointer.rules_version,
                    champion.scorer,
                    keys,
                    ranks,
                    fed,
                    probabilities,
                ),
            )
        )


def _decide(
    champion: Champion,
    facts: DeviceFacts | None,
    candidates: Sequence[Candidate],
    probabilities: Sequence[float],
    at_us: int,
) -> Decision:
    if facts is None:
        return Decision("unknown", "unknown_device")
    return decide(
        candidates,
        probabilities,
        threshold=champion.scorer.card.threshold,
        driving=was_driving(
            candidates, at_us, later=len(candidates) < len(facts.candidates), driving_now=facts.driving
        ),
        at_us=at_us,
    )


def _pick(item: Asked, facts: DeviceFacts | None, at_us: int) -> tuple[list[tuple[int, Candidate]], Unscored | None]:
    """The candidates an item asks about with their ranks, and why there is none."""
    if facts is None:
        return [], "unknown_device"
    ranked = list(enumerate(known_at(facts.candidates, at_us)))
    if item.candidate_id is not None:
        ranked = [(rank, c) for rank, c in ranked if c.candidate_id == item.candidate_id]
        return ranked, None if ranked else "unknown_candidate"
    return ranked, None if ranked else "no_candidates"
