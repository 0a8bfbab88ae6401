"""A publish is one that the running servers answer with; what they refuse is taken back."""

from __future__ import annotations

import pytest

from parked.errors import ConflictError
from parked.pointer import read_pointer
from parked.take_up import TakeUp
from tests.training.conftest import CLOCK, Home
from training import flip, publishing, registry


class Servers:
    """Two workers that serve what they are given but for the generations they refuse."""

    def __init__(self, *refused: int) -> None:
        self.refused, self.asked = refused, list[int]()

    def __call__(self, generation: int) -> TakeUp:
        self.asked.append(generation)
        return TakeUp(2, "worker 7 refuses it: damaged" if generation in self.refused else None)


def publish(home: Home, tag: str, servers: Servers) -> publishing.Published:
    return publishing.publish(home.settings, home.engine, tag, "ann", "better", CLOCK, wait=servers)


def rollback(home: Home, servers: Servers) -> publishing.Published:
    return publishing.rollback(home.settings, home.engine, "ann", "worse", CLOCK, wait=servers)


def pointed(home: Home) -> tuple[int, str] | None:
    pointer = read_pointer(home.settings.pointer_file)
    return None if pointer is None else (pointer.generation, pointer.model_tag)


def states(home: Home) -> list[str]:
    return [registry.show(home.engine, tag).state for tag in sorted(m.tag for m in registry.models(home.engine))]


def test_without_a_server_it_is_published_at_once(home: Home, tags: list[str]) -> None:
    done = publishing.publish(home.settings, home.engine, tags[0], "ann", "first", CLOCK)
    assert (done.workers, done.undone, pointed(home)) == (0, None, (1, tags[0]))


def test_what_all_workers_answer_with_stands(home: Home, tags: list[str]) -> None:
    servers = Servers()
    done = publish(home, tags[0], servers)
    assert (done.workers, done.undone, servers.asked) == (2, None, [1])


def test_what_a_worker_refuses_is_taken_back_and_the_champion_before_serves_again(home: Home, tags: list[str]) -> None:
    a, b, _ = tags
    servers = Servers(2)
    publish(home, a, servers)
    done = publish(home, b, servers)
    assert done.undone is not None
    assert "\n" not in done.undone
    for word in (b, "worker 7", "damaged", f"rolled back to {a} as generation 3"):
        assert word in done.undone
    assert servers.asked == [1, 2, 3], "the way back is waited for too"
    assert pointed(home) == (3, a)
    assert registry.show(home.engine, a).state == "champion"
    assert registry.show(home.engine, b).state == "rejected"
    assert registry.show(home.engine, b).history[-1].why.startswith("undo of")


def test_a_first_publish_that_is_refused_leaves_nothing_published_and_may_be_tried_again(
    home: Home, tags: list[str]
) -> None:
    done = publish(home, tags[0], Servers(1))
    assert done.undone is not None
    assert "nothing is published" in done.undone
    assert pointed(home) is None
    assert registry.champion(home.engine, "v1") is None
    assert flip.recover(home.settings, home.engine) is None
    assert publish(home, tags[0], Servers()).generation == 3
    assert pointed(home) == (3, tags[0])


def test_a_rollback_goes_the_same_way_and_the_history_stays_straight(home: Home, tags: list[str]) -> None:
    a, b, _ = tags
    publish(home, a, Servers())
    publish(home, b, Servers())
    refused = rollback(home, Servers(3))
    assert refused.undone is not None
    assert pointed(home) == (4, b)
    assert registry.show(home.engine, a).state == "rejected"
    done = rollback(home, Servers())
    assert (done.tag, done.undone, pointed(home)) == (a, None, (5, a))


def test_where_another_publish_came_after_it_that_one_stands(home: Home, tags: list[str]) -> None:
    a, b, _ = tags

    def meanwhile(generation: int) -> TakeUp:
        flip.publish(home.settings, home.engine, b, "bob", "mine", CLOCK)
        return TakeUp(1, "worker 7 refuses it: damaged")

    done = publishing.publish(home.settings, home.engine, a, "ann", "mine", CLOCK, wait=meanwhile)
    assert done.undone is not None
    assert "another publish" in done.undone
    assert pointed(home) == (2, b)
    with pytest.raises(ConflictError, match="not the last"):
        flip.undo(home.settings, home.engine, 1, "ann", "late", CLOCK)
