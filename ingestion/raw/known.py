"""The log's memory of what it holds: loads the content hashes of a listed segment when a batch could repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ingestion.raw.content import Hashes
from ingestion.raw.seen import Ranks, Seen
from ingestion.raw.segments import EARLIER, KINDS, Segment, segment_receipts


class Known:
    """Content hashes and receipts by kind. A segment measured at other times than a batch is never opened."""

    def __init__(self, raw_dir: Path) -> None:
        self.raw_dir = raw_dir
        self._seen = {kind: Seen() for kind in KINDS}
        self._waiting: dict[str, list[Segment]] = {kind: [] for kind in KINDS}

    def list_segments(self, segments: Sequence[Segment]) -> None:
        """Tell of segments the ledger lists; their hashes are read when first needed."""
        for segment in segments:
            self._waiting[segment.kind.removeprefix(EARLIER)].append(segment)

    def ranks(self, kind: str, hashes: Hashes, first: datetime, last: datetime) -> Ranks:
        """How the log holds each of ``hashes``, of records measured between ``first`` and ``last``: the rank of its
        best receipt, UNKNOWN where it does not hold it.

        Raises InternalError where a listed segment cannot be read.
        """
        seen, waiting = self._seen[kind], self._waiting[kind]
        for segment in [s for s in waiting if s.overlaps(first, last)]:
            seen.add(*segment_receipts(self.raw_dir, segment))
            waiting.remove(segment)
        return seen.ranks(hashes)

    def add(self, kind: str, hashes: Hashes, ranks: Ranks) -> None:
        """Remember records just staged."""
        self._seen[kind].add(hashes, ranks)
