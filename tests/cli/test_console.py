"""What commands say of how far they are, where stderr is no terminal: one line for a person."""

from __future__ import annotations

import re

import pytest

from cli.console import progress


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([131_072] * 17 + [23_086], "building facts: 2,251,310"),
        ([3], "building facts: 3"),
        ([], "building facts: 1"),
    ],
)
def test_how_much_was_done_is_told_in_whole_numbers(
    capsys: pytest.CaptureFixture[str], steps: list[int], said: str
) -> None:
    with progress("building facts") as advance:
        for step in steps:
            advance(step)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"{said} in \d+ s\n", err)
