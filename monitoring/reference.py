"""What served answers are held against: the champion's training period and phones, asked as people ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from monitoring.asking import questions
from monitoring.statistics import Floats
from monitoring.windows import PREFIX, as_category, as_number
from parked.errors import NotFoundError
from parked.files import write_table
from parked.pointer import published
from parked.settings import Settings
from training.ports import Bools, Sources

if TYPE_CHECKING:
    from training.config import LabelRules
    from training.manifest import Manifest

REFERENCE_SEED: Final = 20240
"""The reference of a model is drawn once and kept; any seed does."""


@dataclass(frozen=True)
class Reference:
    """The champion and what it is held against."""

    model_tag: str
    features: tuple[str, ...]
    categorical: tuple[str, ...]
    frame: pd.DataFrame
    """``device_id``, ``candidate_id``, ``asked_at_us``, ``probability`` (where the model was not fitted to the
    candidate's phone or time; NaN elsewhere: scores of what was learnt flatter it) and ``f_<feature>``."""
    known_by: datetime
    """Labels known by then were learnt from."""
    label_rules: LabelRules
    """How judgments attach to candidates."""

    def held_out(self) -> pd.DataFrame:
        """Rows the model was not fitted to."""
        return self.frame[self.frame["probability"].notna()].reset_index(drop=True)


def published_tag(settings: Settings) -> str:
    """The tag of the champion of the rules in use. Raises NotFoundError where nothing is published, else what
    ``parked.pointer.published`` raises."""
    pointer = published(settings)
    if pointer is None:
        raise NotFoundError("no model is published: there is nothing to monitor", mend="run `parked publish` first")
    return pointer.model_tag


def champion_reference(settings: Settings, sources: Sources) -> Reference:
    """The published model's reference: its features are looked up once (``sources.retrieve``), then kept.

    Raises NotFoundError where nothing is published or the feature snapshots are gone.
    """
    from training.model_store import load_model

    stored = load_model(settings, published_tag(settings))
    card, recipe = stored.card, stored.manifest.recipe
    asked = _asked(settings, stored.manifest, sources)
    kinds = set(card.categorical)
    fed = pd.DataFrame({n: as_category(asked[n]) if n in kinds else as_number(asked[n]) for n in card.features})
    held = _held_out(asked, stored.manifest)
    probability: Floats = np.full(len(asked), np.nan)
    if held.any():
        probability[held] = stored.fit.score(fed[held])
    frame = pd.concat(
        [
            asked[["device_id", "candidate_id", "asked_at_us"]],
            pd.Series(probability, name="probability"),
            fed.add_prefix(PREFIX),
        ],
        axis=1,
    )
    return Reference(
        model_tag=stored.tag,
        features=tuple(card.features),
        categorical=tuple(card.categorical),
        frame=frame,
        known_by=recipe.as_of,
        label_rules=recipe.config.labels,
    )


def kept_reference(settings: Settings, tag: str) -> Path:
    """Where a model's reference is kept: beside its manifest, whose rows are about the same phones."""
    return settings.manifests_dir / f"asked-{tag.replace(':', '-')}.parquet"


def _asked(settings: Settings, manifest: Manifest, sources: Sources) -> pd.DataFrame:
    """Questions and their features, from the kept file or looked up and kept."""
    from training.dataset import retrieve_features
    from training.snapshots import read_snapshots

    path = kept_reference(settings, manifest.tag)
    if path.is_file():
        kept: pd.DataFrame = pq.read_table(path).to_pandas()
        return kept
    recipe = manifest.recipe
    asked = questions(read_snapshots(settings.features_dir, recipe.as_of), np.random.default_rng(REFERENCE_SEED))
    wanted = asked.rename(columns={"asked_at_us": "decided_at_us"})
    found = retrieve_features(wanted.drop(columns="left_at_us"), sources, recipe.feature_service)
    on = ["candidate_id", "decided_at_us"]
    joined = wanted.merge(found[[*on, *recipe.features]], on=on, validate="one_to_one")
    joined = joined.rename(columns={"decided_at_us": "asked_at_us"})
    write_table(path, pa.Table.from_pandas(joined, preserve_index=False).replace_schema_metadata(None))
    return pd.DataFrame(pq.read_table(path).to_pandas())


def _held_out(asked: pd.DataFrame, manifest: Manifest) -> Bools:
    """What the model was not fitted to: phones held out at all times, and candidates left from the cut on."""
    from training.split import device_share

    rules = manifest.recipe.config.split
    shares = {str(d): device_share(str(d), rules.salt) for d in asked["device_id"].unique()}
    tested = asked["device_id"].map(shares).to_numpy(dtype=np.float64) < rules.test_devices
    return np.asarray(tested | (asked["left_at_us"].to_numpy() >= manifest.recipe.cut_us), dtype=np.bool_)
