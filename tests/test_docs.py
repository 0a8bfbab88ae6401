"""What the documents say can be typed can be typed, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def said() -> list[str]:
    """Every ``parked …`` command line in a code block of any page."""
    lines = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            for line in block.splitlines():
                parts = line.split("#")[0].split("&&")
                lines += [part.strip() for part in parts if part.strip().startswith("parked ")]
    return lines


@pytest.mark.parametrize("line", said())
def test_a_command_in_the_documents_parses(line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not getattr(command, "commands", {}) or not words, f"{line}: no such command"
    command.make_context("parked", words)


def test_the_readme_says_make_targets_that_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for target in re.findall(r"`?make ([a-z-]+)", page.read_text(encoding="utf-8")):
            if target in ("demo", "test", "check", "install", "bench-real"):
                assert re.search(rf"^{target}:", makefile, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("make", ["demo", "install", "test", "check"])
def test_the_makefile_documents_its_targets(make: str) -> None:
    assert re.search(rf"^{make}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
