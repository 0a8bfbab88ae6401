from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.log import part as log_part
from bentos.log.answer_id import answer_ids
from bentos.log.logged import AnswerLog
from bentos.log.prediction_log import PredictionLog
from bentos.log.spool import Spool
from bentos.log.waiting import Answered
from bentos.model.scorer import Block, Coded, Fed, Scorer
from bentos.ports import CandidateKey
from parked.clock import fixed_clock, from_us, to_us
from parked.errors import InputError
from parked.predictions import as_predictions, features_json, read_predictions
from parked.schemas import PREDICTIONS
from tests.bentos.fakes import FEATURES, HOUR_US, NOW, NOW_US, card, trained_model

SCORER = Scorer("parking:v1", card(), lambda: trained_model(), (1,))


def answered(answer_id: str, rows: int = 1, **changes: object) -> Answered:
    fed: list[list[object]] = [[0.1 * rank, "foot" if rank else None, None] for rank in range(rows)]
    values: dict[str, object] = {
        "answer_id": answer_id,
        "answered_at_us": NOW_US,
        "state": "parked",
        "generation": 3,
        "rules_version": "v1",
        "scorer": SCORER,
        "keys": [CandidateKey("phone", f"{answer_id}-{rank}", "cell", NOW_US - rank) for rank in range(rows)],
        "ranks": list(range(rows)),
        "fed": SCORER.evaluate(fed)[1] if rows else None,
        "probabilities": [0.25] * rows,
    }
    return Answered(**(values | changes))  # type: ignore[arg-type]


def wait_for(there: Callable[[], object], seconds: float = 20.0) -> object:
    """What ``there`` says once that is something; else what it said last."""
    until = time.monotonic() + seconds
    while not (said := there()) and time.monotonic() < until:
        time.sleep(0.01)
    return said


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def test_what_was_added_is_written_as_the_contract_says(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(answered("a", rows=2))
    log.add(answered("b"))
    assert log.flush() == 3
    (part,) = parts(tmp_path)
    assert part.parent.name == "date=2026-03-01"
    table = as_predictions(pq.ParquetFile(part).read())
    assert table.schema.equals(PREDICTIONS)
    assert read_predictions(tmp_path).equals(table)
    assert read_predictions(tmp_path, ["b", "c"])["candidate_id"].to_pylist() == ["b-0"]
    assert table["candidate_id"].to_pylist() == ["a-0", "a-1", "b-0"]
    assert table["rank"].to_pylist() == [0, 1, 0]
    assert table["answered_at"][0].as_py() == NOW
    assert table["asked_at"].to_pylist() == [NOW, NOW - timedelta(microseconds=1), NOW]
    assert [json.loads(text) for text in table["features"].to_pylist()] == [
        {"walked_m": 0.0, "followed_by": None, "age_s": None},
        {"walked_m": 0.1, "followed_by": "foot", "age_s": None},
        {"walked_m": 0.0, "followed_by": None, "age_s": None},
    ]


def test_answers_of_trees_and_of_catboost_lie_in_one_part(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    numbers = np.array([[0.5, np.nan, 7.0]])  # trees take more columns
    wide = Fed(numbers, Coded(np.array([[1]], np.int16), [["", "car"]]))
    log.add(answered("a", rows=2))
    log.add(answered("b", fed=wide))
    log.add(answered("c", rows=2))
    assert log.flush() == 5
    (part,) = parts(tmp_path)
    table = pq.ParquetFile(part).read()
    assert table["f.walked_m"].to_pylist() == [0.0, 0.1, 0.5, 0.0, 0.1]
    assert table["f.age_s"].null_count == 5
    assert table["f.followed_by"].to_pylist() == [None, "foot", "car", None, "foot"]


def test_texts_come_back_whatever_is_in_them(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    names = [["", "ph\u260ene"], ["zero\x00byte", ""], ["\x00"]]
    for number, devices in enumerate(names):
        keys = [CandidateKey(device, f"c{device}", "cell", NOW_US) for device in devices]
        log.add(answered(f"{number}", rows=len(devices), keys=keys))
        if number == 0:
            log._take()
    assert log.flush() == 5
    (part,) = parts(tmp_path)
    table = pq.ParquetFile(part).read()
    assert table["device_id"].to_pylist() == [device for devices in names for device in devices]
    assert table["candidate_id"].to_pylist() == [f"c{device}" for devices in names for device in devices]
    assert table["answer_id"].to_pylist() == ["0", "0", "1", "1", "2"]


def test_each_feature_is_a_typed_column_of_its_own(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(answered("a", rows=2))
    log.flush()
    fed = pq.ParquetFile(parts(tmp_path)[0]).schema_arrow
    assert {field.name: field.type for field in fed if field.name.startswith("f.")} == {
        "f.walked_m": pa.float64(), "f.followed_by": pa.string(), "f.age_s": pa.float64(),
    }  # fmt: skip


def test_after_the_clock_was_put_back_answers_lie_in_a_part_of_their_own_and_are_found(tmp_path: Path) -> None:
    given = [NOW, NOW + timedelta(seconds=1), NOW - timedelta(seconds=1), NOW - timedelta(hours=1), NOW]
    ids = [answer_ids(fixed_clock(at))(True) for at in given]
    log = PredictionLog(tmp_path)
    for answer_id, at in zip(ids, given, strict=True):
        log.add(answered(answer_id, answered_at_us=to_us(at)))
    assert log.flush() == len(given)
    assert sorted(read_predictions(tmp_path)["answer_id"].to_pylist()) == sorted(ids)
    reader = AnswerLog(tmp_path, lambda _at: 0, fixed_clock(NOW + timedelta(days=1)), flush_s=1)
    for answer_id in ids:
        assert reader.find(answer_id, lambda _device: True).answer_id == answer_id


def test_answers_of_two_models_are_two_parts(tmp_path: Path) -> None:
    other = Scorer("parking:v2", card(features=[*FEATURES[:2], "another"]), lambda: trained_model(), (1,))
    log = PredictionLog(tmp_path)
    log.add(answered("a"))
    log.add(answered("b", scorer=other))
    log.add(answered("c"))
    assert log.flush() == 3
    assert sorted(read_predictions(tmp_path)["model_tag"].to_pylist()) == ["parking:v1", "parking:v1", "parking:v2"]


def test_a_part_without_features_is_told(tmp_path: Path) -> None:
    pq.write_table(PREDICTIONS.empty_table().drop_columns(["features"]), tmp_path / "half.parquet")
    with pytest.raises(InputError, match="features"):
        read_predictions(tmp_path)
    (tmp_path / "half.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"half\.parquet"):
        read_predictions(tmp_path)


def test_a_log_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read_predictions(tmp_path / "never").equals(PREDICTIONS.empty_table())


def test_answers_lie_in_the_folder_of_their_day(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(answered("tomorrow", answered_at_us=NOW_US + 24 * HOUR_US))
    log.add(answered("today"))
    assert log.flush() == 2
    assert [part.parent.name for part in parts(tmp_path)] == ["date=2026-03-01", "date=2026-03-02"]


def test_a_part_holds_no_answers_of_a_longer_time_than_a_reader_looks_back(tmp_path: Path) -> None:
    log, told = PredictionLog(tmp_path, flush_s=3600), []
    for seconds in range(0, 300, 7):
        at_us = NOW_US + seconds * 1_000_000
        told.append(answer_ids(fixed_clock(from_us(at_us)))(True))
        log.add(answered(told[-1], answered_at_us=at_us))
    log.flush()
    assert 5 <= len(parts(tmp_path)) <= 7
    reader = AnswerLog(tmp_path, lambda _at: 0, fixed_clock(NOW + timedelta(days=1)), flush_s=3600)
    for answer_id in told:
        assert reader.find(answer_id, lambda _device: True).answer_id == answer_id


def test_an_answer_from_before_a_part_begins_another(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)  # a clock that is set back
    for ident, seconds in ("a", 0), ("b", -0.5), ("c", -30), ("d", -29):
        log.add(answered(ident, answered_at_us=NOW_US + int(seconds * 1e6)))
        log._take()
    log.flush()
    assert [pq.ParquetFile(part).metadata.num_rows for part in parts(tmp_path)] == [2, 2]


ANSWERS = st.tuples(
    st.integers(0, 3), st.integers(-2, 90), st.sampled_from([3, 4]), st.sampled_from(["v1", "v2"]), st.booleans()
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(ANSWERS, max_size=6), max_size=6))
def test_however_answers_are_taken_up_all_are_written_as_they_were_added(
    tmp_path: Path, batches: list[list[tuple[int, int, int, str, bool]]]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    log, told = PredictionLog(folder, flush_rows=9), []
    other = Scorer("parking:v2", card(), lambda: trained_model(), (1,))
    block = Block(np.arange(300.0).reshape(100, 3), np.zeros((100, 1), np.int16), [["", "car"]])
    at = 0
    for batch in batches:
        for rows, seconds, generation, rules, another in batch:
            ident, at_us = f"{len(told)}", NOW_US + seconds * 1_000_000
            fed = Fed(block.numbers[at : at + rows], Coded(block.codes[at : at + rows], block.words), block, at)
            log.add(
                answered(
                    ident,
                    rows=rows,
                    answered_at_us=at_us,
                    generation=generation,
                    rules_version=rules,
                    scorer=other if another else SCORER,
                    **({"fed": fed} if seconds % 2 else {}),
                )
            )
            walked = [float(3 * (at + rank)) if seconds % 2 else 0.1 * rank for rank in range(rows)]
            at += rows if seconds % 3 else 0  # those not taken by the block's next leave a gap or lie twice
            told.append((ident, from_us(at_us), generation, rules, "parking:v2" if another else "parking:v1", walked))
        log._take()
    assert log.flush() == sum(len(one[-1]) for one in told)
    found = [pq.ParquetFile(part).read() for part in parts(folder)]
    rows_of: dict[str, list[dict[str, Any]]] = {}
    for table in found:
        for row in table.to_pylist():
            rows_of.setdefault(row["answer_id"], []).append(row)
    for ident, moment, generation, rules, tag, walked in told:
        rows = rows_of.pop(ident, [])
        assert [row["f.walked_m"] for row in rows] == walked
        assert [row["candidate_id"] for row in rows] == [f"{ident}-{rank}" for rank in range(len(walked))]
        shared = {(row["answered_at"], row["generation"], row["rules_version"], row["model_tag"]) for row in rows}
        assert shared == ({(moment, generation, rules, tag)} if walked else set())
    assert not rows_of


def test_an_answer_without_candidates_leaves_no_row(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(answered("nobody", rows=0))
    assert log.flush() == 0
    assert parts(tmp_path) == []


def test_a_full_queue_drops_and_counts_and_keeps_what_it_had(tmp_path: Path) -> None:
    dropped: list[int] = []
    log = PredictionLog(tmp_path, queue=6, on_drop=dropped.append)
    for name in "abc":
        log.add(answered(name, rows=3))
    assert log.flush() == 6
    assert dropped == [3]
    log.add(answered("d"))
    assert log.flush() == 1


def test_a_queue_is_of_rows_however_few_answers_they_are_of(tmp_path: Path) -> None:
    dropped: list[int] = []
    log = PredictionLog(tmp_path, queue=500, flush_rows=200, on_drop=dropped.append)
    for name in "abcd":
        log.add(answered(name, rows=300))
    assert dropped == [300, 300]
    assert log.flush() == 600
    for name in "efg":
        log.add(answered(name, rows=300))
    assert dropped == [300, 300, 300]
    assert log.flush() == 600


def test_what_cannot_be_handed_over_leaves_its_room_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_spool: Spool, *_piece: object) -> None:
        raise OSError("no room")

    dropped: list[int] = []
    log = PredictionLog(tmp_path, queue=200, on_drop=dropped.append)
    log.add(answered("a"))
    log._take()
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "append", refuse)
        log.add(answered("b", rows=199))
    assert dropped == [199]
    log.add(answered("c", rows=199))
    log.add(answered("d"))
    assert log.flush() == 200
    assert dropped == [199, 1]


def test_an_answer_just_given_is_written_without_all_that_waits(tmp_path: Path) -> None:
    clock = [from_us(NOW_US)]
    ids = answer_ids(lambda: clock[0])
    log = PredictionLog(tmp_path, flush_rows=10)  # not started: everything waits
    told = []
    for second in range(30):
        clock[0] = from_us(NOW_US + second * 1_000_000 + 30)  # an id is made a little later
        told.append(ids(True))
        log.add(answered(told[-1], rows=5, answered_at_us=NOW_US + second * 1_000_000))
    reader = AnswerLog(tmp_path, log.write_of, lambda: clock[0], flush_s=60)
    assert reader.find(told[7], lambda _device: True).answer_id == told[7]
    assert 5 <= read_predictions(tmp_path).num_rows <= 20
    assert reader.find(told[-1], lambda _device: True).answer_id == told[-1]
    log.flush()
    assert Counter(read_predictions(tmp_path)["answer_id"].to_pylist()) == Counter(dict.fromkeys(told, 5))


def test_stopping_writes_what_is_queued(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, flush_s=3600)
    log.start()
    log.add(answered("a"))
    log.stop()
    assert len(parts(tmp_path)) == 1


def test_enough_rows_are_written_without_waiting_for_the_clock(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, flush_rows=2, flush_s=3600)
    log.start()
    log.add(answered("a", rows=2))
    assert wait_for(lambda: parts(tmp_path))
    log.stop()


def test_a_disk_that_refuses_is_counted_and_the_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path) -> None:
        raise OSError("no space left on device")

    dropped: list[int] = []
    log = PredictionLog(tmp_path, on_drop=dropped.append)
    log.add(answered("lost", rows=2))
    with monkeypatch.context() as patch:
        patch.setattr(log_part, "atomic_path", full)
        assert log.flush() == 0
    assert dropped == [2]
    log.add(answered("kept"))
    assert log.flush() == 1


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text()))
def test_logged_features_come_back_exactly_but_for_what_json_cannot_say(features: dict[str, object]) -> None:
    back = json.loads(features_json(features), parse_constant=pytest.fail)
    finite = {k: None if isinstance(v, float) and v - v != 0 else v for k, v in features.items()}
    assert back == finite
