"""A stream's states on disk: written whole or not at all, read back only by the engine and rules that wrote them."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ingestion.facts import kernel
from ingestion.facts.kernel.stream import META
from ingestion.facts.kernel.types import RECORD, ROW, STATE
from ingestion.facts.rules import Rules, build_command
from ingestion.facts.stream import History, StopStream
from parked.errors import ConflictError, InputError, first_line
from parked.files import atomic_path

_MAGIC: Final = b"parked-stream-1\n"
_CHUNK: Final = 4 << 20


def engine_id(rules: Rules) -> str:
    """Names rules and engine together, to the byte: what one wrote, another must not go on with."""
    digest = hashlib.sha256(rules.record().tobytes())
    digest.update(repr([kernel.VERSION, META, RECORD, ROW, STATE]).encode())
    return f"{rules.version}-{digest.hexdigest()[:16]}"


def save(stream: StopStream, path: Path, position: int) -> None:
    """Write the stream's states to ``path``, durably and atomically. ``position``: of what was fed, for the reader."""
    head = {"engine": engine_id(stream.rules), "position": position, "devices": stream.devices}
    with atomic_path(path) as temporary, pa.CompressedOutputStream(str(temporary), "zstd") as out:
        text = json.dumps(head).encode()
        out.write(_MAGIC + struct.pack("<Q", len(text)) + text)
        check = zlib.crc32(text)
        for array in stream.arrays():
            raw: Any = np.ascontiguousarray(array)
            data = memoryview(raw).cast("B") if raw.size else memoryview(b"")
            for at in range(0, len(data), _CHUNK):
                check = zlib.crc32(data[at : at + _CHUNK], check)
                out.write(data[at : at + _CHUNK])
        out.write(struct.pack("<I", check))


def load(path: Path, rules: Rules, history: History | None = None) -> tuple[StopStream, int]:
    """The stream as it was when ``save`` wrote ``path``, and the position given then.

    Raises ConflictError where other rules or another engine wrote it, InputError where it is absent or damaged.
    """
    try:
        with pa.CompressedInputStream(str(path), "zstd") as source:
            return _read(source, path, rules, history)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint", mend=build_command(rules.version)) from None
    except (OSError, EOFError, ValueError, pa.ArrowInvalid) as error:
        raise InputError(
            f"{path}: damaged checkpoint ({first_line(error)})", mend=build_command(rules.version)
        ) from None


def _read(source: Any, path: Path, rules: Rules, history: History | None) -> tuple[StopStream, int]:
    def take(size: int) -> bytes:
        data = io.BytesIO()
        while (missing := size - data.tell()) > 0:
            part = source.read(min(missing, _CHUNK))
            if not part:
                raise EOFError("cut short")
            data.write(part)
        return data.getvalue()

    if take(len(_MAGIC)) != _MAGIC:
        raise EOFError("not a checkpoint")
    text = take(struct.unpack("<Q", take(8))[0])
    engine, position, devices = _head(text)
    wanted = engine_id(rules)
    if engine != wanted:
        raise ConflictError(f"{path}: written by {engine}, not {wanted}", mend=build_command(rules.version))
    stream = StopStream(rules, history, room=max(1, len(devices)))
    for device in devices:
        stream.code(device)
    check = zlib.crc32(text)
    for array in stream.arrays():
        data = take(array.nbytes)
        check = zlib.crc32(data, check)
        array[...] = np.frombuffer(data, array.dtype).reshape(array.shape)
    if struct.unpack("<I", take(4))[0] != check:
        raise EOFError("checksum differs")
    return stream, position


def _head(text: bytes) -> tuple[str, int, list[str]]:
    """What ``save`` wrote first: engine, position, devices. Raises ValueError where it is anything else."""
    match json.loads(text):
        case {"engine": str(engine), "position": int(position), "devices": list(devices)}:
            if all(isinstance(device, str) for device in devices):
                return engine, position, devices
    raise ValueError("its head is not one")
