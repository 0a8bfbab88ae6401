"""CatBoost's trees as flat arrays: what a request is scored with, where it is proved to give CatBoost's own bits.

CatBoost wants a Pool per call, 46 µs at the least for one row of forty features; the same sums over arrays take 2 µs.
The arrays are made from the model's own JSON. What they cannot express (counters over categories, text, other shapes
of trees) is no error: the model is then evaluated by CatBoost (``bentos.model.proof`` decides).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DEEPEST = 8
"""Levels of a tree that ``bentos.model.tree_kernel`` takes."""

REMEMBERED = 4096
"""Categories a model's table remembers beyond those it splits on; more are looked up anew."""

_MASK = (1 << 64) - 1
_K2 = 0x9AE16A3B2F90404F
_K3 = 0xC949D7C7509E6557


class NotOursError(Exception):
    """This model, or this row, is CatBoost's to evaluate; the text says why."""


@dataclass(frozen=True)
class _Category:
    """One categorical feature: its value → the columns it fills, one for each value the model splits on."""

    hashes: tuple[int, ...]
    known: dict[object, tuple[float, ...]] = field(default_factory=dict)

    def columns(self, value: object) -> tuple[float, ...]:
        """1.0 where the value is the one split on, else 0.0. Raises NotOursError for a text too long to hash here."""
        found = self.known.get(value)
        if found is not None:
            return found
        if value is None or (isinstance(value, float) and math.isnan(value)):
            value = ""
        digest = category_hash(str(value))
        made = tuple(1.0 if digest == one else 0.0 for one in self.hashes)
        if len(self.known) < REMEMBERED:
            self.known[value] = made
        return made


@dataclass(frozen=True)
class Trees:
    """A model's trees. Immutable but for what it remembers of categories."""

    width: int
    """Columns of an encoded row: the numeric features, then one for each (category, value) split on."""
    numbers: Callable[[Sequence[object]], tuple[object, ...]]
    """A row's values → those of its numeric features."""
    categories: tuple[tuple[int, _Category], ...]
    """Position in the row → how it fills columns."""
    arrays: tuple[Any, ...]
    """What ``bentos.model.tree_kernel.margins`` takes after the rows."""
    kernel: Callable[..., None]

    names: tuple[str, ...]
    """Of the features, in the model's own order: for what is said of them."""
    numeric: tuple[int, ...]
    """Positions of the numeric features: column k holds the k-th."""

    @classmethod
    def of(
        cls,
        width: int,
        names: tuple[str, ...],
        numeric: tuple[int, ...],
        categories: Sequence[tuple[int, tuple[int, ...]]],
        arrays: tuple[Any, ...],
    ) -> Trees:
        """From what they consist of; ``categories``: position in the row → hashes of the values split on."""
        from bentos.model.tree_kernel import margins  # numba: a second to import

        filled = tuple((position, _Category(hashes)) for position, hashes in categories)
        return cls(width, getter(numeric), filled, arrays, margins, names, numeric)

    def takes(self, row: Sequence[object]) -> bool:
        """Whether the row can be encoded here at all."""
        try:
            for position, category in self.categories:
                category.columns(row[position])
        except NotOursError:
            return False
        return True

    def borders(self, position: int) -> list[float]:
        """What the numeric feature at ``position`` is compared with, ascending."""
        column = self.numeric.index(position)
        return sorted(float(above) for c, above in zip(self.arrays[1], self.arrays[2], strict=True) if c == column)

    def untried(self, rows: Sequence[Sequence[object]]) -> str | None:
        """A categorical feature that splits on a value none of ``rows`` holds."""
        for position, category in self.categories:
            values = {row[position] for row in rows if self.takes(row)}
            seen = np.any([category.columns(value) for value in values], axis=0) if values else np.zeros(1)
            if not seen.all():
                return self.names[position]
        return None

    def margins(self, rows: Sequence[Sequence[object]]) -> Floats:
        """``evaluate``'s margins."""
        return self.evaluate(rows)[0]

    def evaluate(self, rows: Sequence[Sequence[object]]) -> tuple[Floats, Floats]:
        """Raw margins, shape (n,), of rows of values in the model's own order of features (None is missing); and the
        rows as encoded, shape (n, width), the numeric features first.

        Raises NotOursError for a category longer than 16 bytes, TypeError or ValueError for text in place of a number.
        """
        flat: list[object] = []
        for row in rows:
            flat += self.numbers(row)
            for position, category in self.categories:
                flat += category.columns(row[position])
        encoded = np.array(flat, dtype=np.float64).reshape(len(rows), self.width)
        out = np.empty(len(rows))
        self.kernel(encoded, *self.arrays, out)
        return out, encoded


def compile_trees(model: Any, features: Sequence[str], categorical: Sequence[int]) -> Trees:
    """The trees of a ``catboost.CatBoost`` model over ``features`` (``categorical``: positions of those that are text).

    Raises NotOursError where the model has what these arrays cannot say.
    """
    with tempfile.TemporaryDirectory(prefix="parked-trees-") as folder:
        file = Path(folder) / "model.json"
        model.save_model(str(file), format="json")
        said = json.loads(file.read_bytes())
    return _compile(said, tuple(features), tuple(categorical))


def _compile(said: dict[str, Any], features: tuple[str, ...], categorical: tuple[int, ...]) -> Trees:
    info = said["features_info"]
    odd = sorted(set(info) - {"float_features", "categorical_features", "ctrs"})
    if odd or "oblivious_trees" not in said:
        raise NotOursError(f"the model has {', '.join(odd) or 'trees of another shape'}")
    numeric = [position for position in range(len(features)) if position not in categorical]
    column_of = {position: column for column, position in enumerate(numeric)}
    floats = {f["feature_index"]: f for f in info.get("float_features", ())}
    categories, column_of_value = _categories(info, len(numeric))
    conditions: dict[tuple[int, float], int] = {}
    asked, depth, leaves = [], [], []
    for tree in said["oblivious_trees"]:
        splits = tree["splits"] or ()
        for split in splits:
            if split["split_type"] == "FloatFeature":
                column = column_of[floats[split["float_feature_index"]]["flat_feature_index"]]
                condition = (column, split["border"])
            elif split["split_type"] == "OneHotFeature":
                condition = (column_of_value[split["cat_feature_index"], split["value"]], 0.5)
            else:
                raise NotOursError(f"the model splits by {split['split_type']}")
            asked.append(conditions.setdefault(condition, len(conditions)))
        depth.append(len(splits))
        leaves += tree["leaf_values"]
    if len(leaves) != sum(1 << d for d in depth):
        raise NotOursError("the model has more than one number per leaf")
    if max(depth, default=0) > DEEPEST:
        raise NotOursError(f"the model has trees of depth {max(depth)}")
    high = [column_of[f["flat_feature_index"]] for f in floats.values() if f["nan_value_treatment"] == "AsTrue"]
    scale, bias = said["scale_and_bias"]
    arrays = (
        np.array(high, dtype=np.int32),
        np.array([column for column, _ in conditions], dtype=np.uint32),
        np.array([above for _, above in conditions], dtype=np.float32),
        np.array(asked, dtype=np.uint32),
        np.array(depth, dtype=np.int32),
        np.array(leaves, dtype=np.float64),
        float(scale),
        float(bias[0]),
    )
    width = len(numeric) + len(column_of_value)
    return Trees.of(width, features, tuple(numeric), categories, arrays)


def _categories(
    info: dict[str, Any], first: int
) -> tuple[list[tuple[int, tuple[int, ...]]], dict[tuple[int, int], int]]:
    """Hashes of the values that each categorical feature is split on, and the column of each (feature, value), from
    ``first`` on."""
    made: list[tuple[int, tuple[int, ...]]] = []
    columns: dict[tuple[int, int], int] = {}
    for feature in info.get("categorical_features", ()):
        hashes = tuple(feature.get("values", ()))
        for value in hashes:
            columns[feature["feature_index"], value] = first + len(columns)
        if hashes:
            made.append((feature["flat_feature_index"], hashes))
    return made, columns


def getter(positions: Sequence[int]) -> Callable[[Sequence[object]], tuple[object, ...]]:
    """The values of a row at ``positions``, as fast as Python can."""
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda row: tuple(row[position] for position in positions)


def category_hash(text: str) -> int:
    """CatBoost's hash of a category: CityHash64 1.0 of its UTF-8, the lower 32 bits, signed as in the model's JSON.

    Raises NotOursError beyond 16 bytes, where that hash takes another hundred lines that no category of ours needs.

    >>> category_hash(""), category_hash("foot"), category_hash("vehicle")
    (797982799, -878501828, 875113649)
    """
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > 16:
        raise NotOursError(f"a category of {len(data)} bytes")
    low = _city64(data) & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _city64(data: bytes) -> int:
    """CityHash64 1.0 (Pike and Alakuijala 2011), ``HashLen0to16``."""
    size = len(data)

    def word(at: int, length: int) -> int:
        return int.from_bytes(data[at : at + length], "little")

    if size > 8:
        a, b = word(0, 8), word(size - 8, 8)
        turned = (b + size) & _MASK
        return _mix(a, (turned >> size | turned << (64 - size)) & _MASK) ^ b
    if size >= 4:
        return _mix(size + (word(0, 4) << 3) & _MASK, word(size - 4, 4))
    if size > 0:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[-1] << 2)
        mixed = (y * _K2 & _MASK) ^ (z * _K3 & _MASK)
        return (mixed ^ mixed >> 47) * _K2 & _MASK
    return _K2


def _mix(u: int, v: int) -> int:
    """``HashLen16``: Murmur-inspired."""
    multiplier = 0x9DDFEA08EB382D69
    a = (u ^ v) * multiplier & _MASK
    a ^= a >> 47
    b = (v ^ a) * multiplier & _MASK
    b ^= b >> 47
    return b * multiplier & _MASK
