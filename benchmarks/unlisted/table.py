"""The table as Markdown: a line for each fault, the totals, and what the answers said where they were not right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .declaration import Declaration
from .trial import Trial

# Of a hundred faults that nobody has foreseen, so many must be named or narrowed down; none may get a wrong name.
LEAST_PERCENT = 90.0
GOOD = ("named", "narrowed down")


def lines(faults: Mapping[str, Declaration], trials: Sequence[Trial]) -> Iterator[str]:
    """Yield the lines of the whole answer."""
    known = [one for one in trials if one.fault in faults]
    yield "| fault | what it does | outcome | first line of the answer |"
    yield "| --- | --- | --- | --- |"
    for one in known:
        yield f"| `{one.fault}` | {_cell(faults[one.fault].does)} | {one.outcome} | {_cell(_first(one))} |"
    yield ""
    counted = Counter(one.outcome for one in known)
    yield f"{len(known)} faults: {', '.join(f'{name} {count}' for name, count in counted.most_common())}."
    unhealed = [one.fault for one in known if not one.healed]
    if unhealed:
        yield f"Not healed: {', '.join(unhealed)}."


def is_clean(trials: Sequence[Trial]) -> bool:
    """Tell whether no fault got a wrong name, all were healed, and enough were named or narrowed down."""
    looked_at = [one for one in trials if one.outcome != "not broken"]
    good = sum(one.outcome in GOOD for one in looked_at)
    is_enough = bool(looked_at) and 100 * good / len(looked_at) >= LEAST_PERCENT
    return is_enough and all(one.healed and one.outcome != "wrong name" for one in trials)


def _first(trial: Trial) -> str:
    return trial.said[0] if trial.said else "all is well"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:200]
