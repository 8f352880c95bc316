"""The raw figures of a run: one record a trial, in a JSON file that is whole after every trial."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, to_builtins

SCHEMA = "samaops/incident-matrix/1"
Naming = Literal["right", "wrong", "inconclusive", "not possible", "not broken"]


class Trial(Struct, frozen=True):
    """One turn of one incident. Times are seconds from the moment that the incident was live; None: it never was so.

    ``expected`` and ``named`` are causes with their subjects (``cause@subject``), ``named`` of the first look.
    ``fixes`` are the commands that were run and how each ended, ``fix`` is "verified", "relief" (it gives
    time, and is taken back after healing), "failed", "letter", "loses data" (none else is offered) or "none yet".
    """

    incident: str
    runbook: str
    expected: str
    number: int = 1
    began_at: str = ""
    break_seconds: float | None = None
    naming: Naming = "not broken"
    named: tuple[str, ...] = ()
    looks: int = 0
    verdict_seconds: float | None = None
    fix: str = ""
    fixes: tuple[str, ...] = ()
    fixed_seconds: float | None = None
    healed: bool = False
    heal_seconds: float | None = None
    side_effects: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    total_seconds: float = 0.0
    load: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether it was named right at once, repaired where it could be, healed, and left nothing."""
        if self.naming == "not possible":
            return True
        named = self.naming == "right"
        return named and self.healed and not self.side_effects and self.fix != "failed"


@dataclass(slots=True)
class Results:
    """All trials of one run, in the order in which they were made."""

    about: dict[str, Any] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)

    def has(self, incident: str, number: int) -> bool:
        """Tell whether a trial was made already."""
        return any(one.incident == incident and one.number == number for one in self.trials)


def fresh(mode: str) -> Results:
    """Return the results of a run that begins now on this machine."""
    about = {
        "began_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "mode": mode,
    }
    return Results(about)


def read(path: Path) -> Results:
    """Read the results of a run. Raises ValueError when the file holds something else."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"{path} is not a file of {SCHEMA}")
    return Results(document["about"], [_trial(one) for one in document["trials"]])


def _trial(saved: dict[str, Any]) -> Trial:
    values: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in saved.items()}
    return Trial(**values)


def write(path: Path, results: Results) -> None:
    """Write all results; whoever reads the file meanwhile sees the old or the new, never a part."""
    trials: Iterable[dict[str, Any]] = (to_builtins(one) for one in results.trials)
    document = {"schema": SCHEMA, "about": results.about, "trials": list(trials)}
    aside = path.with_name(f".{path.name}.new")
    aside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)
