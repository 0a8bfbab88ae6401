from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.declare import CANDIDATE, DEVICE, PLACE, declared
from feature_repo.retrieve import historical_features, online_features
from feature_repo.services import PARKING_V1, WHERE_PARKED_V1, service_dtypes
from feature_repo.store import open_store
from ingestion.features.apply import apply_repo
from ingestion.features.fold import fold_facts
from ingestion.features.online import load_online, newest, online_rows
from ingestion.features.snapshots import write_snapshots
from parked.clock import from_us
from parked.schemas import TIME
from parked.settings import Settings
from tests.feature_repo.facts_builder import HOUR, MINUTE, START, commuter, row, table


@pytest.fixture
def fresh(tmp_path):
    settings = Settings(home=tmp_path)
    apply_repo(settings)
    return settings


def state_of(store, device="d1"):
    return online_features(store, [{"device_id": device}], WHERE_PARKED_V1)[0]


def candidate_rows(state, device, asked_at_us):
    return [
        {
            "device_id": device,
            "candidate_id": state[f"candidate_{rank}"],
            "cell": state[f"cell_{rank}"],
            "asked_at_us": asked_at_us,
        }
        for rank in (1, 2, 3)
        if state[f"candidate_{rank}"] is not None
    ]


def plain(value):
    return None if value is None or value is pd.NA or value != value else value


def rows_of(frame, names):
    return [
        {name: plain(value) for name, value in zip(names, row_, strict=True)}
        for row_ in zip(*(frame[n] for n in names), strict=True)
    ]


def test_serving_sees_at_every_step_what_training_sees_of_that_moment_no_more_and_no_less(fresh):
    """The snapshots are replayed moment by moment into the online store; at each, Feast's online answer must be Feast's
    point-in-time answer, for the phone and for each candidate it names."""
    facts = commuter("d1", 2).rows
    snapshots = fold_facts(table(facts))
    write_snapshots(fresh.features_dir, snapshots)
    store = open_store(fresh)
    served: dict[str, list[dict]] = {WHERE_PARKED_V1: [], PARKING_V1: []}
    keys: dict[str, list[dict]] = {WHERE_PARKED_V1: [], PARKING_V1: []}
    moments = sorted({at for rows in snapshots.values() for at in rows["facts_as_of_us"].to_pylist()})
    assert len(moments) > 20
    for us in moments:
        limit = pa.scalar(us, pa.int64()).cast(TIME)
        load_online(
            store, {v: rows.filter(pc.less_equal(rows["available_at"], limit)) for v, rows in snapshots.items()}
        )
        state = state_of(store)
        asked = candidate_rows(state, "d1", us + 7 * MINUTE)
        served[WHERE_PARKED_V1].append(state)
        keys[WHERE_PARKED_V1].append({"device_id": "d1", "candidate_id": "", "cell": "", "asked_at_us": us, "us": us})
        served[PARKING_V1] += online_features(store, asked, PARKING_V1)
        keys[PARKING_V1] += [{**key, "us": us} for key in asked]
    for service, answers in served.items():
        frame = pd.DataFrame(keys[service])
        frame["event_timestamp"] = pd.to_datetime(frame.pop("us"), unit="us", utc=True)
        names = list(service_dtypes(service))
        assert rows_of(historical_features(store, frame, service), names) == answers


def test_only_what_serving_can_ask_for_is_online():
    chosen = online_rows(fold_facts(table(commuter("d1", 4).rows)))
    rows = {view: of.slice() for view, of in chosen.items()}
    assert rows[DEVICE].num_rows == 1
    assert rows[CANDIDATE].num_rows == 3
    device = rows[DEVICE].to_pylist()[0]
    assert set(rows[CANDIDATE]["candidate_id"].to_pylist()) == {device[f"candidate_{rank}"] for rank in (1, 2, 3)}
    assert set(rows[PLACE]["cell"].to_pylist()) == {device[f"cell_{rank}"] for rank in (1, 2, 3)}


def test_newest_keeps_the_last_row_of_each_key():
    rows = fold_facts(table(commuter("d1", 2).rows + commuter("d2", 1).rows))[PLACE]
    expected = {(r["device_id"], r["cell"]): r for r in rows.to_pylist()}
    got = newest(rows, ("device_id", "cell")).slice().to_pylist()
    assert {(r["device_id"], r["cell"]): r for r in got} == expected
    assert len(got) == len(expected)
    assert len(newest(rows.slice(0, 0), ("device_id", "cell"))) == 0


def test_an_older_snapshot_never_replaces_a_newer_one_even_within_a_second(fresh):
    rows = [
        row("d1", "a", "vehicle_left", START, START),
        row("d1", "b", "vehicle_left", START + 1000, START + 1000),  # a millisecond later
    ]
    store = open_store(fresh)
    early, late = fold_facts(table(rows[:1])), fold_facts(table(rows))
    assert load_online(store, late)[DEVICE].written == 1
    loaded = load_online(store, early)
    assert (loaded[DEVICE].written, loaded[DEVICE].kept) == (0, 1)
    assert state_of(store)["candidate_1"] == "b"
    assert load_online(store, early, replace=True)[DEVICE].written == 1
    assert state_of(store)["candidate_1"] == "a"


def test_a_build_of_other_rules_replaces_whatever_is_there(fresh):
    store = open_store(fresh)
    load_online(store, fold_facts(table([row("d1", "a", "vehicle_left", START, START + HOUR)])))
    other = row("d1", "z", "vehicle_left", START, START, rules_version="test-2")
    load_online(store, fold_facts(table([other])))
    state = state_of(store)
    assert (state["candidate_1"], state["facts_as_of_us"]) == ("z", START)
    assert state["built_by"] == f"test-2/{declared().version()}"


def test_loading_in_chunks_loads_the_same(fresh, monkeypatch):
    monkeypatch.setattr("ingestion.features.online.CHUNK_KEYS", 2)
    monkeypatch.setattr("ingestion.features.online.PACKED_KEYS", 2)
    monkeypatch.setattr("ingestion.features.online.PACKED_ROWS", 1)
    snapshots = fold_facts(table([r for n in range(5) for r in commuter(f"d{n}", 1).rows]))
    steps: list[int] = []
    loaded = load_online(open_store(fresh), snapshots, progress=steps.append)
    assert loaded[DEVICE].written == 5
    assert sum(steps) == sum(one.written for one in loaded.values())
    assert max(steps) == 2
    for n in range(5):
        assert state_of(open_store(fresh), f"d{n}")["candidate_1"] == f"vd{n}-0002"


def test_a_retracted_candidate_gives_way_to_the_one_before_online_too(fresh):
    rows = [
        row("d1", "a", "vehicle_left", START, START),
        row("d1", "b", "vehicle_left", START + HOUR, START + HOUR),
        row("d1", "b", "vehicle_left", START + HOUR, START + 2 * HOUR, revision=1, status="RETRACTED"),
    ]
    store = open_store(fresh)
    load_online(store, fold_facts(table(rows[:2])))
    load_online(store, fold_facts(table(rows)))
    state = state_of(store)
    assert (state["candidate_1"], state["candidate_2"]) == ("a", None)
    assert from_us(state["facts_as_of_us"]) == from_us(START + 2 * HOUR)


def test_a_phone_or_candidate_never_heard_of_has_nothing(fresh):
    store = open_store(fresh)
    assert set(state_of(store, "nobody").values()) == {None}
    keys = [{"device_id": "nobody", "candidate_id": "none", "cell": "none", "asked_at_us": START}]
    (features,) = online_features(store, keys, PARKING_V1)
    assert list(features) == list(service_dtypes(PARKING_V1))
    assert set(features.values()) == {None}
    assert online_features(store, [], PARKING_V1) == []


NAMES = st.sampled_from(["", "a", "b", "a:", "1:a", "ä"])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=12), st.lists(st.tuples(NAMES, NAMES), max_size=6))
def test_the_newest_rows_are_those_of_the_keys_named(
    known: list[tuple[str, str]], named: list[tuple[str, str]]
) -> None:
    def keys_of(pairs: list[tuple[str, str]]) -> dict[str, pa.Array]:
        return {name: pa.array([pair[at] for pair in pairs], pa.string()) for at, name in enumerate(("x", "y"))}

    moments = pa.array(range(len(known)), pa.int64()).cast(TIME)
    rows = pa.table({**keys_of(known), "available_at": moments, "number": pa.array(range(len(known)), pa.int64())})
    for keys in (["x", "y"], ["x"]):
        of = {tuple(pair[: len(keys)]): number for number, pair in enumerate(known)}
        wanted = {pair[: len(keys)] for pair in named}
        assert newest(rows, keys).slice()["number"].to_pylist() == [of[key] for key in sorted(of, key=encoded)]
        assert newest(rows, keys, pa.table(keys_of(named))).slice()["number"].to_pylist() == [
            of[key] for key in sorted(of, key=encoded) if key in wanted
        ]


def encoded(key: tuple[str, ...]) -> list[bytes]:
    return [value.encode() for value in key]
