"""A model as served: ``model.cbm`` + ``card.json``, and rows of features in, calibrated probabilities out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from bentos.model.genuine import require_genuine
from bentos.model.trees import Floats, NotOursError, Trees, getter
from parked.errors import InternalError, NotFoundError
from parked.model_card import ModelCard
from parked.pointer import published
from parked.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

MODEL_FILE = "model.cbm"
CARD_FILE = "card.json"
NAN = float("nan")


class Coded(NamedTuple):
    """Texts of n rows as numbers."""

    codes: npt.NDArray[np.int16]
    """Shape (n, categorical features): which word; -1 where missing."""
    words: list[list[str]]
    """Of each categorical feature; they only grow."""

    def rows(self) -> list[tuple[object, ...]]:
        """A tuple per row."""
        return [
            tuple(None if k < 0 else words[k] for k, words in zip(row, self.words, strict=True))
            for row in self.codes.tolist()
        ]


class Block(NamedTuple):
    """Room for rows of many answers, which are taken one after the other and never again."""

    numbers: Floats
    """Shape (rows, columns)."""
    codes: npt.NDArray[np.int16]
    """Shape (rows, categorical features)."""
    words: list[list[str]]
    """As ``Coded.words``."""


class Fed(NamedTuple):
    """What a model was fed, as it was encoded: what the prediction log keeps."""

    numbers: Floats
    """Shape (n, at least the numeric features): the numeric features in the model's own order, NaN where missing."""
    texts: list[tuple[object, ...]] | Coded
    """The categorical features in the card's order, a tuple per row."""
    block: Block | None = None
    """Whose rows from ``at`` on these are, where they lie in one."""
    at: int = 0


@dataclass(frozen=True, eq=False)
class Scorer:
    """One loaded model. Immutable, so it can be shared by threads and swapped as a whole."""

    tag: str
    """BentoML tag ``name:version``."""
    card: ModelCard
    load: Callable[[], Any]
    """Gives the ``catboost.CatBoost``; called once, when first needed."""
    categorical: tuple[int, ...]
    """Positions of the categorical features in ``card.features``."""

    trees: Trees | None = None
    """The model's trees as arrays, where proved equal (``bentos.model.proof``); None: CatBoost evaluates them."""

    @cached_property
    def model(self) -> Any:
        """The ``catboost.CatBoost``. Raises what ``load`` raises."""
        return self.load()

    @cached_property
    def _numbers(self) -> Callable[[Sequence[object]], tuple[object, ...]]:
        return getter([p for p in range(len(self.card.features)) if p not in self.categorical])

    @cached_property
    def _texts(self) -> Callable[[Sequence[object]], tuple[object, ...]]:
        return getter(self.categorical)

    @property
    def evaluated_by(self) -> Literal["compiled", "catboost"]:
        """What evaluates the trees."""
        return "catboost" if self.trees is None else "compiled"

    def values(self, row: Mapping[str, object]) -> list[object]:
        """A row's values in the model's own order; None where it lacks one."""
        return [row.get(name) for name in self.card.features]

    def encode(self, row: Mapping[str, object]) -> list[object]:
        """One row in the model's own order: categorical → str ("" where missing), numeric → float (NaN where missing).

        Raises InternalError for a value that is neither (the store and the card disagree).
        """
        return self._encode(self.values(row))

    def score(self, rows: Sequence[Mapping[str, object]]) -> list[float]:
        """Calibrated probabilities (0–1), one per row, in the rows' order. Features a row lacks count as missing."""
        return self.score_values([self.values(row) for row in rows])

    def score_values(self, rows: Sequence[Sequence[object]]) -> list[float]:
        """``score`` over rows of values in the model's own order; None is missing."""
        return self.evaluate(rows)[0] if rows else []

    def evaluate(self, rows: Sequence[Sequence[object]]) -> tuple[list[float], Fed]:
        """Probabilities of rows of values (at least one) in the model's own order, and what the model was fed."""
        fed = None
        if self.trees is not None:
            # A category arrays cannot hold, or a value of a wrong type: CatBoost takes the one and names the other.
            with contextlib.suppress(NotOursError, TypeError, ValueError):
                margins, numbers = self.trees.evaluate(rows)
                fed = numbers
        if fed is None:
            margins = self.catboost_margins(rows)
            fed = np.array([self._numbers(row) for row in rows], dtype=np.float64)
        return self.probabilities(margins), Fed(fed, [self._texts(row) for row in rows])

    def probabilities(self, margins: Floats) -> list[float]:
        """Calibrated probabilities of raw margins."""
        probability = self.card.probability
        return [probability(margin) for margin in margins.tolist()]

    def catboost_margins(self, rows: Sequence[Sequence[object]]) -> Floats:
        """Raw margins by CatBoost itself, shape (n,). Raises InternalError for text where a number belongs.

        One thread: a request is one to three rows, for which CatBoost's thread pool costs more than it gives.
        Measured on 1 / 3 / 100 rows of 22 features: Pool 80 / 92 / 287 µs, list of lists 111 / 135 / 1483 µs.
        """
        import catboost

        encoded = [self._encode(row) for row in rows]
        pool = catboost.Pool(encoded, cat_features=list(self.categorical), thread_count=1)
        margins = self.model.predict(pool, prediction_type="RawFormulaVal", thread_count=1)
        return np.asarray(margins, dtype=np.float64)

    def _encode(self, row: Sequence[object]) -> list[object]:
        encoded: list[object] = []
        for position, value in enumerate(row):
            if position in self.categorical:
                encoded.append(_category(value))
            elif value is None:
                encoded.append(NAN)
            elif isinstance(value, (int, float)):
                encoded.append(float(value))
            else:
                name = self.card.features[position]
                raise InternalError(f"feature {name} of {self.tag} is {type(value).__name__}, the model wants a number")
        return encoded

    def score_table(self, table: pa.Table) -> list[float]:
        """``score`` over a table with (at least) the card's features as columns, for many rows. Same numbers.

        Raises InternalError for a feature without a column or a numeric feature of another type.
        """
        import catboost
        import pandas as pd

        if not table.num_rows:
            return []
        columns = {}
        for name in self.card.features:
            if name not in table.column_names:
                raise InternalError(f"model {self.tag}: no column {name}")
            column = table[name].to_pandas()
            if name in self.card.categorical:
                columns[name] = column.astype(object).where(column.notna(), "").astype(str)
            else:
                try:
                    columns[name] = column.astype("float64")  # bool and int too; null is NaN
                except (TypeError, ValueError):
                    raise InternalError(f"feature {name} of {self.tag} is {column.dtype}, not a number") from None
        pool = catboost.Pool(pd.DataFrame(columns), cat_features=list(self.categorical), thread_count=1)
        margins = self.model.predict(pool, prediction_type="RawFormulaVal", thread_count=1)
        return [self.card.probability(float(margin)) for margin in margins]


def _category(value: object) -> str:
    """A missing category is the empty string, which is how it was trained (``ModelCard.categorical``)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)


def load_scorer(model_dir: Path, tag: str | None = None) -> Scorer:
    """Load ``model.cbm`` and ``card.json`` of a folder of the BentoML model store (``…/<name>/<version>``).

    ``tag`` defaults to the folder's own ``name:version``. Raises NotFoundError where the folder or a file is
    missing, InternalError where a file is damaged or model and card disagree on features.
    """
    tag = tag or f"{model_dir.parent.name}:{model_dir.name}"
    card, positions = card_of(model_dir, tag)
    model = catboost_model(model_dir, tag, card)
    return Scorer(tag, card, lambda: model, positions)


def card_of(model_dir: Path, tag: str) -> tuple[ModelCard, tuple[int, ...]]:
    """The card of a model, and the positions of its categorical features. Raises what ``load_scorer`` raises."""
    for name in (MODEL_FILE, CARD_FILE):
        if not (model_dir / name).is_file():
            raise NotFoundError(f"model {tag}: no {name} in {model_dir}", mend="see `parked models`, or train it again")
    try:
        card = ModelCard.model_validate_json((model_dir / CARD_FILE).read_bytes())
    except ValidationError as error:
        raise InternalError(f"model {tag}: damaged {CARD_FILE} ({error.error_count()} faults)") from error
    positions = tuple(card.features.index(name) for name in card.categorical if name in card.features)
    if len(positions) != len(card.categorical):
        raise InternalError(f"model {tag}: its card calls a feature categorical that it does not name")
    return card, positions


def catboost_model(model_dir: Path, tag: str, card: ModelCard) -> Any:
    """The ``catboost.CatBoost`` of a folder.

    Raises InternalError where it is damaged, ``card`` is another's, or they are not what was trained as ``tag``.
    """
    import catboost  # here, not above: BentoML's supervisor imports the service and never scores

    model = catboost.CatBoost()
    try:
        model.load_model(str(model_dir / MODEL_FILE))
    except catboost.CatBoostError as error:
        raise InternalError(f"model {tag}: damaged {MODEL_FILE}") from error
    require_genuine(model_dir / MODEL_FILE, tag, card)
    names = list(model.feature_names_)
    if names != card.features:
        odd = next(
            (f"{a!r} against {b!r}" for a, b in zip(names, card.features, strict=False) if a != b), "another number"
        )
        raise InternalError(f"model {tag}: the model's features differ from its card's ({odd})")
    if sorted(map(card.features.index, card.categorical)) != sorted(model.get_cat_feature_indices()):
        raise InternalError(f"model {tag}: the model's categorical features differ from its card's")
    return model


def model_dir_of(settings: Settings, tag: str) -> Path:
    """Where BentoML's model store keeps ``tag``: its own layout in our home, else wherever BentoML knows it (a bento).

    Raises NotFoundError for a tag that is not ``name:version`` or not in the store.
    """
    name, _, version = tag.partition(":")
    if not name or not version or version == "latest" or "/" in tag or ".." in tag:
        raise NotFoundError(f"model {tag!r}: not a tag name:version", mend="see `parked models`")
    folder = settings.bentoml_home / "models" / name / version
    if folder.is_dir():
        return folder
    import bentoml

    try:
        return Path(bentoml.models.get(tag).path)
    except bentoml.exceptions.BentoMLException:
        raise NotFoundError(f"model {tag}: not in the model store", mend="see `parked models`") from None


def load_published(settings: Settings) -> Scorer:
    """The scorer of the champion of the rules in use.

    Raises NotFoundError where nothing is published, InternalError where it is damaged, ConflictError for other rules.
    """
    pointer = published(settings)
    if pointer is None:
        raise NotFoundError("no model is published", mend="run `parked train`, then `parked publish`")
    return load_scorer(model_dir_of(settings, pointer.model_tag), pointer.model_tag)
