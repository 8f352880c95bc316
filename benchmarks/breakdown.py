"""Where the time of a diagnose goes: the slowest look of each system, and what is imported."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter

from msgspec import Struct
from sampling import Command, run

_IMPORT = re.compile(r"^import time:\s+(-?\d+) \|\s+\d+ \|\s*([\w.]+)", re.MULTILINE)
LARGEST = 8


class Breakdown(Struct, frozen=True):
    """One run taken apart, in milliseconds. Looks run side by side: they do not add up to ``looking_ms``."""

    total_ms: int
    processor_ms: int
    looking_ms: int
    looks_ms: tuple[tuple[str, int], ...]
    imports_ms: tuple[tuple[str, int], ...]


def of(diagnose: Command) -> Breakdown:
    """Run a diagnose twice: once for its own timings, once with Python's record of imports."""
    timed = run(Command("timed", (*diagnose.words, "-o", "json"), diagnose.variables))
    report = json.loads(timed.output)
    looks = sorted(report["timings_ms"].items(), key=lambda one: -one[1])
    return Breakdown(
        total_ms=round(timed.seconds * 1000),
        processor_ms=round(timed.processor_seconds * 1000),
        looking_ms=report["duration_ms"],
        looks_ms=tuple(looks),
        imports_ms=_imports(),
    )


def _imports() -> tuple[tuple[str, int], ...]:
    """Add up what each package cost by itself, on one thread: what a thread waits for would count twice."""
    modules = "typer pydantic psycopg redis pyodbc rich"
    statement = (
        "import samaops.cli.app, samaops.clients.ssh, samaops.workflows.diagnose, samaops.render.human;"
        "from samaops.checks.registry import rules; rules();"
        f"[__import__(name) for name in {modules.split()}]"
    )
    done = run(Command("imports", (sys.executable, "-X", "importtime", "-c", statement)))
    if done.exit_code:
        sys.exit(f"the imports cannot be recorded: {done.output[-300:].strip()}")
    spent: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(done.output):
        spent[_package(module)] += int(microseconds)
    return tuple((name, round(cost / 1000)) for name, cost in spent.most_common(LARGEST))


def _package(module: str) -> str:
    first = module.partition(".")[0]
    if first in sys.stdlib_module_names:
        return "(standard library)"
    return first.removesuffix("_core").removesuffix("_binary")
