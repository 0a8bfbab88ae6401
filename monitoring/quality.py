"""Data quality of served features against the training set, before any distance is taken.

Evidently loses the whole report on one empty or missing column and drops missing values before testing; so every column
is looked at here first, and the ones a report cannot hold are named and left out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from monitoring.policy import QualityTrigger
from monitoring.statistics import Floats, clustered_share, encode_categories
from monitoring.triggers import Reading
from monitoring.windows import PREFIX, as_number


@dataclass(frozen=True)
class FeatureQuality:
    """One feature's look. Shares are of rows, 0-1."""

    name: str
    categorical: bool
    null_share: float
    null_share_training: float
    null_rise_se: float
    """Standard error of their difference, phones being the units."""
    unseen_share: float
    """Rows whose category the training set never shows (0 for numbers)."""
    unseen_share_se: float
    out_of_range_share: float
    """Rows beyond the training set's smallest and largest number, of those that hold one (0 for categories)."""
    distinct: int
    distinct_training: int

    @property
    def null_rise(self) -> float:
        """How much larger the share of missing values is than in training (negative: smaller)."""
        return self.null_share - self.null_share_training

    @property
    def empty(self) -> bool:
        """Not one value on a side: no distance of values, and no place in an Evidently report."""
        return self.distinct == 0 or self.distinct_training == 0

    @property
    def became_constant(self) -> bool:
        """One value only, where training saw several."""
        return self.distinct == 1 and self.distinct_training > 1

    def remarks(self) -> list[str]:
        """What a person should know of this column, as short clauses; none where all is well."""
        said = []
        if self.distinct == 0:
            said.append("no value at all" + (" (as in training)" if self.distinct_training == 0 else ""))
        elif self.distinct_training == 0:
            said.append("values, where training had none")
        elif self.became_constant:
            said.append("one single value")
        if self.null_rise > 0.01 and self.distinct:
            said.append(f"missing {self.null_share:.0%} (training {self.null_share_training:.0%})")
        if self.unseen_share > 0:
            said.append(f"unseen categories {self.unseen_share:.1%}")
        if self.out_of_range_share > 0.01:
            said.append(f"out of the training range {self.out_of_range_share:.1%}")
        return said

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "remarks": self.remarks()}


def look(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    features: Sequence[str],
    categorical: Sequence[str],
    weights: Floats | None = None,
) -> list[FeatureQuality]:
    """One ``FeatureQuality`` per feature, in order; a missing column is all null.

    Frames hold ``device_id`` and ``f_<feature>``. ``weights``: of the reference's rows (``monitoring.context``), for
    its share of missing values.
    """
    kinds = set(categorical)
    before_phone, now_phone = (pd.factorize(frame["device_id"])[0].astype(np.int64) for frame in (reference, current))
    found = []
    for name in features:
        before, now = _values(reference, name, name in kinds), _values(current, name, name in kinds)
        null_before, se_before = clustered_share(before.isna(), before_phone, weights)
        null_now, se_now = clustered_share(now.isna(), now_phone)
        unseen, unseen_se = 0.0, 0.0
        outside = 0.0
        held, known = now.dropna(), before.dropna()
        if name in kinds:
            unseen, unseen_se = clustered_share(now.notna() & ~now.isin(known.unique()), now_phone)
        elif len(held) and len(known):
            outside = float(((held < known.min()) | (held > known.max())).mean())
        found.append(
            FeatureQuality(
                name=name,
                categorical=name in kinds,
                null_share=null_now,
                null_share_training=null_before,
                null_rise_se=float(np.hypot(se_before, se_now)),
                unseen_share=unseen,
                unseen_share_se=unseen_se,
                out_of_range_share=outside,
                distinct=int(now.nunique()),
                distinct_training=int(before.nunique()),
            )
        )
    return found


def readings(found: Sequence[FeatureQuality], policy: QualityTrigger) -> list[Reading]:
    """Shares as the triggers read them: missing values that rose, and categories never seen."""
    said = []
    for feature in found:
        limit = max(policy.null_rise, policy.limit_sd * feature.null_rise_se)
        said.append(Reading(f"{feature.name} missing", feature.null_rise, limit))
        if feature.categorical:
            limit = max(policy.unseen_share, policy.limit_sd * feature.unseen_share_se)
            said.append(Reading(f"{feature.name} unseen", feature.unseen_share, limit))
    return said


def _values(frame: pd.DataFrame, name: str, categorical: bool) -> pd.Series:
    """A feature's values, whatever is missing as null (NaN or None)."""
    key = PREFIX + name
    column = frame[key] if key in frame else pd.Series(np.full(len(frame), np.nan), index=frame.index, name=key)
    if categorical:
        strings = pd.Series(encode_categories(column.to_numpy()), index=frame.index, dtype=object)
        return strings.mask(strings == "", None)
    return as_number(column)
