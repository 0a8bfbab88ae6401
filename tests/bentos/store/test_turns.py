"""Whoever asks for the store gets a turn, however much the others read."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from bentos.runtime import _TURN_S
from bentos.store.features import FeastSource
from bentos.store.turns import Turns
from bentos.store.watch import StoreWatch
from tests.bentos.fakes import until


@contextmanager
def busy(work: Callable[[], object], threads: int) -> Iterator[None]:
    """``work`` over and over on threads while the block runs."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            work()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in running:
            thread.join()


def test_turns_are_given_in_the_order_they_were_asked_for() -> None:
    turns, order = Turns(), []

    def take(number: int) -> None:
        with turns:
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    with turns:
        for queued, thread in enumerate(threads, 1):
            thread.start()
            until(lambda queued=queued: len(turns._waiting) == queued)  # type: ignore[misc]
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    with turns:
        assert order


def test_only_one_has_a_turn_and_an_error_gives_it_back() -> None:
    turns = Turns()
    inside = seen = 0

    def work() -> None:
        nonlocal inside, seen
        with suppress(ZeroDivisionError), turns:
            inside += 1
            seen = max(seen, inside)
            time.sleep(0)
            inside -= 1
            raise ZeroDivisionError

    with busy(work, 4):
        for _ in range(200):
            work()
    assert (inside, seen) == (0, 1)


@pytest.fixture
def turns_of_a_worker() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("turns_of_a_worker")
def test_a_store_that_is_read_all_the_time_is_never_shown_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def reads(_store: object, rows: list[Any], _service: str) -> list[dict[str, None]]:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        return [{"facts_as_of_us": None} for _ in rows]

    monkeypatch.setattr("bentos.store.features.online_features", reads)
    source = FeastSource(None)
    watch = StoreWatch(lambda: source, 0.2)
    watch.look()
    with busy(lambda: source.devices(["phone"]), 3):
        for _ in range(40):
            watch.look()
            assert watch.trouble is None
