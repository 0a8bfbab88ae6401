from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos import prediction_log
from bentos.prediction_log import Answered, PredictionLog, ScoredRow, features_json, to_table
from parked.schemas import PREDICTIONS
from tests.bentos.fakes import NOW


def answered(answer_id: str, rows: int = 1, **changes: object) -> Answered:
    values: dict[str, object] = {
        "answer_id": answer_id,
        "answered_at": NOW,
        "state": "parked",
        "model_tag": "parking:v1",
        "generation": 3,
        "rules_version": "v1",
        "rows": [ScoredRow("phone", f"{answer_id}-{rank}", rank, 0.25, {"walked_m": 0.1}, NOW) for rank in range(rows)],
    }
    return Answered(**(values | changes))  # type: ignore[arg-type]


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def test_what_was_added_is_written_as_the_contract_says(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(answered("a", rows=2))
    log.add(answered("b"))
    assert log.flush() == 3
    (part,) = parts(tmp_path)
    assert part.parent.name == "date=2026-03-01"
    table = pq.ParquetFile(part).read()
    assert table.schema.equals(PREDICTIONS)
    assert table["candidate_id"].to_pylist() == ["a-0", "a-1", "b-0"]
    assert table["rank"].to_pylist() == [0, 1, 0]
    assert table["answered_at"][0].as_py() == NOW


def test_answers_lie_in_the_folder_of_their_day(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(answered("tomorrow", answered_at=NOW + timedelta(days=1)))
    log.add(answered("today"))
    assert log.flush() == 2
    assert [part.parent.name for part in parts(tmp_path)] == ["date=2026-03-01", "date=2026-03-02"]


def test_an_answer_without_candidates_leaves_no_row(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.add(answered("nobody", rows=0))
    assert log.flush() == 0
    assert parts(tmp_path) == []


def test_a_full_queue_drops_and_counts_and_keeps_what_it_had(tmp_path: Path) -> None:
    dropped: list[int] = []
    log = PredictionLog(tmp_path, queue=2, on_drop=dropped.append)
    for name in "abc":
        log.add(answered(name, rows=3))
    assert dropped == [3]
    assert log.flush() == 6
    log.add(answered("d"))
    assert log.flush() == 1


def test_stopping_writes_what_is_queued(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, flush_s=3600)
    log.start()
    log.add(answered("a"))
    log.stop()
    assert len(parts(tmp_path)) == 1


def test_enough_rows_are_written_without_waiting_for_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrote = threading.Event()
    monkeypatch.setattr(prediction_log, "write_table", lambda _path, _table: wrote.set())
    log = PredictionLog(tmp_path, flush_rows=2, flush_s=3600)
    log.start()
    log.add(answered("a", rows=2))
    assert wrote.wait(10)
    log.stop()


def test_a_disk_that_refuses_is_counted_and_the_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _table: pa.Table) -> None:
        raise OSError("no space left on device")

    dropped: list[int] = []
    log = PredictionLog(tmp_path, on_drop=dropped.append)
    log.add(answered("lost", rows=2))
    with monkeypatch.context() as patch:
        patch.setattr(prediction_log, "write_table", full)
        assert log.flush() == 0
    assert dropped == [2]
    log.add(answered("kept"))
    assert log.flush() == 1


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text()))
def test_logged_features_come_back_exactly_but_for_what_json_cannot_say(features: dict[str, object]) -> None:
    back = json.loads(features_json(features), parse_constant=pytest.fail)
    finite = {k: None if isinstance(v, float) and v - v != 0 else v for k, v in features.items()}
    assert back == finite


def test_an_empty_batch_is_an_empty_table_of_the_contract() -> None:
    assert to_table([]).schema.equals(PREDICTIONS)
