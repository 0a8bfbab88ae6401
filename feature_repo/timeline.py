"""Facts in order of time, with quick neighbours."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from feature_repo.fact import Fact

Key = tuple[int, str]


def _key(fact: Fact) -> Key:
    return (fact.started_at, fact.fact_id)


class Timeline:
    """Facts of one kind by (``started_at``, ``fact_id``), oldest first. Look-ups are O(log n)."""

    __slots__ = ("_keys", "facts")

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self.facts: list[Fact] = []

    def __len__(self) -> int:
        return len(self.facts)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts)

    def add(self, fact: Fact) -> None:
        """Put ``fact`` in its place; it must not be there yet."""
        key = _key(fact)
        if not self._keys or key > self._keys[-1]:  # facts mostly arrive in order
            self._keys.append(key)
            self.facts.append(fact)
            return
        index = bisect_left(self._keys, key)
        self._keys.insert(index, key)
        self.facts.insert(index, fact)

    def remove(self, fact: Fact) -> None:
        """Take out the fact of this ``started_at`` and ``fact_id``; it must be there."""
        index = self.index(fact)
        del self._keys[index]
        del self.facts[index]

    def index(self, fact: Fact) -> int:
        """Where ``fact`` stands, or would stand."""
        return bisect_left(self._keys, _key(fact))

    def until(self, us: int) -> int:
        """How many facts started at or before ``us``."""
        return bisect_right(self._keys, (us, "\U0010ffff"))

    def before(self, us: int) -> int:
        """How many facts started before ``us``."""
        return bisect_left(self._keys, (us, ""))

    def around(self, us: int) -> tuple[int, int]:
        """Index range [from, to) of the facts next to a moment: the last at or before it, the first after it.

        Several that started at the same microsecond count as one.
        """
        after = self.until(us)
        first = self.before(self._keys[after - 1][0]) if after else 0
        last = self.until(self._keys[after][0]) if after < len(self._keys) else after
        return first, last
