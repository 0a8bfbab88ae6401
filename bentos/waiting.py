"""Answers on their way into the prediction log, kept by column: what an answer was made of is let go at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from bentos.fed_columns import FedColumns
from bentos.ports import CandidateKey
from bentos.scorer import Fed, Scorer
from parked.predictions import FED, SHARED

_AT_ONCE: Final = 1_000
"""Values made into a column at once: that holds the interpreter, and whoever answers waits for it."""


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


class Waiting:
    """Answers of one model, by column, in the order they were added. For one thread at a time."""

    def __init__(self, scorer: Scorer) -> None:
        self.rows = 0
        self.first_us: int | None = None
        """When the first answer was given."""
        self._scorer = scorer
        self._sizes: list[int] = []
        self._answers: list[tuple[str, int, str, int, str]] = []
        self._keys: list[CandidateKey] = []
        self._ranks: list[int] = []
        self._probabilities: list[float] = []
        self._fed = FedColumns(scorer)

    def __len__(self) -> int:
        """Answers."""
        return len(self._sizes)

    def add(self, answered: Answered) -> None:
        """One more answer, of the same model."""
        answer_id, at_us, state, generation, rules, _, keys, ranks, fed, probabilities = answered
        if self.first_us is None:
            self.first_us = at_us
        self.rows += len(keys)
        self._sizes.append(len(keys))
        self._answers.append((answer_id, at_us, state, generation, rules))
        self._keys.extend(keys)
        self._ranks.extend(ranks)
        self._probabilities.extend(probabilities)
        self._fed.add(fed)

    def table(self) -> pa.Table:
        """All answers as a part of the log: ``SHARED`` with texts that repeat as dictionaries, then what was fed."""
        whose = pa.array(np.repeat(np.arange(len(self)), self._sizes))
        text, number = pa.string(), pa.int64()
        ids, answered, states, generations, rules = _columns(self._answers, [text, number, text, number, text])
        devices, candidates, asked = _columns(self._keys, [text, text, None, number])
        tag = pa.DictionaryArray.from_arrays(np.zeros(self.rows, np.int32), [self._scorer.tag])
        columns = {
            "answer_id": ids.take(whose),
            "answered_at": answered.take(whose),
            "asked_at": asked,
            "device_id": devices,
            "candidate_id": candidates,
            "rank": _column(self._ranks, pa.int32()),
            "probability": _column(self._probabilities, pa.float64()),
            "state": states.dictionary_encode().take(whose),
            "model_tag": pa.chunked_array([tag]),
            "generation": generations.take(whose),
            "rules_version": rules.dictionary_encode().take(whose),
        }
        shared = [
            column if pa.types.is_dictionary(column.type) else column.cast(SHARED.field(name).type)
            for name, column in columns.items()
        ]
        fed = self._fed.columns()
        return pa.table([*shared, *fed.values()], names=[*columns, *(FED + name for name in fed)])


def _column(values: list[Any], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values[at : at + _AT_ONCE], kind) for at in _steps(values)], kind)


def _columns(rows: Sequence[tuple[Any, ...]], kinds: Sequence[pa.DataType | None]) -> list[pa.ChunkedArray]:
    """Columns of rows of tuples, as far as ``kinds`` go; not those of kind None."""
    chunks: list[list[pa.Array]] = [[] for _ in kinds]
    for at in _steps(rows):
        for kind, column, made in zip(kinds, zip(*rows[at : at + _AT_ONCE], strict=True), chunks, strict=False):
            if kind is not None:
                made.append(pa.array(column, kind))
    return [pa.chunked_array(of, kind) for kind, of in zip(kinds, chunks, strict=True) if kind is not None]


def _steps(values: Sequence[Any]) -> range:
    return range(0, len(values), _AT_ONCE)
