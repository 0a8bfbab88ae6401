"""However long a CSV file or a line of it is, reading it takes the memory of a few blocks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEADER = b"device_id,event_time,lat,lon,note\n"
ROW = b"phone-1,2024-05-01T12:00:00Z,52.5,13.4,%b\n" % (b"n" * 4_000)
MB = 1 << 20

READ = """
import json, resource, sys
from pathlib import Path
from ingestion.readers.columns import CsvReader
from ingestion.readers import csvfile

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # MB
start, peaks, rows, aside = peak(), [], 0, 0
for batch in CsvReader().read(Path(sys.argv[1]), device=None):
    rows, aside = rows + len(batch.fixes), aside + len(batch.malformed)
    peaks.append(peak())
    del batch
print(json.dumps([start, peaks, rows, aside, csvfile._BLOCK_BYTES >> 20]))
"""


def read(file: Path) -> tuple[int, list[int], int, int, int]:
    """In a process of its own: its peak before, and after each batch (MB); rows, rows set aside; a block's MB."""
    said = subprocess.run([sys.executable, "-c", READ, str(file)], capture_output=True, text=True, check=True).stdout
    start, peaks, rows, aside, block = json.loads(said)
    return start, peaks, rows, aside, block


def written(file: Path, row: bytes, *, megabytes: int) -> int:
    """A file of nothing but ``row``; how often it is there."""
    thousands = megabytes * MB // (1000 * len(row))
    with file.open("wb") as out:
        out.write(HEADER)
        for _ in range(thousands):
            out.write(row * 1000)
    return thousands * 1000


def test_a_long_file_takes_no_more_memory_than_its_first_blocks(tmp_path: Path) -> None:
    file = tmp_path / "fixes.csv"
    count = written(file, ROW, megabytes=320)
    start, peaks, rows, aside, block = read(file)
    assert (rows, aside) == (count, 0)
    assert len(peaks) >= 320 // block
    assert peaks[-1] - peaks[1] < 2 * block, "no batch is kept"
    assert peaks[-1] - start < 16 * block


def test_a_line_without_an_end_takes_no_more_memory_than_a_few_blocks(tmp_path: Path) -> None:
    file = tmp_path / "fixes.csv"
    file.write_bytes(HEADER + ROW + b"phone-1,")
    with file.open("r+b") as out:
        out.truncate(512 * MB)
    start, peaks, rows, aside, block = read(file)
    assert (rows, aside) == (1, 1)
    assert peaks[-1] - start < 8 * block
