"""Streaming the records of a JSON file: the elements of an array, a value a line, or one object.

A record that is not JSON becomes ``Broken`` and stops no other: in an array its end is found by its brackets or,
where it lost one (or a quote), by the next record that can be read; between lines by the newline. Memory holds some
``_CHUNK_RECORDS`` records, or of long ones ``BATCH_TEXT``, and never a text longer than a few ``MAX_RECORD``.
"""

from __future__ import annotations

import codecs
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from ingestion.readers.lines import HOPELESS, TooLong, as_text, line_blocks
from ingestion.readers.port import BATCH_TEXT, Batch, Kept
from ingestion.readers.records import Broken, Collector
from ingestion.readers.source import opened
from parked.errors import InputError

MAX_RECORD: Final = 4 * 1024 * 1024
"""Characters of one record, bytes of one line: a phone's is under a thousand."""

_CHUNK_RECORDS: Final = 20_000
_NEAR: Final = 65_536
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.S)
_BETWEEN: Final = re.compile(r",\s*(?=\{)")
"""Between two records, or two objects in one: in an object a comma is followed by a name."""
_PAIRS: Final = ("{}", "[]")
_MEND: Final = "copy or export it again"

_Sized = tuple[Any, int]
"""A record, and how long its text was."""


class JsonReader(ABC):
    """What readers of JSON records have in common; ``read_one`` is their own."""

    def device_of(self, path: Path, device: str | None) -> str | None:  # noqa: ARG002
        """Only ``--device``: records name their own."""
        return device

    def read(self, path: Path, *, device: str | None = None) -> Iterator[Batch]:
        """Batches of some thousand records."""
        start = 0
        for records in json_records(path):
            yield self._batch(records, start, device)
            start += len(records)

    def again(self, kept: Sequence[Kept], *, source: str, device: str | None = None) -> Batch:  # noqa: ARG002
        """Kept records, read as JSON."""
        return self._batch([record_of(one.payload) for one in kept], 0, device)

    @abstractmethod
    def read_one(self, collector: Collector, offset: int, record: Any, device: str | None) -> None:
        """Give ``collector`` what a record says. Raises BadRecordError for one that cannot be read."""

    def _batch(self, records: Sequence[Any], start: int, device: str | None) -> Batch:
        collector = Collector(records, start)
        for offset, record in enumerate(records, start):
            with collector.record(offset):
                self.read_one(collector, offset, record, device)
        return collector.batch()


def json_records(path: Path) -> Iterator[list[Any]]:
    """The records of a JSON file in file order, some thousand at a time; those that are not JSON are ``Broken``.

    Raises InputError where nothing in it is JSON, an array never ends, something follows it, or it is empty.
    """
    with opened(path) as stream:
        text = _Window(path, stream)
        if not text.next():
            raise InputError(f"{path}: empty", mend="give a file with records")
        records = _of_array(path, text) if text.next() == "[" else _of_lines(text)
        good = count = held = 0
        chunk: list[Any] = []
        for record, size in records:
            chunk.append(record)
            count += 1
            held += size
            good += not isinstance(record, Broken)
            if not good and count >= HOPELESS:
                raise InputError(f"{path}: not JSON (none of its first {HOPELESS:,} records)", mend=_MEND)
            if len(chunk) == _CHUNK_RECORDS or held >= BATCH_TEXT:
                yield chunk
                chunk, held = [], 0
        if not count:
            raise InputError(f"{path}: holds no records", mend="give a file with records")
        if not good:
            raise InputError(f"{path}: not JSON in UTF-8", mend=_MEND)
        if chunk:
            yield chunk


def record_of(text: str) -> Any:
    """A record as it was kept (``Broken`` where it is not JSON)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Broken(text)


class _Window:
    """A piece of the text that slides over the stream. Bytes that are not UTF-8 become lone surrogates."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path, self.stream = path, stream
        self.text, self.at = "", 0
        self.size = 0
        """characters of the last value"""
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._ended = False

    def more(self) -> bool:
        """Drop what lies behind, double what lies ahead; False at the end of the stream.

        Raises InputError where more than ``MAX_RECORD`` would lie ahead.
        """
        if self._ended:
            return False
        ahead = len(self.text) - self.at
        if ahead > MAX_RECORD:
            raise InputError(f"{self.path}: a record of more than {MAX_RECORD >> 20} MB", mend=_MEND)
        data = self.stream.read(max(MAX_RECORD, ahead))
        self._ended = not data
        self.text, self.at = self.text[self.at :] + self._decode(data, self._ended), 0
        return True

    def next(self) -> str:
        """The next character that is no space, without passing it; empty at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def value(self) -> Any:
        """The value that begins here; ``Broken`` where it ends but is not JSON.

        Raises InputError where it never ends.
        """
        while True:
            end: int | None
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except (ValueError, RecursionError):
                end = self._end()
                value = Broken(self.text[self.at : end])
            if (end is None or end == len(self.text)) and self.more():  # a number may go on
                continue
            if end is None:
                raise InputError(f"{self.path}: not JSON (cut off inside a record)", mend=_MEND)
            source = self.text[self.at : end]
            self.at, self.size = end, len(source)
            return value if _is_utf8(source) else Broken(_readable(source))

    def _end(self) -> int | None:
        """Where the record that begins here and is not JSON ends; None where more must be read to tell.

        Looks near first: a file of broken records is not searched to its end for each of them.
        """
        if not self._ended and len(self.text) - self.at <= MAX_RECORD:  # it may be whole, and only not read yet
            return None
        for upto in (self.at + _NEAR, len(self.text)):
            following = _next_after(self.text, self.at, upto)
            end = _end_of(self.text, self.at, upto if following is None else following + 1)
            if end is not None or following is not None:
                return following if end is None else end
        whole = self.text.rstrip()
        return len(whole) - 1 if self._ended and whole.endswith("]", self.at) else None


_DECODER: Final = json.JSONDecoder()


def _next_after(text: str, at: int, upto: int) -> int | None:
    """Where a record that begins at ``at`` and has no end must end, as another follows that can be read."""
    for between in _BETWEEN.finditer(text, at, upto):
        try:
            _DECODER.raw_decode(text, between.end())
        except (ValueError, RecursionError):
            continue
        return between.start()
    return None


def _of_array(path: Path, text: _Window) -> Iterator[_Sized]:
    text.at += 1
    if text.next() == "]":
        text.at += 1
    else:
        while True:
            if not text.next():
                raise InputError(f"{path}: not JSON (its array never ends)", mend=_MEND)
            value = text.value()
            yield value, text.size
            mark = text.next()
            if mark not in (",", "]", ""):  # two values without a comma: what follows the first is none
                continue
            text.at += 1
            if mark == "]":
                break
    if text.next():
        raise InputError(f"{path}: not JSON (something follows its array)", mend=_MEND)


def _of_lines(text: _Window) -> Iterator[_Sized]:
    """A value a line; or, where the first line is none, the whole as one value if it is short enough."""
    first, _, _ = text.text[text.at :].partition("\n")
    if isinstance(record_of(first), Broken):
        while len(text.text) - text.at <= MAX_RECORD and text.more():
            pass
        if len(text.text) - text.at <= MAX_RECORD:
            whole = record_of(text.text[text.at :])
            if not isinstance(whole, Broken):
                yield whole if _is_utf8(text.text) else Broken(_readable(text.text)), len(text.text)
                return
    seen = text.text[text.at :].encode("utf-8", "surrogateescape")

    def read(size: int) -> bytes:
        nonlocal seen
        data, seen = seen[:size], seen[size:]
        return data or text.stream.read(size)

    for block in line_blocks(read, MAX_RECORD):
        if isinstance(block, TooLong):
            yield Broken(as_text(block.head)), len(block.head)
            continue
        for line in block.split(b"\n"):  # not splitlines: a lone \r is a space to JSON
            if line.strip():
                yield _line(line), len(line)


def _line(line: bytes) -> Any:
    try:
        return record_of(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Broken(as_text(line))


def _is_utf8(text: str) -> bool:
    return text.isascii() or not _SURROGATE.search(text)


def _readable(text: str) -> str:
    return as_text(text.encode("utf-8", "surrogateescape"))


def _end_of(text: str, at: int, upto: int) -> int | None:
    """Where the element that begins at ``at`` ends, by its strings and brackets; None where it does not by ``upto``."""
    inside: list[str] = []
    for token in _TOKEN.finditer(text, at, upto):
        mark = token.group()
        if mark in "[{":
            inside.append(mark)
        elif mark in "]}" and inside:
            if inside.pop() + mark not in _PAIRS:  # one was lost
                return None
            if not inside:
                return token.end()
        elif mark in ",]}":
            if not inside:
                return max(token.start(), at + 1)
        elif mark == '"':  # a string that does not end in what was read
            return None
    return None
