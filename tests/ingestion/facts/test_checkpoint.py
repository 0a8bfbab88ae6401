"""A checkpoint is read back, or said to be damaged: never a traceback, never a stream of something else."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.facts.checkpoint import engine_id, load
from ingestion.facts.rules import load_rules
from parked.errors import InputError

RULES = load_rules()


def with_head(path: Path, head: bytes) -> Path:
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        out.write(b"parked-stream-1\n" + struct.pack("<Q", len(head)) + head)
    return path


@pytest.mark.parametrize("head", [b'{"a": 1}', b"[1]", b'{"engine": 1, "position": 7, "devices": []}', b"nothing"])
def test_a_head_that_says_something_else_is_damage(tmp_path: Path, head: bytes) -> None:
    with pytest.raises(InputError, match=r"damaged checkpoint.*parked facts build"):
        load(with_head(tmp_path / "c", head), RULES)


@pytest.mark.parametrize("devices", [[1], "phone-0", {"phone-0": 0}, None])
def test_devices_that_are_no_texts_are_damage(tmp_path: Path, devices: object) -> None:
    head = json.dumps({"engine": engine_id(RULES), "position": 7, "devices": devices}).encode()
    with pytest.raises(InputError, match=r"damaged checkpoint \(its head"):
        load(with_head(tmp_path / "c", head), RULES)
