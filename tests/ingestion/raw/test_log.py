"""The raw log survives what kills its writers, and lets in one writer at a time."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import insert

from ingestion.raw.quarantine import Selection, count_by_reason, find, get
from ingestion.readers.port import CANDIDATE_FIXES, Batch, Malformed
from ingestion.readers.reasons import Reason
from parked.clock import fixed_clock
from parked.errors import InternalError, NotFoundError
from parked.files import sha256_of
from parked.opsdb.tables import IngestionRun
from tests.ingestion.raw.conftest import NOW, Home, open_home, save, some_fixes

CLOCK = fixed_clock(NOW)

pytestmark = pytest.mark.usefixtures("database_url")


def batch(count: int = 5, first: int = 0) -> Batch:
    table = some_fixes(count, first=first)
    columns = {name: table[name] for name in table.column_names}
    columns |= {"platform": pa.nulls(count, pa.string()), "source_offset": pa.array(range(count), pa.int64())}
    columns |= {"mock": pa.nulls(count, pa.bool_())}
    return Batch(
        fixes=pa.table([columns[name] for name in CANDIDATE_FIXES.names], schema=CANDIDATE_FIXES),
        malformed=[Malformed(count, Reason.NOT_A_RECORD, "torn", "nul \x00 and half \ud800" + "x" * 70_000)],
    )


DIES = """
import os, signal
from datetime import UTC, datetime
from pathlib import Path
from tests.ingestion.raw.test_log import CLOCK, batch
from tests.ingestion.raw.conftest import open_home
home = open_home(Path({home!r}), {url!r})
with home.log.writing(CLOCK) as writer:
    run = writer.begin("dying", "test", "abc")
    run.add(batch())
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_python(code: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE)


def test_appended_records_are_there_at_once_and_again_they_are_duplicates(home: Home):
    log = home.log
    first = log.append(batch(), source="memory", reader="test", sha256="1", clock=CLOCK)
    assert (first.read, first.accepted, first.quarantined) == (6, 5, 1)
    assert log.scan_fixes().num_rows == 5
    again = log.append(batch(8), source="memory", reader="test", sha256="2", clock=CLOCK)
    assert (again.accepted, again.duplicates) == (3, 5)


def test_two_logs_on_one_home_see_each_others_records(home: Home):
    one, other = home.log, home.log
    one.append(batch(), source="one", reader="test", sha256="1", clock=CLOCK)
    other.append(batch(first=3), source="other", reader="test", sha256="2", clock=CLOCK)
    assert one.append(batch(8), source="one", reader="test", sha256="3", clock=CLOCK).accepted == 0


def test_a_killed_run_is_invisible_and_the_next_one_clears_up_and_takes_everything(home: Home):
    process = run_python(DIES.format(home=str(home.settings.home), url=home.settings.database))
    assert process.wait(timeout=60) == -9, process.communicate()
    assert [run.status for run in home.runs()] == ["running"]
    assert home.log.scan_fixes().num_rows == 0
    assert len(home.log.orphans()) == 1
    assert count_by_reason(home.engine) == {}

    again = home.log.append(batch(), source="again", reader="test", sha256="abc", clock=CLOCK)
    assert (again.accepted, again.duplicates) == (5, 0)
    assert [run.status for run in home.runs()] == ["failed", "done"]
    assert home.log.orphans() == []
    assert home.log.scan_fixes().num_rows == 5
    assert count_by_reason(home.engine) == {"not_a_record": 1}


def test_a_run_that_raises_leaves_no_trace_and_its_records_are_new_the_next_time(home: Home):
    log = home.log
    before = home.state()

    def interrupted() -> None:
        with log.writing(CLOCK) as writer:
            writer.begin("a", "test", "1").add(batch())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert home.state() == before
    assert log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK).accepted == 5


def test_processes_ingesting_the_same_records_at_once_take_each_once(home: Home, tmp_path: Path):
    paths = [save(some_fixes(30 + n), tmp_path / f"{n}.parquet") for n in range(2)]
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.ingestion.raw.conftest import open_home\n"
        f"open_home(Path({str(home.settings.home)!r}), {home.settings.database!r}).ingest(Path(sys.argv[1]))\n"
    )
    root = Path(__file__).parents[3]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root, stderr=subprocess.PIPE) for path in paths
    ]
    errors = [process.communicate(timeout=120)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert home.log.scan_fixes().num_rows == 31
    assert [run.status for run in home.runs()] == ["done", "done"]


def test_the_ledger_names_each_file_by_content_and_spans_its_times(home: Home):
    home.log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK)
    (segment,) = home.log.segments()
    assert segment.rows == 5
    assert segment.max_event_time - segment.min_event_time == timedelta(seconds=4)
    assert sha256_of(home.settings.raw_dir / segment.path) == segment.sha256


def test_a_listed_file_that_is_gone_or_torn_is_our_fault_and_said_so(home: Home):
    home.log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK)
    file = home.settings.raw_dir / home.log.segments()[0].path
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InternalError, match="not readable"):
        home.log.scan_fixes()
    file.unlink()
    with pytest.raises(InternalError, match="not readable"):
        home.log.scan_fixes()
    with pytest.raises(InternalError, match="not readable"):
        home.log.append(batch(8), source="a", reader="test", sha256="2", clock=CLOCK)
    assert [run.source for run in home.runs()] == ["a"]


def test_files_measured_at_other_times_are_never_opened(home: Home, monkeypatch):
    log = home.log
    log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK)
    opened: list[str] = []
    monkeypatch.setattr("ingestion.raw.known.segment_receipts", lambda _dir, path: opened.append(path))
    log._known = None
    log.append(batch(first=1000), source="b", reader="test", sha256="2", clock=CLOCK)
    assert opened == []


def test_quarantine_keeps_any_text_and_no_endless_one(home: Home):
    home.log.append(batch(), source="a", reader="test", sha256="1", clock=CLOCK)
    (row,) = find(home.engine, Selection(reason="not_a_record", run=1))
    assert row.payload.startswith("nul \\u0000 and half \\ud800xxx")
    assert row.payload.endswith("(cut)")
    assert len(row.payload) < 66_000
    assert get(home.engine, row.id) == row
    assert find(home.engine, Selection(run=99)) == []
    with pytest.raises(NotFoundError, match="no record 99"):
        get(home.engine, 99)


def test_a_run_of_a_dead_process_does_not_count_as_done(home: Home):
    with home.engine.begin() as connection:
        row = {"source": "a", "reader": "test", "sha256": "1", "status": "running", "started_at": NOW}
        connection.execute(insert(IngestionRun), [row])
    with home.log.writing(CLOCK) as writer:
        assert writer.is_done("1", None) is None
    assert open_home(home.settings.home, home.settings.database).runs()[0].status == "failed"
