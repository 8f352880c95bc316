"""Read Alembic's revisions as an image has them: their text alone, nothing of it is run."""

from __future__ import annotations

import ast
import io
import re
import tarfile
from collections.abc import Iterator

from msgspec.structs import replace

from samaops.facts.release import Migration

# What takes something away, or asks something of code that does not know it.
_DEMANDS = re.compile(
    r"\bdrop_\w+|\brename_\w+|\balter_column|\bbatch_alter_table|\bcreate_(unique|check|foreign_key|primary_key)\w*"
    r"|\bDROP\b|\bRENAME\b|\bALTER\b|\bDELETE\b|\bTRUNCATE\b|\bUPDATE\b|\bREVOKE\b|nullable\s*=\s*False|\bunique\s*=\s*True",
)
# A column that must not be empty is one that old code leaves empty.
_ADDS = re.compile(r"\b(add_column|create_table|create_index|execute)\b")
_NAMES = ("revision", "down_revision", "depends_on", "branch_labels")
MOST_BYTES = 16 * 1024 * 1024


def read(archive: bytes) -> tuple[Migration, ...]:
    """Return the revisions in a tar archive of their directory. Raises ValueError for one that cannot be read."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            texts = {
                entry.name: file.read().decode("utf-8", "replace")
                for entry in opened
                if entry.isfile() and entry.name.endswith(".py") and (file := opened.extractfile(entry))
            }
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(str(error)) from error
    labels: dict[str, str] = {}
    found = [
        migration for name, text in sorted(texts.items()) for migration in _migrations(name, text, labels)
    ]
    return tuple(
        replace(each, depends_on=tuple(labels.get(name, name) for name in each.depends_on))
        for each in sorted(found, key=lambda migration: migration.revision)
    )


def _migrations(name: str, text: str, labels: dict[str, str]) -> Iterator[Migration]:
    """Yield the revision of a file, and note whose label is which; nothing for one that is none (``__init__.py``)."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"{name}: {error.msg}") from error
    values: dict[str, tuple[str, ...]] = {}
    functions: dict[str, ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in _NAMES:
                    values[target.id] = _listed(node.value)
                    is_name = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
                    if target.id == "revision" and not is_name:
                        return
    if "revision" not in values:
        return
    (revision,) = values["revision"]
    labels.update(dict.fromkeys(values.get("branch_labels", ()), revision))
    upgrade = _source(text, functions.get("upgrade"))
    yield Migration(
        revision,
        values.get("down_revision", ()),
        adds_only=bool(_ADDS.search(upgrade)) and not _DEMANDS.search(upgrade),
        has_downgrade=_does_something(functions.get("downgrade")),
        depends_on=values.get("depends_on", ()),
    )


def _listed(value: ast.expr) -> tuple[str, ...]:
    """Return the names that a value holds; of what is not written out the expression, which is no revision's name."""
    if isinstance(value, (ast.Tuple, ast.List, ast.Set)):
        return tuple(name for each in value.elts for name in _listed(each))
    if isinstance(value, ast.Constant):
        return () if value.value is None else (str(value.value),)
    return (ast.unparse(value),)


def _source(text: str, function: ast.FunctionDef | None) -> str:
    """Return what a function does, without its docstring."""
    if function is None:
        return ""
    return "\n".join(ast.get_source_segment(text, node) or "" for node in function.body if not _is_text(node))


def _does_something(function: ast.FunctionDef | None) -> bool:
    """Return whether a way down is written: neither absent, nor empty, nor one that only refuses."""
    body = [node for node in function.body if not _is_text(node)] if function else []
    return any(not isinstance(node, (ast.Pass, ast.Raise)) for node in body)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
