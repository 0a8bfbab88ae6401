"""One answer is found again among many parts, days and workers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.log.answer_id import answer_ids, asked_us
from bentos.log.logged import AnswerLog
from bentos.ports import NotReadyError, UnknownAnswerError
from parked.clock import fixed_clock, from_us, to_us
from parked.files import write_table
from parked.schemas import PREDICTIONS

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def anyone(_device: str) -> bool:
    return True


class Log:
    """A worker's log: answers it holds, and the parts it has written."""

    def __init__(self, folder: Path, *, typed: bool = False) -> None:
        self.folder, self.typed, self.held, self.written = folder, typed, list[dict[str, Any]](), 0

    def give(self, moment: datetime, *devices: str) -> str:
        answer_id = answer_ids(fixed_clock(moment))(True)
        for rank, device in enumerate(devices):
            self.held.append(
                {
                    "answer_id": answer_id, "answered_at": moment, "asked_at": moment, "device_id": device,
                    "candidate_id": f"candidate-{rank}", "rank": rank, "probability": 0.1 + rank / 7,
                    "state": "score", "model_tag": "parking:v1", "generation": 3, "rules_version": "v1",
                    "features": json.dumps(FED),
                }
            )  # fmt: skip
        return answer_id

    def flush(self) -> None:
        days = groupby(self.held, key=lambda row: row["answered_at"].date().isoformat())
        for day, rows in [(day, list(rows)) for day, rows in days]:
            table = pa.Table.from_pylist(rows, schema=PREDICTIONS)
            if self.typed:
                table = table.drop_columns(["features"])
                for name, value in FED.items():
                    column = pa.array([value] * len(rows), pa.string() if name == "z" else pa.float64())
                    table = table.append_column(f"f.{name}", column)
            self.written += 1
            part = f"{to_us(rows[0]['answered_at'])}-1-{self.written:06d}.parquet"
            write_table(self.folder / f"date={day}" / part, table)
        self.held.clear()

    def reader(self, now: datetime) -> AnswerLog:
        return AnswerLog(self.folder, lambda _at: self.flush(), fixed_clock(now), flush_s=2.0)


FED = {"x": 0.1, "y": None, "z": "a"}


@pytest.mark.parametrize("typed", [False, True], ids=["features as JSON", "a column per feature"])
def test_each_answer_is_found_with_exactly_what_was_logged(tmp_path: Path, typed: bool) -> None:
    log = Log(tmp_path, typed=typed)
    given_ids = {}
    for seconds in range(-90, 90, 7):
        moment = MIDNIGHT + timedelta(seconds=seconds)
        given_ids[log.give(moment, "a", "b")] = moment
        if seconds % 3 == 0:
            log.flush()
    log.flush()
    answers = log.reader(MIDNIGHT + timedelta(hours=1))
    for answer_id, moment in given_ids.items():
        found = answers.find(answer_id, anyone)
        assert (found.answered_at, found.model_tag, found.generation) == (moment, "parking:v1", 3)
        assert [(c.device_id, c.rank, c.probability) for c in found.candidates] == [
            ("a", 0, 0.1),
            ("b", 1, 0.1 + 1 / 7),
        ]
        assert found.candidates[0].features == {"x": 0.1, "y": None, "z": "a"}


def test_an_answer_still_in_this_workers_queue_is_written_and_found(tmp_path: Path) -> None:
    log = Log(tmp_path)
    answer_id = log.give(MIDNIGHT, "a")
    assert log.reader(MIDNIGHT + timedelta(seconds=1)).find(answer_id, anyone).answer_id == answer_id


def test_an_answer_that_is_nowhere_may_come_at_first_and_never_later(tmp_path: Path) -> None:
    log = Log(tmp_path)
    lost = answer_ids(fixed_clock(MIDNIGHT))(True)
    with pytest.raises(NotReadyError):
        log.reader(MIDNIGHT + timedelta(seconds=4)).find(lost, anyone)
    with pytest.raises(UnknownAnswerError):
        log.reader(MIDNIGHT + timedelta(seconds=6)).find(lost, anyone)


@pytest.mark.parametrize("damage", [b"", b"PAR1 not really", None], ids=["empty", "junk", "half"])
def test_a_damaged_part_hides_only_its_own_answers(tmp_path: Path, damage: bytes | None) -> None:
    log = Log(tmp_path)
    first = log.give(MIDNIGHT, "a")
    log.flush()
    last = log.give(MIDNIGHT + timedelta(seconds=30), "a")
    log.flush()
    damaged = max(tmp_path.rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-100] if damage is None else damage)
    answers = log.reader(MIDNIGHT + timedelta(hours=1))
    assert answers.find(first, anyone).answer_id == first
    with pytest.raises(UnknownAnswerError):
        answers.find(last, anyone)
    rest = log.give(MIDNIGHT + timedelta(seconds=35), "a")
    log.flush()
    assert answers.find(rest, anyone).answer_id == rest


def test_rows_of_other_devices_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    log = Log(tmp_path)
    answer_id = log.give(MIDNIGHT, "a", "b", "a")
    answers = log.reader(MIDNIGHT)
    mine = answers.find(answer_id, lambda device: device == "b")
    assert [c.candidate_id for c in mine.candidates] == ["candidate-1"]
    with pytest.raises(UnknownAnswerError):
        answers.find(answer_id, lambda _device: False)


@pytest.mark.parametrize("step", [timedelta(hours=1), -timedelta(hours=1), timedelta(days=365)], ids=str)
def test_an_answer_on_its_way_is_found_though_the_clock_was_moved_meanwhile(tmp_path: Path, step: timedelta) -> None:
    log, now, up_s = Log(tmp_path), [MIDNIGHT], [100.0]
    answers = AnswerLog(tmp_path, lambda _at: log.flush(), lambda: now[0], flush_s=2.0, monotonic=lambda: up_s[0])
    mine = log.give(MIDNIGHT, "a")
    now[0] += step
    assert answers.find(mine, anyone).answer_id == mine
    elsewhere = answer_ids(fixed_clock(MIDNIGHT))(True)  # another worker may hold it still
    with pytest.raises(NotReadyError):
        answers.find(elsewhere, anyone)
    now[0], up_s[0] = now[0] + timedelta(seconds=30), up_s[0] + 30
    with pytest.raises(UnknownAnswerError):
        answers.find(elsewhere, anyone)


@settings(max_examples=50)
@given(st.integers(to_us(datetime(1990, 1, 1, tzinfo=UTC)), to_us(datetime(2200, 1, 1, tzinfo=UTC))).map(from_us))
def test_an_id_says_when_to_the_microsecond(moment: datetime) -> None:
    assert asked_us(answer_ids(fixed_clock(moment))(True)) == to_us(moment)


@settings(max_examples=100)
@given(st.text(max_size=40) | st.from_regex(r"[0-9a-f]{32}", fullmatch=True))
def test_whatever_is_asked_for_is_looked_for_without_a_fault(text: str) -> None:
    log = Log(Path("/nonexistent"))
    with pytest.raises((UnknownAnswerError, NotReadyError)):
        log.reader(MIDNIGHT).find(text, anyone)
