"""Who may import whom (docs/architecture.md): top to bottom, never upward."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "samaops"
# Lower layers have higher numbers; a module may import from its own layer's package and from lower ones.
LAYERS = {
    "cli": 0,
    "render": 1,
    "workflows": 1,
    "causes": 2,
    "checks": 2,
    "actions": 2,
    "facts": 3,
    "clients": 4,
    "history": 4,
    "lock": 4,
    "file_lock": 5,
    "records": 3,
    "config": 5,
    "model": 6,
}
# Of the facts, what judges may know the data and the names, never what opens connections.
ANYWHERE = {"chosen", "errors", "i18n", "owner", "resources", "__version__"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "lab" not in path.relative_to(PACKAGE).parts[:1])


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of every import of a module, those inside functions and for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_lower_layers(path: Path) -> None:
    own = layer_of(path)
    if own not in LAYERS:
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "samaops" or len(parts) < 2 or parts[1] in ANYWHERE:
            continue
        other = parts[1]
        if other == "lab":
            assert own == "cli", f"{path.name} imports {name}: nothing but cli knows the lab"
            continue
        is_allowed = other == own or LAYERS[other] > LAYERS[own]
        assert is_allowed, f"{own}/{path.name} imports {name}: upward or sideways"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_cli_and_render_know_a_screen(path: Path) -> None:
    if layer_of(path) in ("cli", "render"):
        return
    screens = [name for name in imports(path) if name.split(".")[0] in ("typer", "rich", "click")]
    assert not screens


def test_render_knows_the_model_and_how_it_was_asked_only() -> None:
    for path in (PACKAGE / "render").glob("*.py"):
        known = {name.split(".")[1] for name in imports(path) if name.startswith("samaops.")}
        assert known <= {"model", "i18n", "chosen", "render"}, path.name


@pytest.mark.parametrize("layer", ["checks", "causes"])
def test_what_judges_opens_nothing(layer: str) -> None:
    forbidden = {"socket", "subprocess", "requests", "psycopg", "redis", "paramiko", "pyodbc", "minio"}
    for path in (PACKAGE / layer).glob("*.py"):
        names = set(imports(path))
        assert not {name.split(".")[0] for name in names} & forbidden, path.name
        assert not [name for name in names if name.startswith("samaops.clients")], path.name
