"""``get_online_features`` from packed rows: no protobuf a value, no look-up of a service a call.

Feast's own way makes a protobuf message of every key and value, copies them into a response and turns each back. Here
what a list of features or a service needs is worked out once (``_Plan``), and rows become Python columns. Whatever
the plan does not cover (renamed or versioned views, on-demand views in pandas, keys of other types than declared, a
malformed question) is left to Feast's own way, which also raises Feast's own errors; a test holds both to the same
answers. The answer's protobuf (statuses, timestamps) is made when somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from feast import utils
from feast.feature_service import FeatureService
from feast.metrics import _config as feast_metrics
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.online_response import OnlineResponse
from feast.repo_config import RepoConfig
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType

from feature_repo.lmdb_values import AS_STORED, kind_of, message, oldest_us, path_of, view_key
from feature_repo.packed import Row, fields_of, file_of, key_of, told_fields, unpacked

Columns = dict[str, list[Any]]

MOST_PLANS: Final = 256
_INT64: Final = 2**63
_PYTHON: Final = {ValueType.STRING: str, ValueType.INT64: int, ValueType.DOUBLE: float, ValueType.BOOL: bool}


@dataclass(frozen=True)
class Reading:
    """What one transaction read: fields by view, rows by view and key, and when."""

    fields: dict[bytes, list[str]]
    rows: dict[bytes, dict[bytes, Row | None]]
    now_us: int


class PackedResponse(OnlineResponse):  # type: ignore[misc]
    """Feast's answer as columns; as protobuf on demand."""

    def __init__(self, columns: Columns, whole: Callable[[], OnlineResponse]) -> None:
        """``whole``: makes the same answer in Feast's own way."""
        self._columns = columns
        self._whole = whole
        self._made: OnlineResponse | None = None

    @property
    def proto(self) -> Any:
        """Feast's GetOnlineFeaturesResponse."""
        if self._made is None:
            self._made = self._whole()
        return self._made.proto

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Values by feature, one per row asked for, in order; seconds under ``<feature>__ts`` where wanted."""
        if not include_event_timestamps:
            return {name: list(values) for name, values in self._columns.items()}
        _ = self.proto
        assert self._made is not None
        told: dict[str, Any] = self._made.to_dict(include_event_timestamps=True)
        return told


class _NotCoveredError(Exception):
    """Feast's own way must answer."""


class _View:
    """A feature view's part in a plan."""

    def __init__(self, config: RepoConfig, table: Any, names: list[str], context: tuple[Any, ...], told: bytes) -> None:
        projection = table.projection
        aliased = projection.name_alias is not None or projection.join_key_map
        if isinstance(table, OnDemandFeatureView) or aliased or projection.version_tag is not None:
            raise _NotCoveredError
        self.table, self.name, self.told = table, projection.name, told
        self.key = view_key(config, table)
        self.join_keys = sorted((context[2][entity] for entity in table.entities), reverse=True)  # as ``key_of`` has it
        self.fields = fields_of(told)
        declared = {field.name: field for field in table.features}
        if not self.join_keys or any(name not in declared or name not in self.fields for name in names):
            raise _NotCoveredError
        self.columns = [(name, self.fields.index(name), _converter(declared[name])) for name in names]


class _Plan:
    """How to answer for one service or list of features."""

    def __init__(self, config: RepoConfig, context: tuple[Any, ...], transaction: Any) -> None:
        """``context``: what Feast resolved (``_get_cached_request_context``). Raises _NotCoveredError."""
        refs, on_demand, _, self.types, self.joins, grouped, self.wanted, self.request, entityless = context
        self.grouped = grouped
        if entityless or any(view.mode != "python" or view.aggregations for view in on_demand):
            raise _NotCoveredError
        self.views = [
            _View(config, table, names, context, told_fields(transaction, view_key(config, table)))
            for table, names in grouped
        ]
        names = [name for view in self.views for name, _, _ in view.columns]
        if len(set(names) | self.joins | self.request) != len(names) + len(self.joins) + len(self.request):
            raise _NotCoveredError
        self.transforms = [_Transform(view, refs) for view in on_demand]

    def keys(self, columns: Columns) -> list[list[bytes]]:
        return [
            [key_of([*map(str, values)]) for values in zip(*(columns[key] for key in view.join_keys), strict=True)]
            for view in self.views
        ]


class _Transform:
    """An on-demand view's part in a plan: it sees join keys, request data and its own sources' features."""

    def __init__(self, view: Any, refs: list[str]) -> None:
        if view.write_to_online_store or view.projection.name_alias is not None:
            raise _NotCoveredError
        parsed = [utils._parse_feature_ref(ref) for ref in refs]
        self.run = view.transform_dict
        self.outputs = {feature for name, _, feature in parsed if name == view.name}
        self.sources = {projection.name for projection in view.source_feature_view_projections.values()}
        self.types = {field.name: field.dtype.to_value_type() for field in view.schema}


class Answerer:
    """Keeps plans; one per store. Safe to use from several threads."""

    def __init__(self) -> None:
        self._plans: dict[Any, _Plan] = {}

    def answer(
        self, config: RepoConfig, features: Any, entity_rows: Any, registry: Any, project: str, now_us: int
    ) -> tuple[Columns, Reading] | None:
        """Columns as ``OnlineResponse.to_dict`` gives them, and what was read for them; None: ask Feast's own way."""
        precomputed = isinstance(features, FeatureService) and getattr(features, "precompute_online", False)
        if precomputed or feast_metrics.online_features:
            return None
        try:
            context = utils._get_cached_request_context(registry, project, features, False)
            given = _columns(entity_rows)
            file = file_of(path_of(config))
            handles = {view: file.view(view) for view in (view_key(config, table) for table, _ in context[5])}
            with file.begin(buffers=True) as transaction:
                plan = self._plan(config, features, context, transaction)
                asked = _checked(plan, given)
                keys = plan.keys(asked)
                rows: dict[bytes, dict[bytes, Row | None]] = {}
                for view, of_view in zip(plan.views, keys, strict=True):
                    once = list(dict.fromkeys(of_view))
                    rows[view.key] = dict(zip(once, unpacked(transaction, handles[view.key], once), strict=True))
            reading = Reading({view.key: view.fields for view in plan.views}, rows, now_us)
            return _answered(plan, asked, keys, reading), reading
        except _NotCoveredError:
            return None

    def _plan(self, config: RepoConfig, features: Any, context: tuple[Any, ...], transaction: Any) -> _Plan:
        name = features.name if isinstance(features, FeatureService) else tuple(features)
        slot = (path_of(config), isinstance(features, FeatureService), name)
        plan = self._plans.get(slot)
        # Feast resolves afresh when its registry may have changed; what a row holds changes with its fields.
        if plan is None or plan.grouped is not context[5] or not _current(plan, transaction):
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            plan = self._plans[slot] = _Plan(config, context, transaction)
        return plan


def _current(plan: _Plan, transaction: Any) -> bool:
    return all(told_fields(transaction, view.key) == view.told for view in plan.views)


def _columns(entity_rows: Any) -> Columns:
    if isinstance(entity_rows, Mapping):
        given = dict(entity_rows)
    else:
        first = entity_rows[0] if entity_rows else {}
        if any(len(row) != len(first) for row in entity_rows):
            raise _NotCoveredError
        try:
            given = {name: [row[name] for row in entity_rows] for name in first}
        except KeyError:
            raise _NotCoveredError from None
    if not given or not all(isinstance(values, list) for values in given.values()):
        raise _NotCoveredError
    if len({len(values) for values in given.values()}) != 1:
        raise _NotCoveredError
    return given


def _checked(plan: _Plan, given: Columns) -> Columns:
    """The join keys and request data of a question, where Feast would hand them through as they are."""
    asked: Columns = {}
    for name, values in given.items():
        kinds: tuple[type, ...]
        if name in plan.request:
            kinds = (int, float)
        elif name in plan.joins:
            kinds = (_PYTHON.get(plan.types[name], type(None)),) if name in plan.types else (str, int)
        else:
            continue
        if not any(_all(values, kind) for kind in kinds):
            raise _NotCoveredError
        asked[name] = values
    needed = plan.request.union(*(view.join_keys for view in plan.views))
    if not needed <= asked.keys():
        raise _NotCoveredError
    return asked


def _all(values: list[Any], kind: type) -> bool:
    """Whether all values are of exactly this type, and such as protobuf holds unchanged and Feast takes for no null."""
    if any(type(value) is not kind for value in values):
        return False
    if kind is int:
        return all(-_INT64 <= value < _INT64 for value in values)
    return all(value == value and value != "" for value in values)


def _answered(plan: _Plan, asked: Columns, keys: list[list[bytes]], reading: Reading) -> Columns:
    by_view: dict[str, Columns] = {}
    for view, of_view in zip(plan.views, keys, strict=True):
        oldest = oldest_us(view.table, reading.now_us)
        rows = [reading.rows[view.key][key] for key in of_view]
        if oldest is not None:
            rows = [None if row is None or row[0] < oldest else row for row in rows]
        by_view[view.name] = {
            name: [None if row is None or at >= len(row) or row[at] is None else convert(row[at]) for row in rows]
            if convert is not None
            else [None if row is None or at >= len(row) else row[at] for row in rows]
            for name, at, convert in view.columns
        }
    columns = {name: values for name, values in asked.items() if name not in plan.request or name in plan.wanted}
    for of_view_columns in by_view.values():
        columns |= {name: values for name, values in of_view_columns.items() if name in plan.wanted}
    for transform in plan.transforms:
        inputs = dict(asked)
        for name in by_view.keys() & transform.sources:
            inputs |= by_view[name]
        told = transform.run(inputs)
        for name in told.keys() & transform.outputs:
            columns[name] = _as_feast_gives(told[name], transform.types.get(name, ValueType.UNKNOWN))
    return columns


def _as_feast_gives(values: Any, kind: ValueType) -> list[Any]:
    """What is left of values after a way through Feast's protobuf."""
    if not isinstance(values, list):
        raise _NotCoveredError
    python = _PYTHON.get(kind)
    if python is not None and all(value is None or type(value) is python for value in values):
        if python is float:
            return [None if value != value else value for value in values]
        if python is not int or _all([value for value in values if value is not None], int):
            return values
    return [feast_value_type_to_python_type(value) for value in python_values_to_proto_values(values, kind)]


def _converter(field: Any) -> Callable[[Any], Any] | None:
    """From a stored value to what Feast gives a caller; None: it is that."""
    kind = kind_of(field)
    if kind in AS_STORED:
        return None
    value_type = field.dtype.to_value_type()
    return lambda stored: feast_value_type_to_python_type(message(kind, stored), value_type)
