"""What the service does, without HTTP: requests in, answers out, over the ports of ``bentos.ports``.

Synchronous and single-threaded by design (one feature store, one SQLite connection); the transport decides on
which thread it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from bentos.answer import Candidate, Decision, decide, known_at, was_driving
from bentos.champion import Champion
from bentos.messages import (
    ConfirmAnswer,
    ConfirmRequest,
    ModelAnswer,
    ModelRef,
    Place,
    ScoreAnswer,
    ScoredDevice,
    ScoreItem,
    ScoreRequest,
    Unscored,
    WhereParkedAnswer,
    WhereParkedRequest,
)
from bentos.metrics import Metrics
from bentos.ports import CandidateKey, Confirmation, DeviceFacts, FeatureSource, LabelSink, NotReadyError, Row
from bentos.prediction_log import Answered, PredictionLog, ScoredRow
from parked.clock import Clock, from_us, to_us
from parked.errors import InputError

CLOCKS_APART = timedelta(hours=1)
"""How far ahead of ours a phone's clock may be when a person confirms."""


class Application:
    """The use cases of the service."""

    def __init__(
        self,
        *,
        champion: Callable[[], Champion | None],
        source: Callable[[], FeatureSource | None],
        labels: LabelSink,
        log: PredictionLog,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        """``champion`` and ``source`` return None until they are there; ``new_id`` makes an answer's id."""
        self._champion = champion
        self._source = source
        self._labels = labels
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id

    def where_parked(self, request: WhereParkedRequest) -> WhereParkedAnswer:
        """Where the vehicle is. Raises NotReadyError."""
        champion, source = self._ready()
        with self._metrics.seconds.labels("where_parked").time():
            now = self._clock()
            asked_at = request.asked_at or now
            at_us = to_us(asked_at)
            (facts,) = source.devices([request.device_id])
            candidates = known_at(facts.candidates, at_us) if facts else []
            keys = [CandidateKey(request.device_id, c.candidate_id, c.cell, at_us) for c in candidates]
            rows, probabilities = self._score(champion, source, keys)
            decision = _decide(champion, facts, candidates, probabilities, at_us)
            answer = _where_parked(self._new_id(), champion, facts, candidates, probabilities, decision, asked_at)
        self._metrics.answers.labels(decision.state, decision.reason).inc()
        self._keep(champion, answer.answer_id, now, decision.state, keys, rows, probabilities, list(range(len(keys))))
        return answer

    def score(self, request: ScoreRequest) -> ScoreAnswer:
        """Probabilities of many candidates at once, without a decision. Raises NotReadyError."""
        champion, source = self._ready()
        with self._metrics.seconds.labels("score").time():
            now = self._clock()
            questions = request.questions()
            known = source.devices([item.device_id for item in questions])
            picks = [
                _pick(item, facts, to_us(item.asked_at or now)) for item, facts in zip(questions, known, strict=True)
            ]
            keys, ranks = [], []
            for item, (ranked, _reason) in zip(questions, picks, strict=True):
                at_us = to_us(item.asked_at or now)
                keys += [CandidateKey(item.device_id, c.candidate_id, c.cell, at_us) for _rank, c in ranked]
                ranks += [rank for rank, _c in ranked]
            rows, probabilities = self._score(champion, source, keys)
            left = iter(probabilities)
            results = [
                ScoredDevice.model_construct(
                    device_id=item.device_id, reason=reason, candidates=[_place(c, next(left)) for _rank, c in ranked]
                )
                for item, (ranked, reason) in zip(questions, picks, strict=True)
            ]
        answer_id = self._new_id()
        self._keep(champion, answer_id, now, "score", keys, rows, probabilities, ranks)
        return ScoreAnswer.model_construct(
            answer_id=answer_id,
            results=results,
            model=_model_ref(champion),
            rules_version=champion.pointer.rules_version,
        )

    def confirm(self, request: ConfirmRequest) -> ConfirmAnswer:
        """Keep what a person says as a label; the same key is one label, however often it is sent.

        Needs neither model nor features. Raises ConflictError where the key belongs to another confirmation, InputError
        for a moment still to come.
        """
        now = self._clock()
        if request.at > now + CLOCKS_APART:
            raise InputError(f"at {request.at.isoformat()} is in the future", mend="say when the vehicle was left")
        added = self._labels.add(
            Confirmation(
                # A client's key is its own affair: two devices may choose the same one.
                key=f"{request.device_id}/{request.key}" if request.key else None,
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
        """What is being served. Raises NotReadyError where nothing is."""
        champion = self._champion()
        if champion is None:
            raise NotReadyError("no model is published; run `parked train`, then `parked publish`")
        card, pointer = champion.scorer.card, champion.pointer
        return ModelAnswer(
            model=_model_ref(champion),
            rules_version=card.rules_version,
            feature_service=card.feature_service,
            features=card.features,
            threshold=card.threshold,
            trained_at=card.trained_at,
            published_at=pointer.published_at,
            manifest_sha256=card.manifest_sha256,
            metrics=card.metrics,
        )

    def _ready(self) -> tuple[Champion, FeatureSource]:
        champion, source = self._champion(), self._source()
        if champion is None:
            raise NotReadyError("no model is published; run `parked train`, then `parked publish`")
        if source is None:
            raise NotReadyError("the feature store is not open; /readyz says why")
        return champion, source

    def _score(
        self, champion: Champion, source: FeatureSource, keys: Sequence[CandidateKey]
    ) -> tuple[list[Row], list[float]]:
        if not keys:
            return [], []
        scorer = champion.scorer
        served = source.features(scorer.card.feature_service, keys)
        names = scorer.card.features
        rows: list[Row] = [{name: row.get(name) for name in names} for row in served]
        return rows, scorer.score(rows)

    def _keep(
        self,
        champion: Champion,
        answer_id: str,
        now: datetime,
        state: str,
        keys: Sequence[CandidateKey],
        rows: Sequence[Row],
        probabilities: Sequence[float],
        ranks: Sequence[int],
    ) -> None:
        self._metrics.scored.inc(len(keys))
        self._log.add(
            Answered(
                answer_id=answer_id,
                answered_at=now,
                state=state,
                model_tag=champion.scorer.tag,
                generation=champion.pointer.generation,
                rules_version=champion.pointer.rules_version,
                rows=[
                    ScoredRow(k.device_id, k.candidate_id, rank, p, row, from_us(k.asked_at_us))
                    for k, rank, p, row in zip(keys, ranks, probabilities, rows, strict=True)
                ],
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
        driving=was_driving(facts.candidates, at_us, driving_now=facts.driving),
        at_us=at_us,
    )


def _pick(
    item: ScoreItem, facts: DeviceFacts | None, at_us: int
) -> tuple[list[tuple[int, Candidate]], Unscored | None]:
    """The candidates an item asks about with their ranks, and why there is none."""
    if facts is None:
        return [], "unknown_device"
    ranked = list(enumerate(known_at(facts.candidates, at_us)))
    if item.candidate_id is not None:
        ranked = [(rank, c) for rank, c in ranked if c.candidate_id == item.candidate_id]
        return ranked, None if ranked else "unknown_candidate"
    return ranked, None if ranked else "no_candidates"


def _model_ref(champion: Champion) -> ModelRef:
    return ModelRef.model_construct(tag=champion.scorer.tag, generation=champion.pointer.generation)


def _place(candidate: Candidate, probability: float) -> Place:
    return Place.model_construct(
        candidate_id=candidate.candidate_id,
        lat=candidate.lat,
        lon=candidate.lon,
        uncertainty_m=candidate.uncertainty_m,
        since=from_us(candidate.left_at_us),
        ended_at=None if candidate.ended_at_us is None else from_us(candidate.ended_at_us),
        probability=probability,
    )


def _where_parked(
    answer_id: str,
    champion: Champion,
    facts: DeviceFacts | None,
    candidates: Sequence[Candidate],
    probabilities: Sequence[float],
    decision: Decision,
    asked_at: datetime,
) -> WhereParkedAnswer:
    # model_construct: the values come from our own types; validating an answer would cost more than making it.
    places = [_place(c, p) for c, p in zip(candidates, probabilities, strict=True)]
    chosen = decision.candidate
    spot = places[chosen] if decision.state == "parked" and chosen is not None else None
    as_of_us = facts.facts_as_of_us if facts else None
    return WhereParkedAnswer.model_construct(
        answer_id=answer_id,
        state=decision.state,
        reason=decision.reason,
        spot=spot,
        probability=None if chosen is None else probabilities[chosen],
        uncertainty_m=None if spot is None else spot.uncertainty_m,
        since=None if decision.since_us is None else from_us(decision.since_us),
        runner_up=[place for place in places if place is not spot],
        asked_at=asked_at,
        facts_as_of=None if as_of_us is None else from_us(as_of_us),
        facts_age_s=None if as_of_us is None else (to_us(asked_at) - as_of_us) / 1e6,
        model=_model_ref(champion),
        rules_version=champion.pointer.rules_version,
    )
