"""The matrix as Markdown: a line for each incident, the totals, and what is off the diagonal."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from samaops.lab.incidents import running

from .results import Results, Trial

HEAD = (
    "incident",
    "right first",
    "wrong",
    "inconclusive",
    "to verdict, s",
    "fix",
    "to verified fix, s",
    "side effects",
)
SHOWN_TIMES = 3
MOST_SIDE_EFFECTS = 40


def lines(results: Results) -> Iterator[str]:
    """Yield the lines of the whole answer."""
    counted = [one for one in results.trials if one.naming != "not possible"]
    names = sorted({one.incident for one in results.trials}, key=_place)
    by_name = {name: [one for one in results.trials if one.incident == name] for name in names}
    yield from _table([_row(name, trials) for name, trials in by_name.items()])
    yield ""
    yield from _totals(counted)
    yield ""
    yield from _off_diagonal(counted)
    yield from _listed("Side effects left", _side_effects(counted))
    yield from _listed("Not clean", _unclean(counted))
    yield from _listed(
        "Not possible in this lab",
        sorted({one.incident for one in results.trials} - {one.incident for one in counted}),
    )


def _place(incident: str) -> tuple[int, str]:
    """Return where an incident stands in the catalogue; one that is not there any more comes last."""
    known = [one.id for one in running.INCIDENTS]
    return (known.index(incident) if incident in known else len(known)), incident


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(HEAD)} |"
    yield f"| {' | '.join(['---'] + ['---:'] * 4 + ['---', '---:', '---:'])} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _row(name: str, trials: Sequence[Trial]) -> tuple[str, ...]:
    named = Counter(one.naming for one in trials)
    if named["not possible"] == len(trials):
        return (f"`{name}`", *["not possible here"] + [""] * 6)
    return (
        f"`{name}`",
        f"{named['right']} of {len(trials)}",
        str(named["wrong"] or ""),
        str(named["inconclusive"] or ""),
        _times([one.verdict_seconds for one in trials]),
        _fix(trials),
        _times([one.fixed_seconds for one in trials]),
        str(sum(len(one.side_effects) for one in trials) or "none"),
    )


def _times(found: Sequence[float | None]) -> str:
    """Return each time, or the median and the slowest where there are many; a trial that has none is a dash."""
    known = [one for one in found if one is not None]
    if not known:
        return ""
    if len(found) <= SHOWN_TIMES:
        return ", ".join("-" if one is None else f"{one:.1f}" for one in found)
    return f"{statistics.median(known):.1f} (up to {max(known):.1f})"


def _fix(trials: Sequence[Trial]) -> str:
    """Return which fix samaops made, or whose hands it is in."""
    words = []
    for one in trials:
        ids = [fix.partition(":")[0] for fix in one.fixes]
        said = one.fix or "none yet"
        if said == "verified":
            said = ", ".join(f"`{fix}`" for fix in ids)
        elif said in ("relief", "letter", "failed", "loses data"):
            said = f"{said}: {', '.join(f'`{fix}`' for fix in ids)}"
        words.append(said)
    return " / ".join(dict.fromkeys(words))


def _totals(trials: Sequence[Trial]) -> Iterator[str]:
    named = Counter(one.naming for one in trials)
    incidents = len({one.incident for one in trials})
    share = 100 * named["right"] / len(trials) if trials else 0.0
    yield (
        f"- {len(trials)} trials of {incidents} incidents: right first {named['right']} ({share:.0f} %), "
        f"wrong {named['wrong']}, inconclusive {named['inconclusive']}, not broken {named['not broken']}."
    )
    yield f"- Time to verdict: {_spread([one.verdict_seconds for one in trials])}."
    yield f"- Time to verified fix: {_spread([one.fixed_seconds for one in trials])}."
    fixed = Counter(one.fix or "none yet" for one in trials)
    yield (
        f"- Fixes: verified {fixed['verified']}, relief {fixed['relief']}, failed {fixed['failed']}, letter {fixed['letter']} (not in our hands), "
        f"not made because they lose data {fixed['loses data']}, none yet {fixed['none yet']} (healed by the lab)."
    )
    unhealed = sum(not one.healed for one in trials)
    yield f"- Not healed: {unhealed}. Side effects left: {sum(len(one.side_effects) for one in trials)}."


def _spread(found: Sequence[float | None]) -> str:
    known = sorted(one for one in found if one is not None)
    if not known:
        return "never measured"
    return f"median {statistics.median(known):.1f} s, slowest {known[-1]:.1f} s, {len(known)} trials"


def _off_diagonal(trials: Sequence[Trial]) -> Iterator[str]:
    """Yield what was named in the place of what: the only cells of the matrix that need words."""
    wrong: Counter[tuple[str, str, str]] = Counter()
    for one in trials:
        if one.naming in ("wrong", "inconclusive"):
            named = ", ".join(f"`{key}`" for key in one.named) or "nothing"
            wrong[one.incident, one.expected, named] += 1
    if not wrong:
        yield "Confusion matrix: nothing off the diagonal. Each incident was named as itself at the first look."
        return
    yield "Confusion matrix, off the diagonal:"
    yield ""
    for (incident, expected, named), count in wrong.items():
        yield f"- `{incident}` (`{expected}`) was named {named}: {count} of {_count(trials, incident)}"


def _count(trials: Sequence[Trial], incident: str) -> int:
    return sum(one.incident == incident for one in trials)


def _side_effects(trials: Sequence[Trial]) -> list[str]:
    return [f"`{one.incident}` {one.number}: {left}" for one in trials for left in one.side_effects]


def _unclean(trials: Sequence[Trial]) -> list[str]:
    found = []
    for one in trials:
        said = [*(fix for fix in one.fixes if one.fix == "failed"), *one.notes]
        if not one.healed:
            said.append("not healed")
        if said:
            found.append(f"`{one.incident}` {one.number}: {'; '.join(said)}")
    return found


def _listed(title: str, items: Sequence[str]) -> Iterator[str]:
    if not items:
        return
    yield ""
    yield f"{title}:"
    yield ""
    yield from (f"- {item}" for item in items[:MOST_SIDE_EFFECTS])
    if len(items) > MOST_SIDE_EFFECTS:
        yield f"- and {len(items) - MOST_SIDE_EFFECTS} more"
