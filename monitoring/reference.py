"""What the champion was trained on: the rows its manifest names, as a frame to hold served rows against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitoring.statistics import Floats
from monitoring.windows import PREFIX, as_category, as_number
from parked.errors import NotFoundError
from parked.pointer import read_pointer
from parked.settings import Settings

if TYPE_CHECKING:
    from training.config import LabelRules

MAX_ROWS = 60_000
"""Above it whole phones are left out (by hash): limits are counted some hundred times over the reference."""


@dataclass(frozen=True)
class Reference:
    """The champion and its training set."""

    model_tag: str
    features: tuple[str, ...]
    categorical: tuple[str, ...]
    frame: pd.DataFrame
    """``device_id``, ``candidate_id``, ``asked_at_us`` (the decision moment), ``label``, ``probability`` (of held-out
    rows; NaN on the rows the model was fitted to, whose scores flatter it) and ``f_<feature>``."""
    known_by: datetime
    """Labels known by then were learnt from."""
    label_rules: LabelRules
    """How judgments attach to candidates."""

    def held_out(self) -> pd.DataFrame:
        """Rows the model was not fitted to."""
        return self.frame[self.frame["probability"].notna()]


def published_tag(settings: Settings) -> str:
    """The champion's tag. Raises NotFoundError where nothing is published, InternalError for a damaged pointer."""
    pointer = read_pointer(settings.pointer_file)
    if pointer is None:
        raise NotFoundError("no model is published: there is nothing to monitor", mend="run `parked publish` first")
    return pointer.model_tag


def champion_reference(settings: Settings) -> Reference:
    """The published model's reference.

    Raises NotFoundError where nothing is published or the manifest's rows are gone, InputError where they were altered.
    """
    from training.manifest import read_rows
    from training.model_store import load_model
    from training.split import HELD_OUT

    tag = published_tag(settings)
    stored = load_model(settings, tag)
    recipe = stored.manifest.recipe
    rows = _some_phones(read_rows(settings.manifests_dir, recipe.rows))
    held = rows["split"].isin(HELD_OUT).to_numpy()
    probability: Floats = np.full(len(rows), np.nan)
    if held.any():
        probability[held] = stored.fit.score(rows[held])
    card = stored.card
    return Reference(
        model_tag=tag,
        features=tuple(card.features),
        categorical=tuple(card.categorical),
        frame=reference_frame(rows, card.features, card.categorical, probability),
        known_by=recipe.as_of,
        label_rules=recipe.config.labels,
    )


def reference_frame(
    rows: pd.DataFrame, features: list[str], categorical: list[str], probability: Floats
) -> pd.DataFrame:
    """Manifest rows (``device_id``, ``candidate_id``, ``decided_at_us``, ``label``, features) as a reference frame."""
    kinds = set(categorical)
    columns = {
        "device_id": rows["device_id"].astype(object),
        "candidate_id": rows["candidate_id"].astype(object),
        "asked_at_us": rows["decided_at_us"].astype("int64"),
        "label": rows["label"].astype("int64"),
        "probability": pd.Series(probability, index=rows.index),
        **{PREFIX + n: as_category(rows[n]) if n in kinds else as_number(rows[n]) for n in features},
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def _some_phones(rows: pd.DataFrame) -> pd.DataFrame:
    if len(rows) <= MAX_ROWS:
        return rows
    order = pd.util.hash_array(rows["device_id"].to_numpy(dtype=object))
    sizes = pd.Series(order).value_counts().sort_index().cumsum()
    kept = sizes.index[(sizes <= MAX_ROWS).to_numpy()]
    kept = kept if len(kept) else sizes.index[:1]
    return rows[np.isin(order, kept.to_numpy())].reset_index(drop=True)
