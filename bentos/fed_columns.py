"""What a model was fed over many answers, as typed columns: what the prediction log writes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bentos.column_kernel import BOOL, FLOAT, INT, turn
from bentos.pages import Array, Runs
from feature_repo.services import SERVICES, service_dtypes

if TYPE_CHECKING:
    from bentos.scorer import Fed, Scorer

_KINDS = {pa.int64(): INT, pa.bool_(): BOOL}
_WORDS = pa.dictionary(pa.int16(), pa.string())


@dataclass(frozen=True)
class _Spelled:
    """Texts as they are, a tuple per row."""

    rows: list[tuple[object, ...]]


@dataclass(frozen=True)
class _Numbered:
    """Texts as numbers of ``words``, each category's."""

    words: list[list[str]]
    codes: Runs


class FedColumns:
    """Gathers what one model was fed. For one thread at a time."""

    def __init__(self, scorer: Scorer) -> None:
        card = scorer.card
        self._features = card.features
        self._numeric = [name for name in card.features if name not in card.categorical]
        self._texts = [card.features[position] for position in scorer.categorical]
        service = card.feature_service
        told = {n: d.arrow for n, d in service_dtypes(service).items()} if service in SERVICES else {}
        self._types = [told.get(name, pa.float64()) for name in self._numeric]
        self._numbers = Runs()
        self._segments: list[_Spelled | _Numbered] = []

    def add(self, fed: Fed) -> None:
        """What one answer's rows were fed."""
        self._numbers.add(fed.numbers, fed.at)
        texts = fed.texts
        last = self._segments[-1] if self._segments else None
        if isinstance(texts, list):
            if not isinstance(last, _Spelled):
                last = _Spelled([])
                self._segments.append(last)
            last.rows.extend(texts)
            return
        if not isinstance(last, _Numbered) or last.words is not texts.words:
            last = _Numbered(texts.words, Runs())
            self._segments.append(last)
        last.codes.add(texts.codes, texts.at)

    def columns(self) -> dict[str, pa.Array | pa.ChunkedArray]:
        """All that was added, in the model's own order of features; missing is null. Texts are dictionaries."""
        made: dict[str, pa.Array | pa.ChunkedArray] = dict(zip(self._numeric, self._numeric_columns(), strict=True))
        chunks = [_texts_of(segment) for segment in self._segments]
        for at, name in enumerate(self._texts):
            made[name] = pa.chunked_array([chunk[at] for chunk in chunks], _WORDS)
        return {name: made[name] for name in self._features}

    def _numeric_columns(self) -> list[pa.Array]:
        runs = self._numbers.arrays()
        rows, count = sum(map(len, runs)), len(self._numeric)
        kinds = np.array([_KINDS.get(kind, FLOAT) for kind in self._types], dtype=np.uint8)
        room = -(-rows // 64) * 64  # what Arrow likes its buffers to end on
        floats = np.empty((count, room))
        floats[kinds == BOOL] = 0.0
        ints, bits = floats.view(np.int64), floats.view(np.uint8)
        valid, missing = np.zeros((count, room // 8), dtype=np.uint8), np.zeros(count, dtype=np.int64)
        first = 0
        for run in runs:
            turn(run, first, kinds, floats, ints, bits, valid, missing)
            first += len(run)
        columns = []
        for c, kind in enumerate(self._types):
            stored = kind if kind in _KINDS else pa.float64()
            buffers = [pa.py_buffer(valid[c]) if missing[c] else None, pa.py_buffer(floats[c])]
            column = pa.Array.from_buffers(stored, rows, buffers, int(missing[c]))
            columns.append(column if stored == kind else column.cast(kind, safe=False))
        return columns


def _texts_of(segment: _Spelled | _Numbered) -> list[pa.DictionaryArray]:
    """A column per category."""
    if isinstance(segment, _Spelled):
        return [
            pa.array(map(_text, column), pa.string()).dictionary_encode().cast(_WORDS)
            for column in zip(*segment.rows, strict=True)
        ]
    codes: Array = np.ascontiguousarray(np.concatenate(segment.codes.arrays()).T)
    return [
        pa.DictionaryArray.from_arrays(pa.array(which, mask=which < 0), pa.array(words, pa.string()))
        for which, words in zip(codes, segment.words, strict=True)
    ]


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)
