"""Served features equal the offline ones as of the answer, over a live run with late data; and a check that finds it
if they do not."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from feature_repo.retrieve import historical_features
from feature_repo.services import PARKING_V1
from feature_repo.store import open_store
from ingestion.facts.store import read_facts
from ingestion.features.fold import fold_facts
from monitoring.offline import Offline, differences, same_bits
from monitoring.parity import check_parity, judge
from monitoring.sampled import sample_answers
from monitoring.windows import Window
from parked.clock import from_us, to_us
from parked.predictions import parts
from parked.settings import Settings
from tests.bentos.fakes import settings_in
from tests.e2e.live import FIRST, LAST, STEPS, Live, run

END = STEPS[-1] + timedelta(hours=1)
HONEST = Window(FIRST, END)
SPAN = ("--from", FIRST.isoformat(), "--to", END.isoformat())
STEP_S = (STEPS[1] - STEPS[0]).total_seconds()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    return run(tmp_path_factory.mktemp("live"))


@pytest.fixture
def other(live: Live, tmp_path: Path) -> Settings:
    """The run's log and facts, to be tampered with."""
    settings = settings_in(tmp_path)
    for mine, theirs in ((settings.facts_dir, live.settings.facts_dir),
                         (settings.predictions_dir, live.settings.predictions_dir)):  # fmt: skip
        shutil.copytree(theirs, mine)
    return settings


def parity(settings: Settings, *arguments: str) -> tuple[int, dict[str, Any]]:
    """``parked monitor parity --json``: exit code, and what it said."""
    environment = {"PARKED_HOME": str(settings.home)}
    done = CliRunner().invoke(app, ["monitor", "parity", *arguments, "--json"], env=environment)
    told: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, told


def test_the_run_is_what_it_claims_to_be(live: Live) -> None:
    """Records hours late that change what was believed; the same features read with hindsight are others."""
    assert live.latest_s > 3600
    assert sum(done.rewritten for done in live.updates) > 0
    facts = read_facts(live.settings, "v1")
    offline = Offline(fold_facts(facts))
    answers = sample_answers(live.settings.predictions_dir, HONEST, 10_000, "v1")
    hindsight = differences([(answer, to_us(LAST)) for answer in answers], offline)
    assert sum(map(bool, hindsight)) > len(answers) / 2


def test_every_answer_rests_on_exactly_what_was_known(live: Live) -> None:
    code, told = parity(live.settings, *SPAN, "--lag", str(STEP_S), "--sample", "10000")
    assert (code, told["mismatches"]) == (0, [])
    assert told["answers"] > 100
    assert told["candidates"] > 200
    assert told["equal"] + told["behind"] + told["mixed"] == told["answers"]
    assert 0 < told["behind"] < told["equal"]


def test_the_very_join_of_training_gives_the_same(live: Live) -> None:
    """Feast's own ``get_historical_features`` at the moments of the answers given on a loaded store."""
    fresh = set(live.answers)
    answers = [a for a in sample_answers(live.settings.predictions_dir, HONEST, 80, "v1") if a.answer_id in fresh]
    offline = Offline(fold_facts(read_facts(live.settings, "v1")))
    rows = [(a, candidate) for a in answers for candidate in a.fed]
    entities = pd.DataFrame(
        {
            "device_id": [a.device_id for a, _ in rows],
            "candidate_id": [candidate for _, candidate in rows],
            "cell": [offline.cell(candidate, a.answered_us) for a, candidate in rows],
            "event_timestamp": pd.to_datetime([from_us(a.answered_us) for a, _ in rows], utc=True),
            "asked_at_us": [a.asked_us for a, _ in rows],
        }
    )
    found = historical_features(open_store(live.settings), entities, PARKING_V1)
    names = list(rows[0][0].fed[rows[0][1]])
    known = pa.Table.from_pandas(found[names], preserve_index=False).to_pylist()
    odd = [
        (a.answer_id, name)
        for (a, candidate), row in zip(rows, known, strict=True)
        for name in names
        if not same_bits(a.fed[candidate][name], row[name])
    ]
    assert len(rows) > 50
    assert odd == []


def test_news_that_waited_too_long_is_a_mismatch(live: Live) -> None:
    code, told = parity(live.settings, *SPAN, "--lag", "0", "--sample", "10000")
    assert code == 1
    verdicts = {found["answer_id"]: found["verdict"] for found in told["mismatches"]}
    assert set(verdicts) <= {*live.before_loading, *live.while_loading}, "once loaded, all is served"
    assert set(verdicts.values()) <= {"behind", "mixed"}
    assert {verdicts[answer] for answer in live.before_loading if answer in verdicts} == {"behind"}
    assert all(0 < found["seconds"] <= STEP_S for found in told["mismatches"])


def test_an_answer_of_two_states_is_told_from_one_that_was_never_known(live: Live) -> None:
    """Candidates' rows are loaded before those of phones: a reader in between meets new and old ones."""
    offline = Offline(fold_facts(read_facts(live.settings, "v1")))
    found = 0
    for answer in sample_answers(live.settings.predictions_dir, HONEST, 10_000, "v1"):
        behind = answer.answer_id in live.before_loading and answer.whole
        differing = differences([(answer, answer.answered_us)], offline)[0] if behind else ()
        known = {(d.candidate_id, d.feature): d.offline for d in differing if d.feature != "candidates"}
        if len(known) < 2 or len(known) < len(differing):
            continue
        found += 1
        renewed = list(known)[: len(known) // 2]
        fed = {c: {n: known[c, n] if (c, n) in renewed else v for n, v in row.items()} for c, row in answer.fed.items()}
        (mixed,) = judge([replace(answer, fed=fed)], offline)
        assert mixed is not None
        assert mixed.verdict in ("mixed", "behind"), "behind: what it was renewed by was known together once"
        broken = {c: {n: -1.0 if n == "age_s" else v for n, v in row.items()} for c, row in fed.items()}
        (never,) = judge([replace(answer, fed=broken)], offline)
        assert never is not None
        assert never.verdict == "different"
    assert found > 0


def test_a_fact_served_before_it_was_known_is_caught(live: Live) -> None:
    code, told = parity(live.settings, "--from", END.isoformat(), "--lag", str(10 * STEP_S))
    assert code == 1
    assert {found["answer_id"] for found in told["mismatches"]} <= set(live.leaked)
    assert len(told["mismatches"]) > 2, "phones that stood still since served nothing new"
    assert {found["verdict"] for found in told["mismatches"]} == {"ahead"}
    assert all(found["seconds"] > 0 for found in told["mismatches"])


def test_one_bit_of_one_logged_feature_is_caught_and_named(other: Settings) -> None:
    part = next(file for file in parts(other.predictions_dir) if pq.read_table(file)["answered_at"][0].as_py() >= FIRST)
    table = pq.read_table(part)
    at, name = table.column_names.index("f.age_s"), "f.age_s"
    values = table[name].to_pylist()
    values[0] = math.nextafter(values[0], math.inf)
    pq.write_table(table.set_column(at, name, pa.array(values, pa.float64())), part)
    found = check_parity(other, HONEST, most=10_000, lag_s=STEP_S)
    (mismatch,) = found.mismatches
    assert mismatch.verdict == "different"
    assert [d.feature for d in mismatch.differences if d.served == values[0]] == ["age_s"]


def test_a_candidate_that_was_left_out_is_caught(other: Settings) -> None:
    part = next(file for file in parts(other.predictions_dir) if pq.read_table(file)["answered_at"][0].as_py() >= FIRST)
    table = pq.read_table(part)
    row = table["rank"].to_pylist().index(1)
    pq.write_table(pa.concat_tables([table.slice(0, row), table.slice(row + 1)]), part)
    found = check_parity(other, HONEST, most=10_000, lag_s=STEP_S)
    assert [d.feature for m in found.mismatches for d in m.differences][:1] == ["candidates"]


def test_a_sample_is_the_same_at_every_reading_and_an_empty_log_is_said(live: Live, tmp_path: Path) -> None:
    one, again = (sample_answers(live.settings.predictions_dir, HONEST, 20, "v1") for _ in range(2))
    assert one == again
    assert len(one) == 20
    assert {(a.answer_id, a.device_id) for a in one} < {
        (a.answer_id, a.device_id) for a in sample_answers(live.settings.predictions_dir, HONEST, 10_000, "v1")
    }
    code, told = parity(settings_in(tmp_path))
    assert (code, told["answers"]) == (0, 0)


def test_phones_whose_times_are_stated_are_not_judged(other: Settings) -> None:
    file = other.facts_dir / "v1" / "facts.parquet"
    facts = pq.ParquetFile(file).read()
    at = facts.column_names.index("as_if_live")
    pq.write_table(facts.set_column(at, facts.schema.field(at), pa.array([True] * facts.num_rows)), file)
    found = check_parity(other, HONEST, most=50)
    assert (found.as_if_live, found.equal, found.mismatches) == (50, 0, ())
    assert replace(found, as_if_live=0).answers == 50
