"""Pieces of answers (``bentos.log.waiting``) into a Parquet part of the prediction log (``parked.predictions``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.log.spool import BETWEEN, pieces
from parked.files import atomic_path
from parked.predictions import FED, SHARED

_WORDS: Final = pa.dictionary(pa.int16(), pa.string())


def write_part(fd: int, folder: Path, end: int | None = None) -> int:
    """Write the part that a spool holds, durably, under ``folder``; returns its rows. Again gives the same file.

    ``end``: bytes of the spool; without it all its whole pieces. The first piece is the model's, with the part's
    ``path``. Raises OSError, and ValueError or pyarrow's errors for what is no such spool.
    """
    read = pieces(fd, end)
    first = next(read, None)
    found = list(read)
    if first is None or not found:
        return 0
    model, _ = first
    table = _table(model, found)
    repeated = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    with atomic_path(folder / model["path"]) as temporary:
        # lz4, no statistics, no search for repeated numbers: the writer may share its core with who answers. Without
        # Arrow's own schema the dictionaries are read back as what they spell.
        pq.write_table(
            table, temporary, compression="lz4", use_dictionary=repeated, write_statistics=False, store_schema=False
        )
    return int(table.num_rows)


def _table(model: dict[str, Any], told: Sequence[tuple[dict[str, Any], list[memoryview]]]) -> pa.Table:
    """All answers: ``SHARED`` with texts that repeat as dictionaries, then what was fed."""
    found = [piece for piece, _ in told]
    sizes = _numbers(found, "sizes", np.int32)
    whose = pa.array(np.repeat(np.arange(len(sizes)), sizes))
    rows, of_pieces = len(whose), [piece["rows"] for piece in found]
    columns = {
        "answer_id": _texts(found, "ids").take(whose),
        "answered_at": pa.array(_numbers(found, "answered", np.int64)).take(whose),
        "asked_at": pa.array(_numbers(found, "asked", np.int64)),
        "device_id": _texts(found, "devices"),
        "candidate_id": _texts(found, "candidates"),
        "rank": pa.array(_numbers(found, "ranks", np.int32)),
        "probability": pa.array(_numbers(found, "probabilities", np.float64)),
        "state": _texts(found, "states").dictionary_encode().take(whose),
        "model_tag": _repeated([model["tag"]], [rows]),
        "generation": pa.array(np.repeat([piece["generation"] for piece in found], of_pieces)),
        "rules_version": _repeated([piece["rules"] for piece in found], of_pieces),
    }
    shared = [
        column if pa.types.is_dictionary(column.type) else column.cast(SHARED.field(name).type)
        for name, column in columns.items()
    ]
    segments = [segment for piece, buffers in told for segment in _segments(piece, buffers)]
    fed = {**_numeric(model, segments, rows), **_categories(model["texts"], segments)}
    features = model["features"]
    return pa.table([*shared, *(fed[name] for name in features)], names=[*columns, *(FED + name for name in features)])


def _numbers(found: Sequence[dict[str, Any]], name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.frombuffer(b"".join([piece[name] for piece in found]), dtype)


def _texts(found: Sequence[dict[str, Any]], name: str) -> pa.Array:
    told: list[str | list[str]] = [piece[name] for piece in found]
    if any(isinstance(texts, list) for texts in told):
        every = [text for texts in told for text in (texts if isinstance(texts, list) else texts.split(BETWEEN))]
        return pa.array(every, pa.string())
    return pc.split_pattern(pa.array([BETWEEN.join(told)]), BETWEEN).values  # type: ignore[arg-type]  # all are texts


def _repeated(texts: Sequence[str], times: Sequence[int]) -> pa.DictionaryArray:
    return pa.array(texts, pa.string()).dictionary_encode().take(pa.array(np.repeat(np.arange(len(texts)), times)))


class _Segment(NamedTuple):
    """Rows that lay together in who answered."""

    numbers: npt.NDArray[np.float64]
    """Shape (rows, at least the numeric features)."""
    words: list[list[str]] | None
    codes: bytes | memoryview
    """With words: int16, (rows, categories)."""
    texts: list[list[str | None]]
    """Without words: of each row."""


def _segments(piece: dict[str, Any], buffers: Sequence[memoryview]) -> Iterator[_Segment]:
    left = iter(buffers)
    for rows, width, words, texts in piece["segments"]:
        numbers = np.frombuffer(next(left), np.float64).reshape(rows, width)
        yield _Segment(numbers, words, b"" if words is None else next(left), texts or [])


def _numeric(model: dict[str, Any], segments: Sequence[_Segment], rows: int) -> dict[str, pa.Array]:
    """The features that are numbers, in their types; NaN is missing and null."""
    columns = np.empty((len(model["numeric"]), rows))
    at = 0
    for segment in segments:  # turned a segment at a time, while it is in the cache
        there = at + len(segment.numbers)
        columns[:, at:there] = segment.numbers[:, : len(columns)].T
        at = there
    known = ~np.isnan(columns)
    bits, missing = np.packbits(known, axis=1, bitorder="little"), rows - np.count_nonzero(known, axis=1)
    made = {}
    for name, told, column, valid, nulls in zip(
        model["numeric"], model["kinds"], columns, bits, missing.tolist(), strict=True
    ):
        kind = pa.type_for_alias(told)
        if kind != pa.float64() and nulls:
            column[np.isnan(column)] = 0.0
        values = np.packbits(column != 0, bitorder="little") if kind == pa.bool_() else column
        stored = pa.bool_() if kind == pa.bool_() else pa.float64()
        buffers = [pa.py_buffer(valid) if nulls else None, pa.py_buffer(values)]
        made[name] = pa.Array.from_buffers(stored, rows, buffers, nulls).cast(kind, safe=False)
    return made


def _categories(names: Sequence[str], segments: Sequence[_Segment]) -> dict[str, pa.ChunkedArray]:
    """The features that are texts, as dictionaries."""
    chunks: list[list[pa.DictionaryArray]] = [[] for _ in names]
    for words, run in groupby(segments, lambda segment: segment.words):
        if words is None:
            spelled = [pa.array(column, pa.string()) for column in zip(*chain(*(s.texts for s in run)), strict=True)]
            made = [column.dictionary_encode().cast(_WORDS) for column in spelled]
        else:
            codes = np.frombuffer(b"".join([s.codes for s in run]), np.int16).reshape(-1, len(names))
            made = [
                pa.DictionaryArray.from_arrays(pa.array(which, mask=which < 0), pa.array(of, pa.string()))
                for which, of in zip(np.ascontiguousarray(codes.T), words, strict=True)
            ]
        for kept, chunk in zip(chunks, made, strict=True):
            kept.append(chunk)
    return {name: pa.chunked_array(of, _WORDS) for name, of in zip(names, chunks, strict=True)}
