"""Answers on their way into the prediction log, kept by column: what an answer was made of is let go with its piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bentos.log_spool import together
from bentos.ports import CandidateKey
from bentos.scorer import Fed, Scorer
from bentos.trees import Floats
from feature_repo.services import SERVICES, service_dtypes


class Answered(NamedTuple):
    """One answer: what was asked, what the model was fed, what it said. Lists are parallel, one entry per candidate."""

    answer_id: str
    answered_at_us: int
    state: str
    generation: int
    rules_version: str
    scorer: Scorer
    keys: Sequence[CandidateKey]
    ranks: Sequence[int]
    """0: the device's newest candidate."""
    fed: Fed
    """Exactly what the model was fed."""
    probabilities: Sequence[float]


class _Spelled:
    """Categories as texts, a tuple per row."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []

    def said(self) -> list[Any]:
        return [None, [[_text(value) for value in row] for row in self.rows]]


class _Numbered:
    """Categories as numbers of ``words``, each category's."""

    def __init__(self, words: list[list[str]]) -> None:
        self.words = words
        self.codes: list[npt.NDArray[np.int16]] = []

    def said(self) -> list[Any]:
        return [self.words, b"".join(self.codes)]  # type: ignore[arg-type]  # arrays are buffers


class Waiting:
    """Answers of one model, by column, in the order they were added. For one thread at a time."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        card = scorer.card
        self._numeric = [name for name in card.features if name not in card.categorical]
        self._clear()

    def _clear(self) -> None:
        self.rows = 0
        self._sizes: list[int] = []
        self._answers: list[tuple[str, int, str, int, str]] = []
        self._keys: list[CandidateKey] = []
        self._ranks: list[int] = []
        self._probabilities: list[float] = []
        self._numbers: list[Floats] = []
        self._texts: list[_Spelled | _Numbered] = []

    def add(self, answered: Answered) -> None:
        """One more answer, of the same model."""
        answer_id, at_us, state, generation, rules, _, keys, ranks, fed, probabilities = answered
        self.rows += len(keys)
        self._sizes.append(len(keys))
        self._answers.append((answer_id, at_us, state, generation, rules))
        self._keys.extend(keys)
        self._ranks.extend(ranks)
        self._probabilities.extend(probabilities)
        self._numbers.append(fed.numbers)
        self._add_texts(fed)

    def _add_texts(self, fed: Fed) -> None:
        texts = fed.texts
        last = self._texts[-1] if self._texts else None
        if isinstance(texts, list):
            if not isinstance(last, _Spelled):
                last = _Spelled()
                self._texts.append(last)
            last.rows.extend(texts)
            return
        if not isinstance(last, _Numbered) or last.words is not texts.words:
            last = _Numbered(texts.words)
            self._texts.append(last)
        last.codes.append(texts.codes)

    def model(self) -> dict[str, Any]:
        """What all pieces share: the model's tag, its features, those that are numbers with their Arrow types."""
        card = self._scorer.card
        told = service_dtypes(card.feature_service) if card.feature_service in SERVICES else {}
        kinds = [str(told[name].arrow) if name in told else "double" for name in self._numeric]
        texts = [card.features[position] for position in self._scorer.categorical]
        return {
            "tag": self._scorer.tag,
            "features": list(card.features),
            "numeric": self._numeric,
            "kinds": kinds,
            "texts": texts,
        }

    def piece(self) -> dict[str, Any]:
        """All that was added since the last piece, for ``bentos.log_part``: columns as texts together and as arrays."""
        ids, at, states, generations, rules = zip(*self._answers, strict=True)
        devices, candidates, _, asked, _ = zip(*self._keys, strict=True)
        width = self._numbers[0].shape[1]
        numbers: Sequence[Floats] = self._numbers
        if any(rows.shape[1] != width for rows in numbers):  # by trees and by CatBoost: what they share
            width = len(self._numeric)
            numbers = [np.ascontiguousarray(rows[:, :width]) for rows in numbers]
        made = {
            "sizes": np.array(self._sizes, np.int32),
            "ids": together(ids),
            "answered": np.array(at, np.int64),
            "states": together(states),
            "generations": np.array(generations, np.int64),
            "rules": together(rules),
            "devices": together(devices),
            "candidates": together(candidates),
            "asked": np.array(asked, np.int64),
            "ranks": np.array(self._ranks, np.int32),
            "probabilities": np.array(self._probabilities, np.float64),
            "width": width,
            "numbers": b"".join(numbers),  # type: ignore[arg-type]  # arrays are buffers
            "texts": [segment.said() for segment in self._texts],
        }
        self._clear()
        return made


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)
