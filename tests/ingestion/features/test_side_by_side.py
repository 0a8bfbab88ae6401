"""Features of two rules versions in one home, in each online store: building one leaves the other as it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.retrieve import historical_features, online_features
from feature_repo.services import PARKING_V1, WHERE_PARKED_V1
from feature_repo.store import open_store, project, rules_of
from ingestion.features.apply import apply_repo
from ingestion.features.build import build_features
from parked.errors import ConflictError, InputError
from parked.settings import Settings
from tests.feature_repo.facts_builder import commuter, table

VERSION = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,39}", fullmatch=True)


def facts_of(days: int, version: str) -> pa.Table:
    """Of one phone; the same ids in both versions, so that only their places keep them apart."""
    facts = table(commuter("d1", days).rows)
    at = facts.column_names.index("rules_version")
    return facts.set_column(at, facts.schema.field(at), pa.array([version] * facts.num_rows))


def states(settings: Settings) -> list[object]:
    """What serving and training read of the phone."""
    store = open_store(settings)
    (state,) = online_features(store, [{"device_id": "d1"}], WHERE_PARKED_V1)
    key = {"device_id": "d1", "candidate_id": state["candidate_1"], "cell": state["cell_1"], "asked_at_us": 0}
    return [state, online_features(store, [key], PARKING_V1)]


def bytes_under(folder: Path) -> dict[Path, bytes]:
    """Of files that a reader does not touch (LMDB's lock file knows its readers)."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "lock.mdb"]
    return {file: file.read_bytes() for file in files}


@pytest.mark.parametrize("kind", ["lmdb", "sqlite", "redis"])
def test_building_one_version_leaves_the_other_as_it_was(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    redis = request.getfixturevalue("redis_address") if kind == "redis" else "127.0.0.1:1"
    home = {"home": tmp_path, "online_store": kind, "redis_connection": redis}
    first, second = Settings(**home), Settings(**home, rules="v2")
    build_features(first, facts_of(2, "v1"))
    before, files = states(first), bytes_under(tmp_path)
    build_features(second, facts_of(3, "v2"))
    assert {file: file.read_bytes() for file in files} == files
    assert states(first) == before
    beside = states(second)
    assert beside != before
    build_features(first, facts_of(4, "v1"), replace=True)
    assert states(second) == beside
    assert states(first) != before


def test_the_point_in_time_join_of_a_version_reads_its_own_snapshots(tmp_path: Path) -> None:
    import pandas as pd

    sides = [Settings(home=tmp_path, rules=version) for version in ("v1", "v2")]
    for side in sides:
        build_features(side, facts_of(2, side.rules))
    (state, _), (_, _) = map(states, sides)
    row = {"device_id": "d1", "candidate_id": state["candidate_1"], "cell": state["cell_1"]}  # type: ignore[index]
    asked = pd.DataFrame([row | {"event_timestamp": pd.Timestamp("2100-01-01", tz="UTC"), "asked_at_us": 0}])
    for side in sides:
        (made_by,) = historical_features(open_store(side), asked, WHERE_PARKED_V1)["built_by"]
        assert made_by.startswith(f"{side.rules}/")


def test_facts_of_other_rules_than_those_in_use_are_refused_and_change_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="facts of rules 'v2', and rules 'v1' are in use; say --rules v2"):
        build_features(Settings(home=tmp_path), facts_of(1, "v2"))
    assert not list(tmp_path.iterdir())


@given(VERSION)
def test_a_project_tells_its_version(version: str) -> None:
    name = project(version)
    assert name == name.lower()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


@given(st.lists(VERSION, unique=True, min_size=2, max_size=2))
def test_two_versions_are_two_projects(versions: list[str]) -> None:
    assert len({project(version) for version in versions}) == 2


def test_the_yaml_of_a_version_names_it_and_one_of_nobody_is_refused(tmp_path: Path) -> None:
    for version in ("v1", "V2.b", "v-2_c"):
        settings = Settings(home=tmp_path, rules=version)
        apply_repo(settings)
        assert rules_of(settings.feast_dir / "feature_store.yaml") == version
    other = tmp_path / "other.yaml"
    for text in ("project: shop", "project: where_you_parked_V2", "[]"):
        other.write_text(text)
        with pytest.raises(InputError, match="none of ours"):
            rules_of(other)
