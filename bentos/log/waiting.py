"""Answers into a piece on its way into the prediction log (``bentos.log.spool``): columns, and what was fed as it lies.

Made of many answers at once, by code that is then warm: a step an answer costs there a third of what it does between
two questions.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bentos.log.spool import together
from bentos.model.scorer import Fed, Scorer
from bentos.ports import CandidateKey
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


def model_of(scorer: Scorer) -> dict[str, Any]:
    """What all pieces share: the model's tag, its features, those that are numbers with their Arrow types."""
    card = scorer.card
    told = service_dtypes(card.feature_service) if card.feature_service in SERVICES else {}
    numeric = [name for name in card.features if name not in card.categorical]
    kinds = [str(told[name].arrow) if name in told else "double" for name in numeric]
    texts = [card.features[position] for position in scorer.categorical]
    return {"tag": scorer.tag, "features": list(card.features), "numeric": numeric, "kinds": kinds, "texts": texts}


def piece_of(answers: Sequence[Answered]) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
    """Answers (at least one) of one model and publication, for ``bentos.log.part``: columns as texts together and as
    numbers; beside them, as they lie, what the model was fed."""
    ids, answered, states, generations, rules, _, keys, ranks, fed, probabilities = zip(*answers, strict=True)
    sizes = [len(of) for of in keys]
    devices, candidates, _, asked, _ = zip(*chain.from_iterable(keys), strict=True)
    segments, buffers = _segments(fed, sizes)
    made = {
        "rows": len(devices),
        "generation": generations[0],
        "rules": rules[0],
        "sizes": _packed("i", sizes),
        "ids": together(ids),
        "answered": _packed("q", answered),
        "states": together(states),
        "devices": together(devices),
        "candidates": together(candidates),
        "asked": _packed("q", asked),
        "ranks": _packed("i", list(chain.from_iterable(ranks))),
        "probabilities": _packed("d", list(chain.from_iterable(probabilities))),
        "segments": segments,
    }
    return made, buffers


def _segments(fed: Sequence[Fed], sizes: Sequence[int]) -> tuple[list[list[Any]], list[npt.NDArray[Any]]]:
    """Rows that lie together: how many, their columns, their words (None: texts), the texts. And of each its numbers
    and, with words, their codes."""
    segments: list[list[Any]] = []
    buffers: list[npt.NDArray[Any]] = []
    block, here, there = None, 0, 0

    def close() -> None:
        if block is not None:
            segments.append([there - here, block.numbers.shape[1], block.words, None])
            buffers.extend((block.numbers[here:there], block.codes[here:there]))

    for (numbers, texts, of, at), count in zip(fed, sizes, strict=True):
        if of is not None and of is block and at == there:
            there += count
            continue
        close()
        block, here, there = of, at, at + count
        if of is not None:
            continue
        if isinstance(texts, list):
            segments.append([count, numbers.shape[1], None, [[_text(value) for value in row] for row in texts]])
            buffers.append(np.ascontiguousarray(numbers))
        else:
            segments.append([count, numbers.shape[1], texts.words, None])
            buffers.extend((np.ascontiguousarray(numbers), np.ascontiguousarray(texts.codes)))
    close()
    return segments, buffers


def _packed(kind: str, numbers: Sequence[float]) -> bytes:
    """As an array of such numbers lies in memory: of a list, in half the time that numpy's or Python's own takes."""
    return struct.pack(f"={len(numbers)}{kind}", *numbers)


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)
