"""Scoring straight from packed rows gives the same bits as the way round it, or leaves it to that."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from catboost import CatBoost, Pool

from bentos.model.packed_scorer import PackedScorer
from bentos.model.scorer import Coded, Scorer
from bentos.model.trees import compile_trees
from bentos.ports import CandidateKey, FeatureSource
from bentos.store.lmdb_source import LmdbSource
from feature_repo.declare import CANDIDATE, DEVICE, PLACE, Dtype, declared
from feature_repo.packed import EVENT_US, PackedRows, declare, file_of, key_of, view_of
from feature_repo.services import PARKING_V1, categorical_features, service_features
from parked.errors import InternalError
from tests.bentos.fakes import NOW_US, card

PROJECT = "p"
KEYS = {CANDIDATE: ("candidate_id",), DEVICE: ("device_id",), PLACE: ("cell", "device_id")}
WORDS = (
    "FINAL",
    "foot",
    "vehicle",
    "",
    "ünïcode",
    "sixteen letters!",
    "never seen before this one",
    "on_foot",
    "silence",
)


def fields() -> dict[str, list[str]]:
    named = {view: declared().schema(view).names for view in KEYS}
    unserved = {"available_at", "event_timestamp", "candidate_id", "device_id", "cell"}
    return {view: [EVENT_US, *(n for n in names if n not in unserved)] for view, names in named.items()}


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    random = np.random.default_rng(3)
    names, texts = service_features(PARKING_V1), categorical_features(PARKING_V1)
    rows = [
        [str(random.choice(WORDS[:4])) if n in texts else float(random.normal(60, 40)) for n in names]
        for _ in range(900)
    ]
    target = [
        float((row[names.index("walked_m")] > 50) ^ (row[names.index("followed_by")] == "vehicle")) for row in rows
    ]
    model = CatBoost({"iterations": 60, "depth": 5, "one_hot_max_size": 32, "boosting_type": "Plain", "rsm": 0.4,
                      "thread_count": 1, "verbose": 0, "random_seed": 7, "allow_writing_files": False,
                      "loss_function": "Logloss"})  # fmt: skip
    model.fit(Pool(rows, target, cat_features=texts, feature_names=names))
    positions = tuple(names.index(name) for name in texts)
    told = card(feature_service=PARKING_V1, features=list(names), categorical=list(texts))
    return Scorer("parking:t", told, lambda: model, positions, compile_trees(model, names, positions))


class Store:
    """An LMDB file with rows of our making."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.path = folder / "online.lmdb"
        self.fields = fields()
        with file_of(self.path).begin(write=True) as transaction:
            for view, names in self.fields.items():
                declare(transaction, view_of(PROJECT, view), dict.fromkeys(names, ""))
        self.source = LmdbSource(PackedRows(self.path), PROJECT)

    def put(self, rows: dict[tuple[str, bytes], bytes]) -> None:
        file = file_of(self.path)
        handles = {view: file.view(view_of(PROJECT, view), make=True) for view, _ in rows}
        with file.begin(write=True) as transaction:
            for (view, key), value in rows.items():
                transaction.put(key, value, db=handles[view])

    def row(self, view: str) -> list[Any]:
        kinds = {field.name: field.type for field in declared().schema(view)}
        return [self.value(name, kinds.get(name)) for name in self.fields[view]]

    def value(self, name: str, kind: Any) -> Any:
        random = self.random
        if random.random() < 0.25:
            return None
        if kind == Dtype.STRING.arrow:
            return str(random.choice(WORDS))
        if kind == Dtype.BOOL.arrow:
            return bool(random.random() < 0.5)
        if kind == Dtype.FLOAT64.arrow:
            special = [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324, 1e300]
            wild = random.random() < 0.1 and name != "lon"  # of a longitude like that the sun's hour is an error
            return float(random.choice(special)) if wild else float(random.uniform(-180, 180))
        sizes = [0, 5, -5, 100, -100, 200, 40_000, -40_000, 70_000, 1 << 33, -(1 << 33), NOW_US]
        return int(random.choice(sizes)) if random.random() < 0.5 else int(NOW_US - random.integers(0, 10**12))


def slowly(source: FeatureSource, scorer: Scorer, keys: list[CandidateKey]) -> Any:
    return FeatureSource.evaluate(source, scorer, keys)


def same(store: Store, scorer: Scorer, keys: list[CandidateKey]) -> bool:
    """Asserts equal bits; says whether the kernel itself answered."""
    mine, fed = store.source.evaluate(scorer, keys)
    theirs, fed_slowly = slowly(store.source, scorer, keys)
    assert struct.pack(f"{len(keys)}d", *mine) == struct.pack(f"{len(keys)}d", *theirs)
    width = fed_slowly.numbers.shape[1]
    assert np.array_equal(fed.numbers[:, :width].view(np.int64) | nan_bits(fed.numbers[:, :width]),
                          fed_slowly.numbers.view(np.int64) | nan_bits(fed_slowly.numbers))  # fmt: skip
    coded = isinstance(fed.texts, Coded)
    assert (fed.texts.rows() if coded else fed.texts) == fed_slowly.texts  # type: ignore[union-attr]
    return coded


def nan_bits(numbers: Any) -> Any:
    return np.where(np.isnan(numbers), -1, 0)


@pytest.mark.parametrize("seed", range(12))
def test_made_up_rows_score_the_same_bits(tmp_path: Path, scorer: Scorer, seed: int) -> None:
    store = Store(tmp_path, seed)
    keys, rows = [], {}
    for number in range(40):
        device = f"phone-{number % 9}" if number % 7 else "ph☎ne"
        names = {"candidate_id": f"c{number}", "device_id": device, "cell": f"cell{number % 5}"}
        for view, parts in KEYS.items():
            packed = store.row(view)
            cut = store.random.integers(0, 12)
            packed = packed[: len(packed) - cut] if cut < 4 else packed + [None, "more", 7][: cut - 8 if cut > 8 else 0]
            if store.random.random() < 0.85:
                rows[view, key_of([names[part] for part in parts])] = msgpack.packb(packed)
        keys.append(CandidateKey(device, names["candidate_id"], names["cell"], NOW_US + number * 977_777_777))
    store.put(rows)
    assert sum(same(store, scorer, [key]) for key in keys) > 0
    for _ in range(5):
        picked = [keys[index] for index in store.random.integers(0, len(keys), 25)]
        same(store, scorer, picked)
        same(store, scorer, sorted(picked))


def one_row(store: Store, change: Callable[[dict[str, Any]], None], view: str = CANDIDATE) -> list[CandidateKey]:
    rows = {}
    for each, parts in KEYS.items():
        values = dict.fromkeys(store.fields[each], None) | {EVENT_US: 1, "lon": 8.5}
        if each == view:
            change(values)
        packed = msgpack.packb([values[name] for name in store.fields[each]])
        rows[each, key_of(["x" for _ in parts])] = packed
    store.put(rows)
    return [CandidateKey("x", "x", "x", NOW_US)]


def test_a_word_is_learnt_from_the_first_row_that_has_it(tmp_path: Path, scorer: Scorer) -> None:
    store = Store(tmp_path, 1)
    keys = one_row(store, lambda values: values.update(followed_by="a new word"))
    assert not same(store, scorer, keys)
    assert same(store, scorer, keys)


def test_a_word_too_long_for_the_table_goes_the_long_way_every_time(tmp_path: Path, scorer: Scorer) -> None:
    store = Store(tmp_path, 1)
    keys = one_row(store, lambda values: values.update(followed_by="seventeen letters"))
    assert [same(store, scorer, keys) for _ in range(2)] == [False, False]


def test_text_in_place_of_a_number_is_refused_by_name(tmp_path: Path, scorer: Scorer) -> None:
    store = Store(tmp_path, 1)
    keys = one_row(store, lambda values: values.update(walked_m="far"))
    with pytest.raises(InternalError, match="walked_m"):
        store.source.evaluate(scorer, keys)


@pytest.mark.parametrize(
    "damage", [b"", b"\xc1", b"\x92\x01", b"\xdc\xff", b"\x91\xcb\x00", b"\x91\xda\xff\xff", b"\x91\xcf\x00"]
)
def test_a_damaged_row_is_no_answer(tmp_path: Path, scorer: Scorer, damage: bytes) -> None:
    store = Store(tmp_path, 1)
    keys = one_row(store, lambda _: None)
    store.put({(CANDIDATE, key_of(["x"])): damage})
    with pytest.raises((ValueError, msgpack.exceptions.UnpackException)):
        store.source.evaluate(scorer, keys)


def test_integers_beyond_exact_doubles_go_the_long_way(tmp_path: Path, scorer: Scorer) -> None:
    store = Store(tmp_path, 1)
    assert not same(store, scorer, one_row(store, lambda values: values.update(left_at_us=(1 << 53) + 1)))
    assert same(store, scorer, one_row(store, lambda values: values.update(left_at_us=(1 << 53) - 1)))


def test_ids_too_long_for_the_store_are_found_all_the_same(tmp_path: Path, scorer: Scorer) -> None:
    store = Store(tmp_path, 1)
    assert not same(store, scorer, [CandidateKey("☎" * 128, "y" * 600, "z", NOW_US)])
    assert store.source.devices(["☎" * 128, "📱" * 128]) == [None, None]


def test_words_have_a_limit(scorer: Scorer) -> None:
    assert scorer.trees is not None
    packed = PackedScorer(scorer, scorer.trees, fields())
    before = packed.known_words()
    packed.learn([[f"w{number}"] * len(scorer.categorical) for number in range(500)])
    assert before < packed.known_words() <= 64 * len(scorer.categorical)


def test_a_phones_row_that_was_read_for_the_question_is_not_read_again(tmp_path: Path, scorer: Scorer) -> None:
    store = Store(tmp_path, 1)
    (key,) = one_row(store, lambda values: values.update(facts_as_of_us=NOW_US, days_known=5.0), DEVICE)
    (facts,) = store.source.devices(["x"])
    assert facts is not None
    before = store.source.evaluate(scorer, [key])[1].numbers.tolist()
    store.put({(DEVICE, key_of(["x"])): msgpack.packb([NOW_US])})
    now = store.source.evaluate(scorer, [key])[1].numbers.tolist()
    then = store.source.evaluate(scorer, [key._replace(row=facts.row)])[1].numbers.tolist()
    assert repr(then) == repr(before) != repr(now)
