"""Who is answered first: whoever has waited longest.

A turn of the loop brings all who have asked by then, in the order of epoll's list. Who is last there is answered last,
has not asked anew when the next turn begins, misses it, and is last again: of 32 clients in a ring one always waited
for two turns. So they are served by when they were last served, and what they are told goes out at once.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Client(Protocol):
    """A connection."""

    turn: int
    """Which in number it was when it was last fed."""
    loop: asyncio.AbstractEventLoop

    def feed(self, data: bytes) -> None:
        """Take what has come from it."""
        ...


class Rounds:
    """Gathers what comes in one turn of the loop, and feeds it at the beginning of the next."""

    def __init__(self) -> None:
        self._coming: list[tuple[Client, bytes]] = []
        self._turn = 0

    def take(self, client: Client, data: bytes) -> None:
        """Feed ``data`` to ``client``, after what it has been sent before, and after those who wait for longer."""
        if not self._coming:
            client.loop.call_soon(self._feed)
        self._coming.append((client, data))

    def hurry(self, client: Client) -> None:
        """Feed ``client`` what has come for it, now."""
        if not self._coming:
            return
        mine = [data for whose, data in self._coming if whose is client]
        if mine:
            self._coming[:] = [other for other in self._coming if other[0] is not client]
            client.turn = self._turn
            for data in mine:
                client.feed(data)

    def _feed(self) -> None:
        coming, self._coming = self._coming, []
        if len(coming) > 1:
            coming.sort(key=_waited)
        for client, data in coming:
            self._turn += 1
            client.turn = self._turn
            client.feed(data)


def _waited(coming: tuple[Client, bytes]) -> int:
    return coming[0].turn
