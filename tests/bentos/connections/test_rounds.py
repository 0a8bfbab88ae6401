from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bentos.connections.rounds import Rounds


class Client:
    def __init__(self, fed: list[tuple[str, bytes]], name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.turn = 0
        self.loop = loop
        self._fed = fed
        self._name = name

    def feed(self, data: bytes) -> None:
        self._fed.append((self._name, data))


def run(turns: list[str], hurried: str = "") -> list[list[tuple[str, bytes]]]:
    """Who is fed what in each turn; ``turns``: who has asked by then (a letter each), in epoll's order."""

    async def all_of_them() -> list[list[tuple[str, bytes]]]:
        fed: list[tuple[str, bytes]] = []
        gather, clients, found = Rounds(), {}, []
        loop = asyncio.get_running_loop()
        for turn in turns:
            for number, name in enumerate(turn):
                client = clients.setdefault(name, Client(fed, name, loop))
                gather.take(client, b"%d" % number)
            assert fed == []
            for name in hurried:
                gather.hurry(clients.get(name) or Client(fed, name, loop))
            await asyncio.sleep(0)
            found.append(list(fed))
            fed.clear()
        return found

    return asyncio.run(all_of_them())


def order(turns: list[str], hurried: str = "") -> list[str]:
    return ["".join(name for name, _ in fed) for fed in run(turns, hurried)]


def test_who_missed_a_turn_comes_first_and_then_who_was_served_first() -> None:
    assert order(["abcz", "abc", "abcz", "abcz", "cba"]) == ["abcz", "abc", "zabc", "zabc", "abc"]


def test_one_who_is_hurried_is_fed_once_and_the_others_in_their_turn() -> None:
    assert order(["abca", "ab"], hurried="ac") == ["aacb", "ab"]
    assert order(["", "b"], hurried="a") == ["", "b"]


@given(st.lists(st.text("abcde", max_size=8), max_size=6))
def test_all_are_fed_all_and_each_in_the_order_it_came(turns: list[str]) -> None:
    for turn, fed in zip(turns, run(turns), strict=True):
        for name in set(turn):
            assert [int(data) for whose, data in fed if whose == name] == [
                number for number, other in enumerate(turn) if other == name
            ]
        assert len(fed) == len(turn)
