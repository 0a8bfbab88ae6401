"""One model over the LMDB file's packed rows: keys in, probabilities out, by ``bentos.model.row_kernel``.

What the kernel is told of a model and a store is worked out once. Rows it refuses are answered by the way round them
(``LmdbSource.values`` and ``Scorer.evaluate``), which gives the same bits; words it did not know, it learns from those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bentos.model import row_kernel as kernel
from bentos.model.scorer import Block, Coded, Fed, Scorer
from bentos.model.trees import Trees
from feature_repo.asked import ASKED, ASKED_FEATURES, ASKED_INPUTS
from feature_repo.declare import CANDIDATE, DEVICE, PLACE
from feature_repo.services import SERVICES
from parked.schemas import ACTIVITIES, FOLLOWED, STATUSES

VIEWS = (CANDIDATE, DEVICE, PLACE)
"""In the order of the kernel's tables."""

ROLES = {
    "left_at_us": kernel.LEFT,
    "lon": kernel.LON,
    "rest_from_us": kernel.REST_FROM,
    "rest_until_us": kernel.REST_UNTIL,
    "last_stay_ended_us": kernel.LAST_STAY,
}
MOST_WORDS = 64
"""Of one category that are known; rows with others go the long way."""

BLOCK = 128
"""Rows that lie together, of however many answers: the log takes them as they lie."""

_FIRST_WORDS = ("", *STATUSES, *ACTIVITIES, *FOLLOWED)


class PackedScorer:
    """See the module. For one thread at a time."""

    def __init__(self, scorer: Scorer, trees: Trees, fields: Mapping[str, Sequence[str]]) -> None:
        """``fields``: names of the values of each view's rows, in the rows' order."""
        card = scorer.card
        self._scorer = scorer
        self._trees = trees
        column = {card.features[position]: k for k, position in enumerate(trees.numeric)}
        text = {card.features[position]: k for k, position in enumerate(scorer.categorical)}
        longest = max(map(len, fields.values()))
        target = np.full((3, longest), kernel.SKIP, dtype=np.int32)
        role = np.full((3, longest), kernel.NO_ROLE, dtype=np.int32)
        service = SERVICES[card.feature_service]
        for row, view in enumerate(VIEWS):
            served = service.get(view, ())
            for at, name in enumerate(fields[view]):
                if name in ASKED_INPUTS.get(view, ()):
                    role[row, at] = ROLES[name]
                if name in served and name in column:
                    target[row, at] = column[name]
                elif name in served and name in text:
                    target[row, at] = kernel.FIRST_TEXT - text[name]
        asked = np.array(
            [column.get(name, -1) if name in service.get(ASKED, ()) else -1 for name in ASKED_FEATURES], dtype=np.int32
        )
        self._rows = (target, role, asked)
        self._texts = len(text)
        self._at = 0
        """Rows of the block that are taken."""
        self._vocabulary: list[list[str]] = [[] for _ in text]
        self.learn([[word] * len(text) for word in _FIRST_WORDS])
        self._room(BLOCK)

    def evaluate(
        self, rows: Sequence[Sequence[bytes]], fresh: Sequence[bool], asked_us: Sequence[int]
    ) -> tuple[list[float], Fed] | int:
        """Probabilities of n candidates and what the model was fed; or why the kernel will not (its status).

        ``rows``: packed rows of the devices, one where ``fresh`` (n,): of this candidate and the next ones; of the n
        candidates; of their n places. ``asked_us``: (n,), microseconds since the epoch.
        """
        count, (devices, candidates, places) = len(fresh), [b"".join(of) for of in rows]
        if self._at + count > len(self._margins):
            self._room(max(count, BLOCK))
        at, block = self._at, self._block
        end = at + count
        numbers, codes, margins = block.numbers[at:end], block.codes[at:end], self._margins[at:end]
        status = kernel.score_rows(
            np.frombuffer(bytearray().join((devices, candidates, places)), np.uint8),
            len(devices),
            len(candidates),
            np.array(fresh, dtype=np.uint8),
            np.array(asked_us, dtype=np.int64),
            *self._rows,
            *self._words,
            *self._trees.arrays,
            numbers,
            codes,
            margins,
        )
        if status != kernel.DONE:
            return int(status)
        self._at = end
        return self._scorer.probabilities(margins), Fed(numbers, Coded(codes, self._vocabulary), block, at)

    def _room(self, rows: int) -> None:
        """Have a new block; who holds rows of the one before keeps them."""
        numbers, codes = np.empty((rows, self._trees.width)), np.empty((rows, self._texts), np.int16)
        self._block, self._margins = Block(numbers, codes, self._vocabulary), np.empty(rows)
        self._at = 0

    def known_words(self) -> int:
        """Of all categories together."""
        return sum(map(len, self._vocabulary))

    def learn(self, texts: Iterable[Sequence[object]]) -> None:
        """Know the words in ``texts`` (rows of the categorical features) from now on, as far as there is room."""
        for row in texts:
            for words, word in zip(self._vocabulary, row, strict=True):
                if isinstance(word, str) and _fits(word) and word not in words and len(words) < MOST_WORDS:
                    words.append(word)
        self._words = self._tables()

    def _tables(self) -> tuple[npt.NDArray[np.generic], ...]:
        """What the kernel is told of words: ``word_from``, ``spans``, ``words``, ``word_columns``."""
        categories = dict(self._trees.categories)
        spans, at = {}, len(self._trees.numeric)
        for position, category in self._trees.categories:
            spans[position] = (at, at + len(category.hashes))
            at += len(category.hashes)
        word_from = [0]
        words: list[tuple[int, int, int]] = []
        columns: list[tuple[float, ...]] = []
        for position, known in zip(self._scorer.categorical, self._vocabulary, strict=True):
            split = categories.get(position)
            for word in known:
                data = word.encode()
                words.append((_letters(data[:8]), _letters(data[8:]), len(data)))
                columns.append(() if split is None else split.columns(word))
            word_from.append(len(words))
        of_each = [spans.get(position, (0, 0)) for position in self._scorer.categorical]
        table = np.zeros((len(words), max(map(len, columns), default=0)))
        for row, filled in zip(table, columns, strict=True):
            row[: len(filled)] = filled
        return (
            np.array(word_from, dtype=np.int32),
            np.array([*of_each, (0, len(self._trees.numeric))], dtype=np.int32),
            np.array(words, dtype=np.int64).reshape(-1, 3),
            table,
        )


def _fits(word: str) -> bool:
    return len(word.encode()) <= kernel.LONGEST_WORD


def _letters(data: bytes) -> int:
    return int.from_bytes(data, "big") - (1 << 64 if len(data) == 8 and data[0] > 127 else 0)
