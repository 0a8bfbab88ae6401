"""The scientists' outlier rules: named comparisons that drop rows from fitting, nothing that is evaluated as code.

Rules bear on training and calibration rows only. Held-out rows are never dropped: the server must answer for them
too, and a metric measured without the hard rows would flatter.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from parked.errors import SettingError
from training.config import first_fault, read_yaml
from training.ports import Bools

_ORDERED: Final = ("<", "<=", ">", ">=")
_UNARY: Final = ("is_null", "is_not_null")


class OutlierRule(BaseModel):
    """Drop the rows where ``column op value`` holds. A missing value satisfies no comparison (only ``is_null``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    column: str = Field(min_length=1)
    op: Literal["<", "<=", ">", ">=", "==", "!=", "in", "not_in", "is_null", "is_not_null"]
    value: float | str | list[float | str] | None = None
    why: str = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> OutlierRule:
        if self.op in _UNARY and self.value is not None:
            raise ValueError(f"op {self.op} takes no value")
        if self.op in _ORDERED and not isinstance(self.value, float | int):
            raise ValueError(f"op {self.op} compares with a number, not {self.value!r}")
        if self.op in ("in", "not_in") and not isinstance(self.value, list):
            raise ValueError(f"op {self.op} takes a list of values")
        if self.op in ("==", "!=") and (self.value is None or isinstance(self.value, list)):
            raise ValueError(f"op {self.op} takes one value")
        return self

    def hits(self, column: pd.Series) -> Bools:
        """Which rows the rule drops, shape (n,)."""
        if self.op in _UNARY:
            missing = column.isna() | (column.astype(object) == "")
            return np.asarray(missing if self.op == "is_null" else ~missing, dtype=np.bool_)
        values = self.value if isinstance(self.value, list) else [self.value]
        if self.op in ("in", "=="):
            found = column.isin(values)
        elif self.op in ("not_in", "!="):
            found = ~column.isin(values) & column.notna()
        else:
            numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[self.op]
            with np.errstate(invalid="ignore"):
                return np.asarray(compare(numbers, float(str(self.value))), dtype=np.bool_)
        return np.asarray(found, dtype=np.bool_)


class OutlierRules(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=1)
    rules: tuple[OutlierRule, ...]

    @model_validator(mode="after")
    def _distinct(self) -> OutlierRules:
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"rule name {twice[0]!r} is used twice")
        return self


def load_outliers(path: Path) -> OutlierRules:
    """Read and check an outlier file.

    Raises NotFoundError (no such file) and SettingError naming file, rule and mend.
    """
    content = read_yaml(path)
    try:
        return OutlierRules.model_validate(content)
    except ValidationError as error:
        place, message = first_fault(error)
        loc = error.errors()[0]["loc"]
        if len(loc) >= 2 and loc[0] == "rules" and isinstance(loc[1], int):
            rule = content["rules"][loc[1]]
            name = rule.get("name", f"number {loc[1] + 1}") if isinstance(rule, dict) else f"number {loc[1] + 1}"
            field = f", {loc[2]}" if len(loc) > 2 else ""
            raise SettingError(f"{path}: rule {name!r}{field}: {message}", mend="mend that rule") from None
        raise SettingError(f"{path}: {place}: {message}", mend=f"mend {place}") from None


def find_outliers(rules: OutlierRules, rows: pd.DataFrame, path: Path) -> tuple[Bools, dict[str, int]]:
    """Rows to drop, shape (n,), and how many rows each rule hit (a row may be hit by several).

    ``path`` is for the error only. Raises SettingError where a rule names a column the rows do not have.
    """
    drop = np.zeros(len(rows), dtype=np.bool_)
    counts: dict[str, int] = {}
    for rule in rules.rules:
        if rule.column not in rows.columns:
            near = difflib.get_close_matches(rule.column, list(rows.columns), n=1)
            mend = f"did you mean {near[0]}?" if near else "name a feature of the feature service"
            raise SettingError(f"{path}: rule {rule.name!r}: no column {rule.column!r}", mend=mend)
        hits = rule.hits(rows[rule.column])
        counts[rule.name] = int(hits.sum())
        drop |= hits
    return drop, counts
