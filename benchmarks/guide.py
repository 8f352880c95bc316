"""Against the guide's own script: its thirteen checks, everything, what hangs, the help, the memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import breakdown
import sampling
import subjects
from msgspec import Struct
from silence import silent
from table import Part, Row, milliseconds, ratio

from samaops.lab.layout import Layout

SAME_CHECKS_BOUND = 3.5
EVERYTHING_BOUND = 9.0
HELP_BOUND = 1.5
DEADLINE_SECONDS = 15.0
MEMORY_BOUND_MB = 150.0
HUNG = "api-hung"


class Measuring(Struct, frozen=True):
    """How it is measured: how often, when a script that hangs is cut, what the bounds are multiplied with."""

    samples: int
    cut_seconds: float
    tolerance: float


def looks(layout: Layout, measuring: Measuring) -> Part:
    """Measure the script and a diagnose in turns."""
    commands = subjects.of(layout)
    series = sampling.in_turns(
        (
            commands.script,
            commands.libraries,
            commands.same_checks,
            commands.same_everywhere,
            commands.everything,
        ),
        measuring.samples,
    )
    refuse_broken_lab(series["script"])
    refuse_failed(series["same checks"], series["same, 3 servers"], series["everything"])
    script, tolerance = series["script"].seconds, measuring.tolerance
    rows = (
        ratio("the guide's 13 checks", script, series["same checks"].seconds, SAME_CHECKS_BOUND * tolerance),
        ratio("only importing the libraries", script, series["libraries"].seconds, None),
        ratio("the same, 3 servers, SSH", script, series["same, 3 servers"].seconds, None),
        ratio("everything", script, series["everything"].seconds, EVERYTHING_BOUND * tolerance),
    )
    return Part(rows, (*_notes(series, measuring), *_where(breakdown.of(commands.everything))))


def faults(layout: Layout, measuring: Measuring) -> Part:
    """Measure both with one member of the API that hangs and one server that is silent."""
    commands = subjects.of(layout)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        script, diagnose = subjects.without_database_server(commands, layout, Path(directory) / "config.toml")
        stack.enter_context(silent(subjects.SILENT_ADDRESS, subjects.SILENT_PORTS))
        stack.callback(lab, "heal", HUNG, layout.directory)
        lab("break", HUNG, layout.directory)
        own = sampling.run(diagnose, measuring.cut_seconds)
        reference = sampling.run(script, measuring.cut_seconds)
    holds = not own.cut and own.seconds <= DEADLINE_SECONDS and own.exit_code in (1, 2, 3)
    row = Row(
        "API hung, server silent",
        "never ends" if reference.cut else f"{reference.seconds:.1f} s",
        f"{own.seconds:.1f} s",
        "",
        f"{DEADLINE_SECONDS:.0f} s",
        holds,
    )
    named = [line for line in own.output.splitlines() if line.strip()][:1]
    notes = [f"The script was cut at {measuring.cut_seconds:g} s."] if reference.cut else []
    return Part((row,), (*notes, *(f"With the faults samaops says first: {line[:200]}" for line in named)))


def start(layout: Layout, measuring: Measuring) -> Part:
    """Measure how long it takes to start, and the memory of a full diagnose."""
    commands = subjects.of(layout)
    helps = sampling.in_turns((commands.bare_help, commands.own_help), measuring.samples)
    peak = sampling.peak_mb(commands.everything)
    bare, own = helps["bare help"].seconds, helps["own help"].seconds
    memory = Row(
        "peak memory, everything",
        "",
        f"{peak:.0f} MB",
        "",
        f"{MEMORY_BOUND_MB:.0f} MB",
        0 < peak <= MEMORY_BOUND_MB,
    )
    return Part((ratio("--help / hello typer", bare, own, HELP_BOUND * measuring.tolerance), memory))


def lab(*words: str | Path) -> None:
    """Run a command of the lab; the last word is its directory."""
    *command, directory = map(str, words)
    subprocess.run(
        [subjects.SAMAOPS, "lab", *command, "--dir", directory], check=True, stdout=sys.stderr, timeout=300
    )


def refuse_broken_lab(script: sampling.Series) -> None:
    """End when the script found something wrong."""
    failed = [line.strip() for line in script.samples[-1].output.splitlines() if "❌" in line]
    if failed:
        sys.exit(f"the lab is not healthy, ratios would mean nothing: {', '.join(failed)}")


def refuse_failed(*diagnoses: sampling.Series) -> None:
    """End when samaops gave no report: what fails at once is quick."""
    for sample in (sample for series in diagnoses for sample in series.samples):
        if sample.exit_code not in (0, 1, 2, 3):
            sys.exit(f"samaops failed (exit code {sample.exit_code}): {sample.output[-500:].strip()}")


def _notes(series: dict[str, sampling.Series], measuring: Measuring) -> list[str]:
    spreads = ", ".join(
        f"{name} {milliseconds(low)} to {milliseconds(high)}"
        for name, (low, high) in ((name, each.spread) for name, each in series.items())
    )
    processor = ", ".join(f"{name} {milliseconds(each.processor_seconds)}" for name, each in series.items())
    codes = {sample.exit_code for sample in series["everything"].samples}
    return [
        f"Medians of {measuring.samples}, in turns, on {os.cpu_count()} cores that also run the lab;"
        f" load {os.getloadavg()[0]:.1f}.",
        f"Quickest to slowest: {spreads}.",
        f"Processor time: {processor}.",
        f"Exit codes of the full diagnose: {', '.join(map(str, sorted(codes)))}.",
    ]


def _where(spent: breakdown.Breakdown) -> list[str]:
    slowest = ", ".join(f"{name} {cost}" for name, cost in spent.looks_ms)
    imports = ", ".join(f"{name} {cost}" for name, cost in spent.imports_ms)
    return [
        f"Where a full diagnose of {spent.total_ms} ms ({spent.processor_ms} ms of processor) spends them, in ms:"
        f" looking {spent.looking_ms}, starting, judging and showing {spent.total_ms - spent.looking_ms}.",
        f"Slowest look of each system, side by side: {slowest}.",
        f"Imports, with the cost of recording them: {imports}.",
    ]
