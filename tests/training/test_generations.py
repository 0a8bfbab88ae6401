"""Which champions stand after a history, whatever it was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from parked.opsdb.tables import Publish
from training.generations import standing

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def history(text: str) -> list[Publish]:
    """``"a b <b"``: publish a, publish b, roll back; ``!`` undoes, ``x`` withdraws."""
    actions = {"<": "rollback", "!": "undo", "x": "withdraw"}
    return [
        Publish(generation=n, tag=word, action=actions.get(word, "publish"), at=NOW, who="", why="")
        for n, word in enumerate(text.split(), 1)
    ]


@pytest.mark.parametrize(
    ("told", "stand"),
    [
        ("", []),
        ("a b c", ["a", "b", "c"]),
        ("a b <", ["a"]),
        ("a b c < <", ["a"]),
        ("a b !", ["a"]),
        ("a b ! c", ["a", "c"]),
        ("a b < !", ["a", "b"]),
        ("a b < ! <", ["a"]),
        ("a x", []),
        ("a x b", ["b"]),
    ],
)
def test_a_rollback_undoes_a_publish_and_an_undo_whatever_came_before_it(told: str, stand: list[str]) -> None:
    assert standing(history(told)) == stand
