"""What stands after a history of publishes, rollbacks and undos, pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from parked.opsdb.tables import Publish

UNDO: Final = "undo"
WITHDRAW: Final = "withdraw"
"""Actions of a publish's record beside publish and rollback: the change before was taken back; a withdrawal left
nothing published."""


def standing(history: Sequence[Publish]) -> list[str]:
    """The champions not rolled back, oldest first: a publish adds one, a rollback takes one off, an undo takes back the
    change before it."""
    stacks: list[list[str]] = [[]]
    for entry in history:
        if entry.action in (UNDO, WITHDRAW):
            stacks.append(stacks[-2])
        elif entry.action == "rollback":
            stacks.append(stacks[-1][:-1])
        else:
            stacks.append([*stacks[-1], entry.tag])
    return stacks[-1]
