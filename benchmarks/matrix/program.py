"""The program: which incidents, how often, resumed where it was, and the table at the end."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from samaops.errors import SamaopsError
from samaops.lab.incidents import running
from samaops.lab.incidents.incident import Incident
from samaops.lab.incidents.site import Site
from samaops.lab.layout import Layout, default_directory

from . import pairs, recording, results, table, trial
from .commands import Samaops, calm
from .results import Results

USUAL_SECONDS = 30.0
USUAL_PAIR_SECONDS = 60.0
UP_SECONDS = 300.0
WELL_SECONDS = 60.0


def main() -> int:
    """Make the trials that are still to be made, print the table; return the exit code."""
    options = _options()
    if options.source and options.pairs:
        return _answer_pairs(_read_pairs(options.source))
    if options.source:
        return _answer(_read(options.source))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen = [running.find(name) for name in options.only] or list(running.INCIDENTS)
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(_own_lab()) if options.own_lab else options.dir
            layout = Layout((directory or default_directory()).resolve())
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "config.toml"
            if options.record:
                return _record(layout, copy, chosen, options.record)
            if options.pairs:
                return _answer_pairs(_run_pairs(layout, copy, options))
            found = _run(layout, copy, chosen, options)
    except SamaopsError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was broken is healed, and what was measured is in --output")
    return _answer(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/incidents", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="INCIDENT,...")
    parser.add_argument("--times", type=int, default=2, help="how often each incident (default 2)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.json", help="keep the raw figures; a run goes on there"
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE.json", help="print the table of a run"
    )
    parser.add_argument("--pairs", type=int, default=0, metavar="N", help="take N pairs of incidents instead")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="keep what each incident is found by, where it is not there yet",
    )
    parser.add_argument("--seed", type=int, default=1, help="which pairs: the same ones for the same number")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="begin no pair that would not end within these"
    )
    parser.add_argument("--own-lab", action="store_true", help="start a lab for this, and take it down")
    parser.add_argument("--dir", type=Path, help="the directory of the lab to use")
    options = parser.parse_args()
    if options.times < 1:
        parser.error("--times must be at least 1")
    return options


def _read(path: Path) -> Results:
    try:
        return results.read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path} cannot be read: {error}")


@contextlib.contextmanager
def _own_lab() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="samaops-matrix-") as parent:
        directory = Path(parent) / "lab"
        samaops = Samaops(Layout(directory).config_file, directory)
        try:
            done = samaops.lab("up", limit_seconds=UP_SECONDS)
            if done.exit_code != 0:
                sys.exit(f"no lab could be started: {done.last_words}")
            yield directory
        finally:
            samaops.lab("down", limit_seconds=UP_SECONDS)


def _run(layout: Layout, copy: Path, chosen: Sequence[Incident], options: argparse.Namespace) -> Results:
    site = Site.open(layout)
    samaops = Samaops(calm(layout.config_file, copy), layout.directory)
    output: Path | None = options.output
    found = _read(output) if output and output.exists() else None
    found = found or results.fresh(site.states.state.mode)
    wanted = [(one, number) for number in range(1, options.times + 1) for one in chosen]
    left = [(one, number) for one, number in wanted if not found.has(one.id, number)]
    _announce(found, len(wanted) - len(left), len(left))
    for place, (incident, number) in enumerate(left, start=1):
        bench = trial.Bench(samaops, layout, _say)
        _require_well(bench)
        _say(f"{place} of {len(left)}: {incident.id}, time {number}")
        made = trial.make(bench, incident, number)
        found.trials.append(made)
        if output:
            results.write(output, found)
        _say(_in_short(made))
    return found


def _record(layout: Layout, copy: Path, chosen: Sequence[Incident], directory: Path) -> int:
    """Keep what each incident is found by, once it is named right."""
    samaops = Samaops(calm(layout.config_file, copy), layout.directory)
    bench = trial.Bench(samaops, layout, _say)
    well_file = directory / f"{recording.WELL}.json"
    if not well_file.exists():
        _require_well(bench)
        recording.write(well_file, recording.look(samaops, layout)[1], {})
    well, _absent = recording.read(well_file)
    lacking = [one for one in chosen if not (directory / f"{one.id}.json").exists()]
    for incident in lacking:
        _require_well(bench)
        root = incident.expected(Site.open(layout))
        try:
            samaops.lab("break", incident.id, limit_seconds=trial.BREAK_SECONDS)
            named, rows = recording.look(samaops, layout)
            if named == [f"{root.cause}@{root.subject}"]:
                recording.write(directory / f"{incident.id}.json", rows, well)
            _say(f"{incident.id}: named {', '.join(named) or 'nothing'}")
        finally:
            samaops.lab("heal", incident.id, limit_seconds=trial.HEAL_SECONDS)
    return 0 if all((directory / f"{one.id}.json").exists() for one in chosen) else 1


def _run_pairs(layout: Layout, copy: Path, options: argparse.Namespace) -> list[pairs.PairTrial]:
    began = time.monotonic()
    samaops = Samaops(calm(layout.config_file, copy), layout.directory)
    bench = trial.Bench(samaops, layout, _say)
    output: Path | None = options.output
    trials = _read_pairs(output) if output and output.exists() else []
    made = {one.name for one in trials}
    wanted = [
        pair
        for pair in pairs.sample(options.pairs, options.seed)
        if not options.only or {pair.first.id, pair.second.id} & set(options.only)
    ]
    left = [pair for pair in wanted if pair.name not in made]
    _say(f"{len(left)} pairs, {len(wanted) - len(left)} made before; load {os.getloadavg()[0]:.1f}")
    for place, pair in enumerate(left, start=1):
        usual = statistics.median([one.total_seconds for one in trials] or [USUAL_PAIR_SECONDS])
        if options.seconds and time.monotonic() - began + usual > options.seconds:
            break
        _require_well(bench)
        _say(f"{place} of {len(left)}: {pair.name}")
        trials.append(pairs.make(bench, pair))
        if output:
            pairs.write(output, trials)
        _say(f"  {trials[-1].outcome}, {trials[-1].total_seconds:.0f} s {'; '.join(trials[-1].notes)}")
    return trials


def _read_pairs(path: Path) -> list[pairs.PairTrial]:
    try:
        return pairs.read(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path} cannot be read: {error}")


def _answer_pairs(trials: list[pairs.PairTrial]) -> int:
    for line in pairs.lines(trials):
        print(line)
    return 0 if trials and all(one.outcome == "right" for one in trials) else 1


def _announce(found: Results, made: int, left: int) -> None:
    usual = statistics.median([one.total_seconds for one in found.trials] or [USUAL_SECONDS])
    longest = left * trial.LONGEST_SECONDS / 3600
    before = f", {made} made before" if made else ""
    _say(
        f"{left} trials{before}; about {left * usual / 60:.0f} minutes at {usual:.0f} s each, "
        f"never more than {longest:.1f} hours; load {os.getloadavg()[0]:.1f}"
    )


def _require_well(bench: trial.Bench) -> None:
    """End the run when the lab is not well and cannot be made so: what is measured on it would mean nothing."""
    if not _causes(bench, 0):
        return
    bench.tell("the lab is not well; healing and starting what is missing")
    bench.samaops.lab("heal", limit_seconds=trial.HEAL_SECONDS)
    bench.samaops.lab("up", limit_seconds=UP_SECONDS)
    causes = _causes(bench, WELL_SECONDS)
    if causes:
        sys.exit(f"the lab is not well, the trials would mean nothing: {causes}")


def _causes(bench: trial.Bench, seconds: float) -> str:
    seen, _looks = trial.look_until(bench.samaops, lambda one: not one.causes and not one.note, seconds)
    return ", ".join(seen.named) or seen.note


def _in_short(made: results.Trial) -> str:
    verdict = "" if made.verdict_seconds is None else f" in {made.verdict_seconds:.1f} s"
    fixed = "" if made.fixed_seconds is None else f" in {made.fixed_seconds:.1f} s"
    healed = "healed" if made.healed else "NOT HEALED"
    effects = "".join(f"\n    left: {one}" for one in made.side_effects)
    notes = "".join(f"\n    {one}" for one in made.notes)
    return (
        f"  named {made.naming}{verdict}; fix {made.fix}{fixed}; {healed}; "
        f"{len(made.side_effects)} side effects; {made.total_seconds:.0f} s{notes}{effects}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _answer(found: Results) -> int:
    for line in table.lines(found):
        print(line)
    return 0 if found.trials and all(one.is_clean for one in found.trials) else 1
