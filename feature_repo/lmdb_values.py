"""Feast's configuration, keys and protobuf values as those of the packed file, and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from feast.feature_view import FeatureView
from feast.field import Field
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig

from feature_repo.packed import Row, view_of
from parked.clock import from_us

_SCALARS: Final = {
    "double_val", "float_val", "int32_val", "int64_val", "string_val", "bool_val", "bytes_val", "unix_timestamp_val",
}  # fmt: skip

AS_STORED: Final = {"double_val", "int32_val", "int64_val", "string_val", "bool_val", "bytes_val"}
"""Kinds whose plain value is what Feast's own answer gives a caller."""

Found = tuple[Any, dict[str, Value] | None]


def path_of(config: RepoConfig) -> Path:
    """The folder that ``config`` names; a relative one counts from the repo, as Feast's other paths."""
    path = Path(config.online_store.path)
    return path if path.is_absolute() or config.repo_path is None else Path(config.repo_path) / path


def view_key(config: RepoConfig, table: Any) -> bytes:
    """By what the rows of a view are found."""
    return view_of(config.project, table.name)


def values_of(entity: EntityKey) -> list[str]:
    """An entity key's values from the last of their names to the first, as ``key_of`` takes them."""
    pairs = sorted(zip(entity.join_keys, entity.entity_values, strict=True), key=lambda pair: pair[0], reverse=True)
    return [str(getattr(value, value.WhichOneof("val"))) for _, value in pairs]


def plain(value: Value) -> Any:
    """A protobuf value as Python; what is no scalar stays the message's bytes."""
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    return getattr(value, kind) if kind in _SCALARS else value.SerializeToString()


def kind_of(field: Field) -> str:
    """The member of a Value that holds a field's type; empty for what is kept as a whole message."""
    name = f"{field.dtype.to_value_type().name.lower()}_val"
    return name if name in _SCALARS else ""


def message(kind: str, stored: Any) -> Value:
    """The protobuf value of a stored one; None is Feast's null, an empty message."""
    if stored is None:
        return Value()
    return Value(**{kind: stored}) if kind else Value.FromString(stored)


def oldest_us(table: FeatureView, now_us: int) -> int | None:
    """Before which moment (microseconds) a row of ``table`` is outside its time to live; None: it has none.

    As Feast's point-in-time join has it: a row exactly as old as the ttl still counts, a ttl of zero is none.
    """
    return now_us - table.ttl // timedelta(microseconds=1) if table.ttl else None


def found(
    table: FeatureView, requested: Sequence[str] | None, known: Sequence[str], rows: Sequence[Row | None], now_us: int
) -> list[Found]:
    """Rows (of the fields ``known``, EVENT_US first) as Feast's ``online_read`` gives them: (when, values by name).

    (None, None) for a row that is not there; (when, None) for one outside the view's time to live.
    """
    kinds = {field.name: kind_of(field) for field in table.features}
    wanted = list(kinds) if requested is None else [name for name in requested if name in kinds]
    oldest = oldest_us(table, now_us)
    answers: list[Found] = []
    for row in rows:
        if row is None:
            answers.append((None, None))
        elif oldest is not None and row[0] < oldest:
            answers.append((from_us(row[0]), None))
        else:
            stored = dict(zip(known, row, strict=False))
            answers.append((from_us(row[0]), {name: message(kinds[name], stored.get(name)) for name in wanted}))
    return answers
