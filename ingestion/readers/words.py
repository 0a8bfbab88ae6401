"""Columns of words that came as dictionaries: a word that is too long is cut before any row gets a copy of it."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.readers.lines import as_text

LONGEST: Final = 256
"""Characters of a word that are read, twice what a device id may have: a file of 1 MB can say one of 20 MB, once, and
mean it in every row. What is cut is refused as what is too long is."""


def unpacked(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, list[int]]:
    """Text, or dictionaries of text, as text of no more than ``LONGEST`` characters and a note of how many there were;
    and the rows, ascending, that are not UTF-8 (readable all the same).
    """
    parts: list[pa.Array] = []
    wrong: list[int] = []
    start = 0
    for part in column.chunks:
        if not pa.types.is_dictionary(part.type):
            part = part.dictionary_encode()
        words, broken = _readable(part.dictionary)
        parts.append(words.take(part.indices))
        if broken:
            codes = pc.fill_null(part.indices, -1).to_numpy(zero_copy_only=False)
            wrong += (start + np.flatnonzero(np.isin(codes, broken))).tolist()
        start += len(part)
    return pa.chunked_array(parts, pa.string()), wrong


def _readable(words: pa.Array) -> tuple[pa.Array, list[int]]:
    """The words, cut, and the places of those that are not UTF-8."""
    raw = words.cast(pa.large_binary() if pa.types.is_large_string(words.type) else pa.binary())
    longest = pc.max(pc.binary_length(raw)).as_py() or 0
    try:
        words.validate(full=True)
        if longest <= LONGEST:
            return words.cast(pa.string()), []
    except pa.ArrowInvalid:
        pass
    texts: list[str | None] = []
    broken = []
    for place, word in enumerate(raw):  # one at a time: they may be long
        cell = word.as_py()
        try:
            text = None if cell is None else cell.decode()
        except UnicodeDecodeError:
            broken.append(place)
            text = as_text(cell)
        texts.append(text if text is None or len(text) <= LONGEST else _cut(text))
    return pa.array(texts, pa.string()), broken


def _cut(text: str) -> str:
    return f"{text[:LONGEST]}… ({len(text):,} characters)"
