"""The benchmark's program: a lab, the measurements, the table, the verdict."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import breakdown
import sampling
import subjects
from msgspec import Struct
from silence import silent

from samaops.lab.layout import Layout, default_directory

SAME_CHECKS_BOUND = 2.0
EVERYTHING_BOUND = 6.0
HELP_BOUND = 1.5
DEADLINE_SECONDS = 15.0
MEMORY_BOUND_MB = 150.0
QUICK_SAMPLES, QUICK_CUT_SECONDS = 3, 20.0
HUNG = "api-hung"


class Row(Struct, frozen=True):
    """One line of the table."""

    what: str
    reference: str
    samaops: str
    ratio: str
    bound: str
    holds: bool


def main() -> int:
    """Measure and print; return the exit code."""
    options = _options()
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(_own_lab()) if options.own_lab else options.dir
        layout = Layout((directory or default_directory()).resolve())
        if not layout.config_file.exists():
            sys.exit("no lab is up: samaops lab up, or --own-lab")
        rows, notes = _measure(layout, options)
    _print(rows, notes)
    return 0 if all(row.holds for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument("--samples", type=int, help="how often each is run (default 7; quick: 3)")
    parser.add_argument("--cut", type=float, help="after how many seconds the script is cut (120; quick: 20)")
    parser.add_argument("--quick", action="store_true", help="fewer samples, an earlier cut")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1.0,
        help="multiply the bounds of the ratios, for a machine that is busy",
    )
    parser.add_argument("--own-lab", action="store_true", help="start a lab for this, and take it down")
    parser.add_argument("--dir", type=Path, help="the directory of the lab to use")
    options = parser.parse_args()
    options.samples = options.samples or (QUICK_SAMPLES if options.quick else 7)
    options.cut = options.cut or (QUICK_CUT_SECONDS if options.quick else 120.0)
    return options


@contextlib.contextmanager
def _own_lab() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="samaops-benchmark-") as parent:
        directory = Path(parent) / "lab"
        _lab("up", directory)
        try:
            yield directory
        finally:
            _lab("down", directory)


def _lab(*words: str | Path) -> None:
    *command, directory = map(str, words)
    subprocess.run(
        [subjects.SAMAOPS, "lab", *command, "--dir", directory], check=True, stdout=sys.stderr, timeout=300
    )


def _measure(layout: Layout, options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    commands = subjects.of(layout)
    _say("the guide's script and diagnose, in turns")
    looks = sampling.in_turns(
        (commands.script, commands.same_checks, commands.same_everywhere, commands.everything),
        options.samples,
    )
    _refuse_broken_lab(looks["script"])
    _refuse_failed(looks["same checks"], looks["same, 3 servers"], looks["everything"])
    _say("the helps, in turns")
    helps = sampling.in_turns((commands.bare_help, commands.own_help), options.samples)
    taken_apart, peak = breakdown.of(commands.everything), sampling.peak_mb(commands.everything)
    _say(f"one API hung, one server silent (the script is cut at {options.cut:g} s)")
    hung, answered, said = _with_faults(commands, layout, options)
    script, everything = looks["script"], looks["everything"]
    tolerance = options.tolerance
    rows = [
        _ratio("the guide's 13 checks", script, looks["same checks"], SAME_CHECKS_BOUND * tolerance),
        _ratio("the same, 3 servers, SSH", script, looks["same, 3 servers"], None),
        _ratio("everything", script, everything, EVERYTHING_BOUND * tolerance),
        _fault_row(hung, answered),
        _ratio("--help / hello typer", helps["bare help"], helps["own help"], HELP_BOUND * tolerance),
        _memory_row(peak),
    ]
    return rows, [*_notes(looks, options), *_where(taken_apart), *said]


def _refuse_broken_lab(script: sampling.Series) -> None:
    failed = [line.strip() for line in script.samples[-1].output.splitlines() if "❌" in line]
    if failed:
        sys.exit(f"the lab is not healthy, ratios would mean nothing: {', '.join(failed)}")


def _refuse_failed(*diagnoses: sampling.Series) -> None:
    """End when samaops gave no report: what fails at once is quick."""
    for one in (sample for series in diagnoses for sample in series.samples):
        if one.exit_code not in (0, 1, 2, 3):
            sys.exit(f"samaops failed (exit code {one.exit_code}): {one.output[-500:].strip()}")


def _with_faults(
    commands: subjects.Subjects, layout: Layout, options: argparse.Namespace
) -> tuple[sampling.Sample, sampling.Sample, list[str]]:
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        script, diagnose = subjects.without_database_server(commands, layout, Path(directory) / "config.toml")
        stack.enter_context(silent(subjects.SILENT_ADDRESS, subjects.SILENT_PORTS))
        stack.callback(_lab, "heal", HUNG, layout.directory)
        _lab("break", HUNG, layout.directory)
        answered = sampling.run(diagnose, options.cut)
        hung = sampling.run(script, options.cut)
        named = [line for line in answered.output.splitlines() if line.strip()][:1]
        return hung, answered, [f"With the faults samaops says first: {line[:200]}" for line in named]


def _ratio(what: str, reference: sampling.Series, own: sampling.Series, bound: float | None) -> Row:
    ratio = own.seconds / reference.seconds
    return Row(
        what,
        _milliseconds(reference.seconds),
        _milliseconds(own.seconds),
        f"{ratio:.2f}",
        f"{bound:.1f}" if bound is not None else "",
        bound is None or ratio <= bound,
    )


def _fault_row(hung: sampling.Sample, answered: sampling.Sample) -> Row:
    said = "never ends" if hung.cut else f"{hung.seconds:.1f} s"
    holds = not answered.cut and answered.seconds <= DEADLINE_SECONDS and answered.exit_code in (1, 2, 3)
    return Row(
        "API hung, server silent", said, f"{answered.seconds:.1f} s", "", f"{DEADLINE_SECONDS:.0f} s", holds
    )


def _memory_row(peak: float) -> Row:
    return Row(
        "peak memory, everything",
        "",
        f"{peak:.0f} MB",
        "",
        f"{MEMORY_BOUND_MB:.0f} MB",
        0 < peak < MEMORY_BOUND_MB,
    )


def _notes(looks: dict[str, sampling.Series], options: argparse.Namespace) -> list[str]:
    spreads = ", ".join(
        f"{name} {_milliseconds(low)} to {_milliseconds(high)}"
        for name, (low, high) in ((name, series.spread) for name, series in looks.items())
    )
    processor = ", ".join(
        f"{name} {_milliseconds(series.processor_seconds)}" for name, series in looks.items()
    )
    codes = {one.exit_code for one in looks["everything"].samples}
    return [
        f"Medians of {options.samples}, in turns, on {os.cpu_count()} cores that also run the lab;"
        f" load {os.getloadavg()[0]:.1f}. The script was cut at {options.cut:g} s.",
        f"Quickest to slowest: {spreads}.",
        f"Processor time: {processor}.",
        f"Exit codes of the full diagnose: {', '.join(map(str, sorted(codes)))}.",
    ]


def _where(found: breakdown.Breakdown) -> list[str]:
    looks = ", ".join(f"{name} {cost}" for name, cost in found.looks_ms)
    imports = ", ".join(f"{name} {cost}" for name, cost in found.imports_ms)
    return [
        f"Where a full diagnose of {found.total_ms} ms ({found.processor_ms} ms of processor) spends them, in ms:"
        f" looking {found.looking_ms}, starting, judging and showing {found.total_ms - found.looking_ms}.",
        f"Slowest look of each system, side by side: {looks}.",
        f"Imports, with the cost of recording them: {imports}.",
    ]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _say(text: str) -> None:
    print(f"measuring: {text}", file=sys.stderr, flush=True)


def _print(rows: list[Row], notes: list[str]) -> None:
    lines: list[tuple[str, ...]] = [("measured", "script/bare", "samaops", "ratio", "bound", "")]
    for row in rows:
        verdict = ("ok" if row.bound else "") if row.holds else "BROKEN"
        lines.append((row.what, row.reference, row.samaops, row.ratio, row.bound, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, tuple("-" * width for width in widths))
    for line in lines:
        print("| " + " | ".join(map(str.ljust, line, widths)) + " |")
    print()
    for note in notes:
        print(textwrap.fill(note, 80, initial_indent="- ", subsequent_indent="  "))
