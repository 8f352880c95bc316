"""The program: which faults, resumed where it was, and the table at the end."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins

from benchmarks.matrix.commands import Samaops
from samaops.errors import SamaopsError
from samaops.lab.layout import Layout, default_directory

from . import table, trial
from .declaration import Declaration, read_all
from .trial import Trial


def main() -> int:
    """Make the trials that are still to be made, print the table; return the exit code."""
    options = _options()
    faults = {one.id: one for one in read_all()}
    unknown = set(options.only) - set(faults)
    if unknown:
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}")
    made = _read(options.output)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run([faults[name] for name in options.only or faults], made, options)
    except SamaopsError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was broken is healed, and what was judged is in --output")
    for line in table.lines(faults, list(made.values())):
        print(line)
    return 0 if table.is_clean(list(made.values())) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/unlisted/run")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="FAULT,...")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.json", help="keep what was judged; a run goes on there"
    )
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no trial after so many seconds"
    )
    parser.add_argument("--dir", type=Path, help="the directory of the lab to use")
    return parser.parse_args()


def _read(path: Path | None) -> dict[str, Trial]:
    if path is None or not path.exists():
        return {}
    return {one.fault: one for one in convert(json.loads(path.read_text(encoding="utf-8")), list[Trial])}


def _run(wanted: list[Declaration], made: dict[str, Trial], options: argparse.Namespace) -> None:
    layout = Layout((options.dir or default_directory()).resolve())
    samaops = Samaops(layout.config_file, layout.directory)
    until = time.monotonic() + options.seconds
    is_well = False
    for fault in (one for one in wanted if one.id not in made):
        if time.monotonic() > until:
            return
        left = [] if is_well else trial.wait_until_well(samaops, trial.WELL_SECONDS)
        if left:
            sys.exit(f"the lab is not well, the trials would mean nothing: {', '.join(left[:5])}")
        with tempfile.TemporaryDirectory(prefix="samaops-unlisted-") as work:
            made[fault.id] = trial.make(layout, samaops, fault, Path(work))
        if options.output:
            _write(options.output, list(made.values()))
        _say(made[fault.id])
        is_well = made[fault.id].healed


def _write(path: Path, trials: list[Trial]) -> None:
    """Write all trials; whoever reads the file meanwhile sees the old or the new, never a part."""
    aside = path.with_name(f".{path.name}.new")
    builtins: list[Any] = [to_builtins(one) for one in trials]
    aside.write_text(json.dumps(builtins, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)


def _say(made: Trial) -> None:
    healed = "" if made.healed else ", NOT HEALED"
    words = "".join(f"\n    {line}" for line in (*made.said, *made.notes))
    print(
        f"{made.fault}: {made.outcome}{healed}, {made.total_seconds:.0f} s{words}",
        file=sys.stderr,
        flush=True,
    )
