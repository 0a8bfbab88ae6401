"""``FeatureStore.get_online_features`` from packed rows is what Feast's own way gives, whatever is asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import feast.types
import pytest
from feast import Field, OnDemandFeatureView, RequestSource
from feast.infra.online_stores.online_store import OnlineStore
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.lmdb_answer import PackedResponse
from feature_repo.lmdb_store import LmdbOnlineStore
from parked.clock import fixed_clock
from tests.feature_repo.online_stores import ENTITIES, HOUR, NOON, NULLS, TYPES, VALUES, Shop, entity, open_shop, view

TYPED, PAIRS = view("typed"), view("pairs", {"x": feast.types.Int64, "z": feast.types.Float64}, keys=("a", "b"))
AGED = view("aged", {"y": feast.types.Float64}, ttl=HOUR)


def derive(inputs: dict[str, Any]) -> dict[str, Any]:
    def plus(left: Any, right: Any) -> Any:
        return None if left is None or right is None else left + right

    return {
        "sum": [plus(x, asked) for x, asked in zip(inputs["x"], inputs["asked"])],  # noqa: B905
        "ratio": [float("nan") if z is None else 1 if z == 1.5 else z for z in inputs["z"]],
        "seen": [len([name for name in inputs if name in ("long", "double", "y", "x", "z")]) for _ in inputs["x"]],
    }


ASKED = RequestSource(name="asked_source", schema=[Field(name="asked", dtype=feast.types.Int64)])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = open_shop("lmdb", tmp_path_factory.mktemp("answers"), "")
    derived = OnDemandFeatureView(
        name="derived",
        sources=[ASKED, PAIRS],
        schema=[
            Field(name="sum", dtype=feast.types.Int64),
            Field(name="ratio", dtype=feast.types.Float64),
            Field(name="seen", dtype=feast.types.Int64),
        ],
        mode="python",
        udf=derive,
        udf_string="derive",
    )
    shop.store.apply([*ENTITIES.values(), TYPED, PAIRS, AGED, ASKED, derived])
    shop.store.refresh_registry()
    shop.write(TYPED, (entity(k="a"), VALUES, NOON, None), (entity(k="b"), NULLS, NOON, None))
    part = {"long": Value(int64_val=3), "double": Value(double_val=float("nan"))}
    shop.write(TYPED, (entity(k="c"), part, NOON, None))
    for a, b, x, z in (("a", "b", 1, 0.5), ("b", "a", 2, None), ("a", "a", None, 1.5)):
        values = {"x": Value() if x is None else Value(int64_val=x), "z": Value() if z is None else Value(double_val=z)}
        shop.write(PAIRS, (entity(a=a, b=b), values, NOON, None))
    for key, hours in (("a", 0.5), ("b", 1.0), ("c", 1.1)):
        shop.write(AGED, (entity(k=key), {"y": Value(double_val=hours)}, NOON - HOUR * hours, None))
    shop.online._clock = fixed_clock(NOON)
    return shop


def feasts_own(shop: Shop, refs: Any, rows: Any, **options: Any) -> OnlineResponse:
    return OnlineStore.get_online_features(
        shop.online, shop.config, refs, rows, shop.store.registry, shop.config.project, **options
    )


def same(left: Any, right: Any) -> bool:
    """Equal in value, type and NaN."""
    return repr(left) == repr(right)


REFS = [f"typed:{name}" for name in TYPES] + ["pairs:x", "pairs:z", "aged:y", "derived:sum", "derived:ratio"]
REFS.append("derived:seen")
KEYS = st.sampled_from(["a", "b", "c", "none", "ü"])
ROWS = st.lists(
    st.fixed_dictionaries({"k": KEYS, "a": KEYS, "b": KEYS, "asked": st.integers(-(2**62), 2**62)}),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(refs=st.lists(st.sampled_from(REFS), min_size=1, unique=True), rows=ROWS, columns=st.booleans())
def test_an_answer_is_feasts_own_value_by_value_status_by_status(
    shop: Shop, refs: list[str], rows: list[dict[str, Any]], columns: bool
) -> None:
    asked: Any = {name: [row[name] for row in rows] for name in rows[0]} if columns else rows
    ours, theirs = shop.store.get_online_features(refs, asked), feasts_own(shop, refs, asked)
    assert isinstance(ours, PackedResponse)
    told, expected = ours.to_dict(), theirs.to_dict()
    assert told.keys() == expected.keys()
    assert all(same(told[name], expected[name]) for name in expected)
    assert same(ours.to_df().to_dict(), theirs.to_df()[list(told)].to_dict())
    by_name = [
        dict(zip(one.proto.metadata.feature_names.val, one.proto.results, strict=True)) for one in (ours, theirs)
    ]
    assert same(by_name[0], {name: by_name[1][name] for name in by_name[0]})
    stamped = theirs.to_dict(include_event_timestamps=True)
    assert same(ours.to_dict(include_event_timestamps=True), stamped)


def test_a_row_exactly_as_old_as_its_ttl_still_counts_and_an_older_one_is_outside(shop: Shop) -> None:
    answer = shop.store.get_online_features(["aged:y"], {"k": ["a", "b", "c", "none"]})
    assert answer.to_dict()["y"] == [0.5, 1.0, None, None]
    at = list(answer.proto.metadata.feature_names.val).index("y")
    present, outside, missing = FieldStatus.PRESENT, FieldStatus.OUTSIDE_MAX_AGE, FieldStatus.NOT_FOUND
    assert list(answer.proto.results[at].statuses) == [present, present, outside, missing]
    when, values = shop.read(AGED, entity(k="c"))[0]
    assert (when, values) == (NOON - HOUR * 1.1, None)


def test_an_answers_protobuf_is_of_the_moment_it_was_given(shop: Shop, tmp_path: Path) -> None:
    fresh = open_shop("lmdb", tmp_path, "")
    fresh.apply(PAIRS)
    row = {"x": Value(int64_val=1), "z": Value()}
    fresh.write(PAIRS, (entity(a="a", b="b"), row, NOON, None))
    answer = fresh.store.get_online_features(["pairs:x"], [{"a": "a", "b": "b"}])
    fresh.write(PAIRS, (entity(a="a", b="b"), row | {"x": Value(int64_val=2)}, NOON + timedelta(hours=1), None))
    told = OnlineResponse(answer.proto).to_dict()
    assert told["x"] == answer.to_dict()["x"] == [1]
    assert fresh.store.get_online_features(["pairs:x"], [{"a": "a", "b": "b"}]).to_dict()["x"] == [2]


def test_a_caller_who_changes_an_answer_changes_no_other(shop: Shop) -> None:
    answer = shop.store.get_online_features(["typed:long"], {"k": ["a"]})
    answer.to_dict()["long"].append(1)
    assert answer.to_dict()["long"] == [VALUES["long"].int64_val]


@pytest.mark.parametrize(
    ("refs", "rows", "options"),
    [
        (["typed:long"], [{"k": "a"}], {"full_feature_names": True}),
        (["derived:sum"], [{"a": "a", "b": "b", "asked": True}], {}),
        (["typed:long"], {"k": ("a", "b")}, {}),
        (["typed:long"], [{"k": 1.5}], {}),
    ],
)
def test_what_it_does_not_cover_goes_feasts_own_way(shop: Shop, refs: Any, rows: Any, options: Any) -> None:
    ours = shop.store.get_online_features(refs, rows, **options)
    assert type(ours) is OnlineResponse
    assert same(ours.to_dict(), feasts_own(shop, refs, rows, **options).to_dict())


@pytest.mark.parametrize(
    ("refs", "rows"),
    [
        (["typed:long"], []),
        (["typed:long"], [{"a": "a"}]),
        (["typed:nothing"], [{"k": "a"}]),
        (["derived:sum"], [{"a": "a", "b": "b"}]),
        (["typed:long"], {"k": ["a"], "a": ["a", "b"]}),
        (["typed:long"], [{"k": None}]),
    ],
)
def test_a_wrong_question_is_refused_as_feast_refuses_it(shop: Shop, refs: Any, rows: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011  whatever Feast raises
        feasts_own(shop, refs, rows)
    with pytest.raises(type(theirs.value)) as ours:
        shop.store.get_online_features(refs, rows)
    assert str(ours.value) == str(theirs.value)


def test_views_made_anew_with_other_fields_are_answered_by_the_new_ones(tmp_path: Path) -> None:
    shop = open_shop("lmdb", tmp_path, "")
    one = view("v", {"x": feast.types.Int64, "y": feast.types.Int64})
    shop.apply(one)
    values = {"x": Value(int64_val=1), "y": Value(int64_val=2)}
    shop.write(one, (entity(k="a"), values, NOON, None))
    assert shop.store.get_online_features(["v:y"], [{"k": "a"}]).to_dict()["y"] == [2]
    other = view("v", {"y": feast.types.Int64, "x": feast.types.Int64})
    LmdbOnlineStore().update(shop.config, [one], [], [], [], False)
    LmdbOnlineStore().online_write_batch(shop.config, other, [(entity(k="a"), values, NOON, None)], None)
    assert shop.store.get_online_features(["v:x", "v:y"], [{"k": "a"}]).to_dict() == {"k": ["a"], "x": [1], "y": [2]}
    assert shop.store.get_online_features(["v:y"], [{"k": "a"}]).to_dict()["y"] == [2]
