from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitoring.windows import Question, Window, read_served, read_windows
from parked.errors import InputError
from parked.files import write_table
from parked.schemas import PREDICTIONS

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = Window(NOON, NOON + timedelta(hours=1))
ASKED = Question(features=["speed", "motion"], categorical=["motion"], states=["parked", "unknown"])


def log(folder: Path, *rows: dict[str, object], name: str = "part") -> None:
    standard = {
        "answer_id": "a",
        "answered_at": NOON,
        "asked_at": NOON,
        "device_id": "d",
        "candidate_id": "c",
        "rank": 0,
        "probability": 0.5,
        "state": "parked",
        "model_tag": "m:1",
        "generation": 1,
        "rules_version": "r",
        "features": '{"speed":1.5,"motion":"still"}',
    }
    table = pa.Table.from_pylist([{**standard, **row} for row in rows], schema=PREDICTIONS)
    write_table(folder / "date=2024-05-01" / f"{name}.parquet", table)


def test_features_come_out_as_the_model_was_fed(tmp_path: Path) -> None:
    log(
        tmp_path,
        {"candidate_id": "1"},
        {"candidate_id": "2", "features": '{"speed":null,"motion":null}'},
        {"candidate_id": "3", "features": '{"speed":7}'},
        {"candidate_id": "4", "features": '{"speed":"fast","motion":5}'},
    )
    frame = read_served(tmp_path, HOUR, ASKED).frame
    assert frame["f_speed"].dtype == np.float64
    assert frame["f_speed"].tolist() == pytest.approx([1.5, np.nan, 7.0, np.nan], nan_ok=True)
    assert frame["f_motion"].tolist() == ["still", "", "", "5"]


def test_a_window_holds_its_start_and_not_its_end(tmp_path: Path) -> None:
    moments = [HOUR.start - timedelta(microseconds=1), HOUR.start, HOUR.end - timedelta(microseconds=1), HOUR.end]
    log(tmp_path, *[{"candidate_id": str(i), "asked_at": moment} for i, moment in enumerate(moments)])
    assert read_served(tmp_path, HOUR, ASKED).frame["candidate_id"].tolist() == ["1", "2"]


def test_a_phone_that_asks_every_second_counts_once_an_hour_with_all_of_its_candidates(tmp_path: Path) -> None:
    answers = [{"answer_id": str(i), "asked_at": NOON + timedelta(seconds=i)} for i in range(500)]
    log(tmp_path, *[{**answer, "candidate_id": name} for answer in answers for name in ("newest", "older")])
    log(tmp_path, {"answer_id": "x", "device_id": "another"}, name="second")
    served = read_served(tmp_path, HOUR, ASKED)
    assert served.logged == 1001
    assert served.frame.groupby("device_id")["candidate_id"].apply(list).to_dict() == {
        "another": ["c"],
        "d": ["newest", "older"],
    }


def test_a_row_logged_twice_counts_once(tmp_path: Path) -> None:
    log(tmp_path, {}, {})
    assert read_served(tmp_path, HOUR, ASKED).rows == 1


def test_the_row_kept_does_not_depend_on_how_the_log_is_cut(tmp_path: Path) -> None:
    rows = [{"answer_id": str(i), "asked_at": NOON + timedelta(seconds=i)} for i in range(20)]
    log(tmp_path / "one", *rows)
    for i, row in enumerate(reversed(rows)):
        log(tmp_path / "many", row, name=str(i))
    one, many = (read_served(tmp_path / name, HOUR, ASKED).frame for name in ("one", "many"))
    assert one.equals(many)


def test_batch_scores_and_other_models_are_left_out(tmp_path: Path) -> None:
    log(
        tmp_path,
        {"candidate_id": "1"},
        {"candidate_id": "2", "state": "score"},
        {"candidate_id": "3", "model_tag": "m:2"},
    )
    assert read_served(tmp_path, HOUR, ASKED).rows == 2
    only = Question(ASKED.features, ASKED.categorical, ASKED.states, model_tag="m:1")
    assert read_served(tmp_path, HOUR, only).frame["candidate_id"].tolist() == ["1"]


def test_unreadable_features_are_counted_and_lose_nothing_else(tmp_path: Path) -> None:
    log(tmp_path, {"candidate_id": "1"}, {"candidate_id": "2", "features": "{broken"})
    served = read_served(tmp_path, HOUR, ASKED)
    assert (served.rows, served.unreadable) == (1, 1)


def test_too_many_rows_lose_whole_phones(tmp_path: Path) -> None:
    log(tmp_path, *[{"device_id": f"d{i % 10}", "candidate_id": str(i)} for i in range(100)])
    few = Question(ASKED.features, ASKED.categorical, ASKED.states, max_rows=35)
    sizes = read_served(tmp_path, HOUR, few).frame.groupby("device_id").size()
    assert sizes.tolist() == [10, 10, 10]


@pytest.mark.parametrize("folder", ["none", "empty"])
def test_a_log_without_parts_gives_no_rows_and_all_columns(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    served = read_served(tmp_path / folder, HOUR, ASKED)
    assert served.rows == 0
    assert served.frame["f_speed"].dtype == np.float64
    assert "f_motion" in served.frame


def test_adjoining_windows_are_read_in_one_pass_in_the_order_given(tmp_path: Path) -> None:
    log(tmp_path, *[{"candidate_id": str(i), "asked_at": NOON + timedelta(minutes=20 * i)} for i in range(9)])
    after = Window(NOON + timedelta(hours=3), NOON + timedelta(hours=4))
    served = read_windows(tmp_path, after.before(3), ASKED)
    assert [s.window.start.hour for s in served] == [14, 13, 12]
    assert [s.frame["candidate_id"].tolist() for s in served] == [["6", "7", "8"], ["3", "4", "5"], ["0", "1", "2"]]


def test_a_candidate_may_appear_in_every_window(tmp_path: Path) -> None:
    log(tmp_path, {"asked_at": NOON}, {"asked_at": NOON + timedelta(hours=1)})
    after = Window(NOON + timedelta(hours=2), NOON + timedelta(hours=3))
    assert [s.rows for s in read_windows(tmp_path, after.before(2), ASKED)] == [1, 1]


def test_a_damaged_part_is_told_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "part.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match="unreadable prediction log"):
        read_served(tmp_path, HOUR, ASKED)


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InputError, match="--from before --to"):
        Window(NOON, NOON)


def test_a_window_is_a_weekend_by_where_most_of_it_lies() -> None:
    saturday = datetime(2024, 5, 4, tzinfo=UTC)
    day = timedelta(days=1)
    assert [Window(saturday + i * day, saturday + (i + 1) * day).weekend for i in (-1, 0, 1, 2)] == [
        False,
        True,
        True,
        False,
    ]


def test_features_in_columns_of_their_own_and_as_text_read_the_same(tmp_path: Path) -> None:
    features = [{"speed": 0.1, "motion": "still"}, {"speed": None, "motion": None}, {"speed": 2 / 3, "motion": "foot"}]
    rows = [{"answer_id": str(n), "device_id": str(n), "features": json.dumps(f)} for n, f in enumerate(features)]
    text, typed, both = tmp_path / "text", tmp_path / "typed", tmp_path / "both"
    log(text, *rows)
    log(both, rows[0])
    whole = pq.ParquetFile(next(text.rglob("*.parquet"))).read()
    columns = whole.drop_columns(["features"])
    for name in ("speed", "motion"):
        columns = columns.append_column(f"f.{name}", pa.array([row[name] for row in features]))
    write_table(typed / "part.parquet", columns)
    write_table(both / "other.parquet", columns.slice(1))
    frames = [read_served(folder, HOUR, ASKED).frame for folder in (text, typed, both)]
    assert frames[0]["f_motion"].tolist() == ["still", "", "foot"]
    pd.testing.assert_frame_equal(frames[1], frames[0])
    pd.testing.assert_frame_equal(frames[2], frames[0])
