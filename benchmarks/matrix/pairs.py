"""Two incidents at once: both named and nothing else; after one is healed the other still is; then all is well again."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from samaops.lab.incidents.incident import Incident
from samaops.lab.incidents.site import Site

from . import together
from .together import Pair
from .trial import BREAK_SECONDS, HEAL_SECONDS, Bench, Look, look_until

SCHEMA = "samaops/incident-pairs/1"
# What is a few seconds behind (samples of the broker, a member of the balancer) may be looked at again.
VERDICT_SECONDS = 15.0
WELL_SECONDS = 40.0
LONGEST_SECONDS = 2 * BREAK_SECONDS + 2 * HEAL_SECONDS + 2 * VERDICT_SECONDS + WELL_SECONDS
Outcome = Literal["right", "wrong", "not broken"]


class PairTrial(Struct, frozen=True):
    """One turn of a pair. ``both`` and ``left`` are what was named, as ``cause@subject``, with both live and with one."""

    first: str
    second: str
    outcome: Outcome = "not broken"
    both: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    looks: int = 0
    notes: tuple[str, ...] = ()
    total_seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.first}+{self.second}"


def sample(count: int, seed: int) -> tuple[Pair, ...]:
    """Return some of the pairs that can be live together: the same ones for the same seed."""
    possible = list(together.possible())
    random.Random(seed).shuffle(possible)
    return tuple(possible[:count])


def make(bench: Bench, pair: Pair) -> PairTrial:
    """Make one turn. The lab must be well; whatever happens, both are healed at the end."""
    started = time.monotonic()
    trial = PairTrial(pair.first.id, pair.second.id)
    try:
        trial = _named(bench, pair, trial)
    finally:
        for incident in (pair.second, pair.first):
            bench.samaops.lab("heal", incident.id, limit_seconds=HEAL_SECONDS)
    seen, _looks = look_until(bench.samaops, lambda look: not look.causes and not look.note, WELL_SECONDS)
    if seen.causes or seen.note:
        notes = (*trial.notes, f"not well after both were healed: {', '.join(seen.named) or seen.note}")
        trial = replace(trial, outcome="wrong", notes=notes)
    return replace(trial, total_seconds=round(time.monotonic() - started, 1))


def _named(bench: Bench, pair: Pair, trial: PairTrial) -> PairTrial:
    site = Site.open(bench.layout)
    for incident in (pair.first, pair.second):
        broken = bench.samaops.lab("break", incident.id, limit_seconds=BREAK_SECONDS)
        if broken.exit_code != 0:
            return replace(trial, notes=(f"break {incident.id}: {broken.last_words}",))
    wanted = {_key(site, pair.first), _key(site, pair.second)}
    both, looks = look_until(bench.samaops, _names(wanted), VERDICT_SECONDS)
    healed = bench.samaops.lab("heal", pair.second.id, limit_seconds=HEAL_SECONDS)
    notes = () if healed.exit_code == 0 else (f"heal {pair.second.id}: {healed.last_words}",)
    kept = {_key(site, pair.first)}
    left, _looks = look_until(bench.samaops, _names(kept), VERDICT_SECONDS)
    is_right = set(both.named) == wanted and set(left.named) == kept
    return replace(
        trial,
        outcome="right" if is_right else "wrong",
        both=both.named,
        left=left.named,
        looks=looks,
        notes=notes,
    )


def _names(wanted: set[str]) -> Callable[[Look], bool]:
    return lambda look: set(look.named) == wanted


def _key(site: Site, incident: Incident) -> str:
    root = incident.expected(site)
    return f"{root.cause}@{root.subject}"


def write(path: Path, trials: Sequence[PairTrial]) -> None:
    """Write all trials; the file is whole after every one."""
    aside = path.with_suffix(".tmp")
    aside.write_text(
        json.dumps({"schema": SCHEMA, "trials": to_builtins(trials)}, indent=1), encoding="utf-8"
    )
    aside.replace(path)


def read(path: Path) -> list[PairTrial]:
    """Read the trials of a run. Raises ValueError when the file holds something else."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a file of {SCHEMA}")
    return convert(document["trials"], list[PairTrial])


def lines(trials: Sequence[PairTrial]) -> Iterator[str]:
    """Yield the answer as Markdown: the totals, a line for each pair, and what was named in the place of what."""
    outcomes = Counter(trial.outcome for trial in trials)
    first = sum(trial.outcome == "right" and trial.looks == 1 for trial in trials)
    yield (
        f"{len(trials)} of {len(together.possible())} pairs that can be live together: right {outcomes['right']} "
        f"({first} at the first look), wrong {outcomes['wrong']}, not broken {outcomes['not broken']}."
    )
    yield ""
    yield "| first | second | named | looks | seconds |"
    yield "| --- | --- | --- | ---: | ---: |"
    for trial in sorted(trials, key=lambda trial: trial.name):
        yield (
            f"| `{trial.first}` | `{trial.second}` | {trial.outcome} | {trial.looks or ''} | {trial.total_seconds:.0f} |"
        )
    wrong = [trial for trial in trials if trial.outcome != "right"]
    if wrong:
        yield ""
    for trial in wrong:
        yield f"- `{trial.name}`: {trial.outcome}; both live: {_listed(trial.both)}; one left: {_listed(trial.left)}"
        yield from (f"  - {note}" for note in trial.notes)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
