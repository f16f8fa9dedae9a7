"""Blocks of code in the Markdown pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

FENCE = re.compile(r'^( *)```(\w*)(?: title="([^"]*)")?\n(.*?)^\1```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its title, which is a file's name in the tutorials, and its text."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found = FENCE.findall(page.read_text())
    return [Block(language, title, dedent(text) if indent else text) for indent, language, title, text in found]


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Commands behind a prompt, each with what it prints."""
    for piece in block.text.split("$ ")[1:]:
        command, _, output = piece.partition("\n")
        yield command, output
