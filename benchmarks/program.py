"""The benchmark's program: which parts are measured, a lab for those that need one, the table, the verdict."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import delay
import guide
import installation
import many_servers
import network
import table
import tools
from guide import Measuring
from msgspec import Struct
from table import Part

from samaops.lab.layout import Layout

QUICK_SAMPLES, QUICK_CUT_SECONDS = 3, 20.0


class Subject(Struct, frozen=True):
    """One part: what it needs, and how it is measured. ``on_lab`` or ``on_servers`` measures it."""

    doing: str
    on_lab: Callable[[Layout, Measuring], Part] | None = None
    on_servers: Callable[[int, Measuring], Part] | None = None
    install: Callable[[], None] | None = None
    needs_own_network: bool = False


PARTS = {
    "guide": Subject("the guide's script and diagnose, in turns", guide.looks),
    "start": Subject("the helps, in turns, and the memory", guide.start),
    "faults": Subject("one API hung, one server silent", guide.faults),
    "tools": Subject(
        "the ecosystem's tools and diagnose, in turns", tools.measure, install=installation.install_tools
    ),
    "delay": Subject("a network with a delay", delay.measure, needs_own_network=True),
    "servers-100": Subject(
        "pyinfra and diagnose on many servers, in turns",
        on_servers=many_servers.compare,
        install=installation.install_pyinfra,
        needs_own_network=True,
    ),
    "servers-hung": Subject(
        "many servers of which some hang", on_servers=many_servers.with_some_hung, needs_own_network=True
    ),
}


def main() -> int:
    """Measure and print; return the exit code."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit("ended"))  # what was started is taken down
    options = _options()
    chosen = [PARTS[name] for name in options.only]
    for subject in chosen:
        if subject.install is not None:
            subject.install()
    if options.dir is None and network.can_have_own():
        network.enter_own()
    if any(subject.needs_own_network for subject in chosen) and not network.is_own():
        sys.exit("servers-100, servers-hung and delay need a network of their own: as root, without --dir")
    parts = list(_measured(chosen, options))
    table.show(parts)
    return 0 if all(row.holds for part in parts for row in part.rows) else 1


def _measured(chosen: list[Subject], options: argparse.Namespace) -> Iterator[Part]:
    """Measure what needs a lab, then, without it, what needs its port: one sshd at all addresses."""
    measuring = Measuring(options.samples, options.cut, options.tolerance)
    on_lab = [subject for subject in chosen if subject.on_lab is not None]
    with contextlib.ExitStack() as stack:
        layout = _lab(stack, options) if on_lab else None
        for subject in on_lab:
            _announce(subject)
            if subject.on_lab is not None and layout is not None:
                yield _shown(subject.on_lab(layout, measuring))
    for subject in chosen:
        if subject.on_servers is not None:
            _announce(subject)
            yield _shown(subject.on_servers(options.servers, measuring))


def _announce(subject: Subject) -> None:
    print(f"measuring: {subject.doing}", file=sys.stderr, flush=True)


def _shown(part: Part) -> Part:
    """Say what was measured at once: what a later part does must not take it away."""
    for row in part.rows:
        verdict = "" if row.holds else "BROKEN"
        print(" ", row.what, row.reference, row.samaops, row.ratio, verdict, file=sys.stderr, flush=True)
    return part


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=list(PARTS),
        metavar="PART",
        help=f"measure this part; may be repeated: {', '.join(PARTS)}",
    )
    parser.add_argument("--samples", type=int, help="how often each is run (default 7; quick: 3)")
    parser.add_argument("--cut", type=float, help="after how many seconds the script is cut (120; quick: 20)")
    parser.add_argument("--quick", action="store_true", help="fewer samples, an earlier cut")
    parser.add_argument("--servers", type=int, default=100, help="how many servers are many (default 100)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1.0,
        help="multiply the bounds of the ratios, for a machine that is busy",
    )
    parser.add_argument("--dir", type=Path, help="a lab that is up; without it one is started and taken down")
    options = parser.parse_args()
    options.only = options.only or list(PARTS)
    options.samples = options.samples or (QUICK_SAMPLES if options.quick else 7)
    options.cut = options.cut or (QUICK_CUT_SECONDS if options.quick else 120.0)
    if not many_servers.HUNG < options.servers <= many_servers.MOST:
        parser.error(f"--servers: from {many_servers.HUNG + 1} to {many_servers.MOST}")
    return options


def _lab(stack: contextlib.ExitStack, options: argparse.Namespace) -> Layout:
    """Return the lab that is named, else start one that ends with the measurement."""
    if options.dir is not None:
        layout = Layout(options.dir.resolve())
        if not layout.config_file.exists():
            sys.exit(f"no lab is up in {options.dir}: samaops lab up --dir, or none of --dir")
        return layout
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="samaops-benchmark-"))) / "lab"
    stack.callback(guide.lab, "down", directory)
    guide.lab("up", directory)
    return Layout(directory.resolve())
