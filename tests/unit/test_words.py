"""A variable says what it holds: a finding, a queue, an answer; never a word that would fit anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "samaops"
EMPTY_WORDS = {"one", "said", "told"}


def test_no_variable_has_an_empty_name() -> None:
    files = list(PACKAGE.rglob("*.py"))
    assert files
    assert [place for file in files for place in _empty_names(file)] == []


def _empty_names(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in EMPTY_WORDS:
            yield f"{file.relative_to(PACKAGE)}:{node.lineno}: {node.id}"
        elif isinstance(node, ast.arg) and node.arg in EMPTY_WORDS:
            yield f"{file.relative_to(PACKAGE)}:{node.lineno}: {node.arg}"
