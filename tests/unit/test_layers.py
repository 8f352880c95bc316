"""Who may import whom (docs/architecture.md): top to bottom, never upward."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from samaops.cli.commands import COMMANDS

PACKAGE = Path(__file__).parents[2] / "samaops"
# From top to bottom; a module may import from its own layer and from lower ones, never from one beside it.
LAYERS = {
    "cli": 0,
    "render": 1,
    "workflows": 1,
    "changes.run": 2,
    "causes": 3,
    "checks": 3,
    "changes": 3,
    "portraits": 3,
    "collect": 4,
    "clients": 5,
    "site": 6,
    "journal": 7,
    "config": 8,
    "facts": 9,
    "model": 10,
}
ANYWHERE = {"errors", "i18n", "resources", "__version__"}
# What judges and what plans is pure: it never imports what looks or connects.
PURE = ("causes", "checks", "changes", "portraits")

# What may be imported inside a function: libraries that take long to import, where a command may need none of them.
HEAVY = {
    "amqp",
    "cryptography",
    "jinja2",
    "minio",
    "paramiko",
    "psycopg",
    "pyodbc",
    "redis",
    "requests",
    "sqlalchemy",
}
# Our own modules that may be: those that are nothing but such a library with our limits around it.
IMPORTS_LATE = {
    "clients/shells.py": {"samaops.clients.ssh"},
    "clients/http.py": {"samaops.clients.transport"},
    # A signal that comes while all is imported is answered by who imports it.
    "cli/start.py": {"samaops.cli.main.main"},
    # The lab and its libraries are not installed where samaops serves a production.
    "cli/explain.py": {"samaops.lab.incidents.running.INCIDENTS"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "lab" not in path.relative_to(PACKAGE).parts[:1])


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Return the dotted name of every import of a module, those inside functions and for types too."""
    return tuple(names_imported(ast.parse(path.read_text(encoding="utf-8"))))


def names_imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(parts: tuple[str, ...]) -> str:
    """Return the layer of a module, given as the words of its dotted name below samaops."""
    return "changes.run" if parts[:2] == ("changes", "run") else parts[0]


def words_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def of_package(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_a_module_imports_only_from_lower_layers() -> None:
    wrong = [
        f"{of_package(path)} imports {name}: {why}" for path in modules() for name, why in misplaced(path)
    ]
    assert not wrong, "\n".join(wrong)


def misplaced(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each import of a module that its layer may not have, and why."""
    own = layer_of(words_of(path))
    for name in imports(path) if own in LAYERS else ():
        parts = tuple(name.split("."))
        if parts[0] != "samaops" or len(parts) < 2 or parts[1] in ANYWHERE:
            continue
        other = layer_of(parts[1:])
        if other == "lab":
            if own != "cli":
                yield name, "nothing but cli knows the lab"
        elif other != own and LAYERS[other] <= LAYERS[own]:
            yield name, "upward or sideways"
        elif own in PURE and other in ("collect", "clients"):
            yield name, "it is pure, and that is not"


def test_only_cli_and_render_know_a_screen() -> None:
    below = [path for path in modules() if layer_of(words_of(path)) not in ("cli", "render")]
    screens = {"typer", "rich", "click"}
    assert not [
        of_package(path) for path in below if {name.split(".")[0] for name in imports(path)} & screens
    ]


def test_a_question_is_asked_at_one_place_only() -> None:
    """Only there what was typed before the question is forgotten."""
    asking = re.compile(
        r"\binput\(|typer\.(confirm|prompt)|click\.(confirm|prompt|getchar)|stdin\.read|\bgetpass\.getpass"
    )
    others = [path for path in modules() if path != PACKAGE / "cli" / "consent.py"]
    found = [of_package(path) for path in others if asking.search(path.read_text(encoding="utf-8"))]
    assert not found, "samaops.cli.consent.ask"


def test_a_module_imports_at_its_top() -> None:
    """A command's module is imported when it is called (cli/app.py); nothing else is put off but heavy libraries."""
    late = {of_package(path): found for path in modules() if (found := imported_late(path))}
    assert {module: found - IMPORTS_LATE.get(module, set()) for module, found in late.items()} == {
        module: set() for module in IMPORTS_LATE
    }


def imported_late(path: Path) -> set[str]:
    return {
        name
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for name in names_imported(function)
        if name.split(".")[0] not in HEAVY
    }


def test_render_knows_the_model_and_how_it_was_asked_only() -> None:
    for path in (PACKAGE / "render").glob("*.py"):
        known = {name.split(".")[1] for name in imports(path) if name.startswith("samaops.")}
        assert known <= {"model", "i18n", "site", "render"}, path.name


@pytest.mark.parametrize("layer", ["checks", "causes", "facts", "model"])
def test_what_judges_opens_nothing(layer: str) -> None:
    forbidden = {"socket", "subprocess", "requests", "psycopg", "redis", "paramiko", "pyodbc", "minio"}
    for path in (PACKAGE / layer).rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & forbidden, path.name


def test_there_are_no_circles() -> None:
    """No module imports, directly or through others, one that imports it; imports for types only count too."""
    names = {module_name(path): path for path in modules()}
    graph = {
        name: {other for target in imports(path) if (other := nearest(target, names)) and other != name}
        for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "a circle: " + " > ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def module_name(path: Path) -> str:
    words = ("samaops", *words_of(path))
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def nearest(target: str, names: dict[str, Path]) -> str | None:
    """Return the module that an imported dotted name is, or stands in."""
    while target and target not in names:
        target = target.rpartition(".")[0]
    return target if target != "samaops" else None


def imported_by(module: str, below: str) -> list[str]:
    """Return what a process of its own imports below a package when it imports a module."""
    program = f"import sys, {module}; print(*(name for name in sys.modules if name.startswith({below!r})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_who_diagnoses_cannot_change_anything() -> None:
    """No plan and no doer is imported; it would be most of what is."""
    assert imported_by("samaops.cli.diagnose", "samaops.changes") == []


@pytest.mark.parametrize(
    "command", ["db", "docker", "history", "pool", "queue", "redis", "report", "workers"]
)
def test_what_may_only_list_makes_no_verb_known(command: str) -> None:
    """All plans and all doers would be half of what is imported, and of the time until the list is there."""
    module = COMMANDS[command][0]
    assert not {name for name in imported_by(module, "samaops.changes") if name.endswith(".registered")}
