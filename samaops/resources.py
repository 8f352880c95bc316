"""The one place that finds the files which travel with samaops: SQL, playbooks, the documentation."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent


def directory(name: str) -> Path:
    """Return the directory ``sql`` or ``playbooks``: inside the wheel, or beside the package in a checkout."""
    inside = _PACKAGE / "resources" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


@cache
def sql(name: str) -> str:
    """Return one query by its path without ending, such as ``postgresql/activity``."""
    return (directory("sql") / f"{name}.sql").read_text(encoding="utf-8")


def example_config() -> Path:
    """Return the commented example configuration."""
    inside = _PACKAGE / "resources" / "config.example.toml"
    return inside if inside.is_file() else _PACKAGE.parent / "config.example.toml"


def documentation() -> tuple[Path, ...]:
    """Return the pages of the documentation, what to read first before the others."""
    inside = _PACKAGE / "resources" / "README.md"
    top = inside.parent if inside.is_file() else _PACKAGE.parent
    first, *last = (top / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))
    return (first, *sorted(directory("docs").glob("*.md")), *last)
