"""What is counted is counted once, whoever counts it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from bentos.metrics.prometheus import Metrics


@pytest.fixture
def often_interrupted() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often_interrupted")
def test_nothing_is_lost_of_what_another_thread_counts_while_counts_are_carried_over() -> None:
    """Over Redis and SQLite answers are given, and so counted, on a thread of the store's."""
    registry, count = CollectorRegistry(), 60_000
    metrics = Metrics(registry)

    def answer() -> None:
        for number in range(count):
            metrics.tally.answers["parked", f"reason-{number % 7}"] += 1
            metrics.tally.scored += 3

    answering = threading.Thread(target=answer)
    answering.start()
    while answering.is_alive():
        metrics.carry_over(0)
    answering.join()
    for _ in range(2):
        metrics.carry_over(0)
    told = {reason: registry.get_sample_value("parked_answers_total", {"state": "parked", "reason": f"reason-{reason}"})
            for reason in range(7)}  # fmt: skip
    assert sum(value or 0 for value in told.values()) == count
    assert registry.get_sample_value("parked_scored_candidates_total") == 3 * count
