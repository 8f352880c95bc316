"""One turn of one incident: broken, named, repaired as samaops offers it, healed, and compared with before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.lab.incidents.incident import Incident
from samaops.lab.incidents.site import Site
from samaops.lab.layout import Layout
from samaops.workflows import change as _loads_every_verb  # noqa: F401

from . import snapshot
from .commands import Done, Samaops
from .results import Naming, Trial

BREAK_SECONDS = 120.0
LOOK_SECONDS = 60.0
FIX_SECONDS = 180.0
HEAL_SECONDS = 180.0
# How long a right verdict, the effect of a fix, and the state of before are waited for.
VERDICT_SECONDS = 30.0
EFFECT_SECONDS = 20.0
SAME_SECONDS = 60.0
PAUSE_SECONDS = 1.0
# The longest that one turn may take, when everything is waited for to its end.
LONGEST_SECONDS = (
    BREAK_SECONDS + 3 * LOOK_SECONDS + VERDICT_SECONDS + 2 * FIX_SECONDS + HEAL_SECONDS + 3 * SAME_SECONDS
)
REFUSED = (75, 77)
DONE = frozenset(("applied", "verified"))
# Fixes that set something aside until others have repaired the cause; it is put back once that is done.
SETTING_ASIDE = ("queue.park",)
# The longest verb has so many words: "db index create".
VERB_WORDS = 3


class Bench(Struct, frozen=True):
    """What a trial works with."""

    samaops: Samaops
    layout: Layout
    tell: Callable[[str], None]


class Named(Struct, frozen=True):
    """A cause that was named, as ``cause@subject``; ``status`` is that of the finding that decided."""

    key: str
    verdict: str = "confirmed"
    status: str = "critical"


class Look(Struct, frozen=True):
    """One diagnosis: the causes that were named, and every finding that is not well."""

    causes: tuple[Named, ...]
    findings: frozenset[str] = frozenset()
    note: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        return tuple(one.key for one in self.causes)

    def naming(self, expected: str) -> Naming:
        """Judge what was named: right is the expected cause, surely, and no other."""
        if not self.causes or (self.named == (expected,) and self.causes[0].verdict == "inconclusive"):
            return "inconclusive"
        return "right" if self.named == (expected,) else "wrong"

    def is_critical(self, expected: str) -> bool:
        """Tell whether a cause is there and harms now: what only may come again is a warning."""
        return any(one.key == expected and one.status == "critical" for one in self.causes)


def look(samaops: Samaops) -> Look:
    """Diagnose once."""
    return look_of(samaops.report("diagnose", limit_seconds=LOOK_SECONDS))


def look_of(done: Done) -> Look:
    """Return what a report says; a note when there is none."""
    report = done.document
    if "findings" not in report:
        return Look((), note=f"no report: {done.last_words}")
    statuses = {f"{one['code']}@{one['subject']}": one["status"] for one in report["findings"]}
    causes = tuple(
        Named(_key(one), one["verdict"], statuses.get(next(iter(one["explains"]), ""), ""))
        for one in report["causes"]
    )
    found = (one for one in report["findings"] if one["status"] not in ("ok", "skipped"))
    return Look(causes, frozenset(f"{one['code']}@{one['subject']} is {one['status']}" for one in found))


def _key(cause: dict[str, Any]) -> str:
    return f"{cause['id']}@{cause['subject']}"


def look_until(samaops: Samaops, wanted: Callable[[Look], bool], seconds: float) -> tuple[Look, int]:
    """Diagnose until it is as wanted or the time is over; return the last look and how many there were."""
    deadline = time.monotonic() + seconds
    looks = 0
    while True:
        seen = look(samaops)
        looks += 1
        if wanted(seen) or time.monotonic() > deadline:
            return seen, looks
        time.sleep(PAUSE_SECONDS)


def make(bench: Bench, incident: Incident, number: int) -> Trial:
    """Make one turn. The lab must be well; whatever happens, the incident is healed at the end."""
    root = incident.expected(Site.open(bench.layout))
    started = time.monotonic()
    trial = Trial(
        incident=incident.id,
        runbook=incident.runbook,
        expected=f"{root.cause}@{root.subject}",
        number=number,
        began_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        load=round(os.getloadavg()[0], 1),
    )
    before, was = snapshot.settled(bench.layout), look(bench.samaops)
    broken = bench.samaops.lab("break", incident.id, limit_seconds=BREAK_SECONDS)
    live_at = time.monotonic()
    trial = _after_break(trial, broken)
    taken_back: tuple[str, ...] = ()
    try:
        if trial.naming != "not possible" and broken.exit_code == 0:
            trial = _named(bench, trial, live_at)
            trial, taken_back = _repaired(bench, trial, live_at)
    except BaseException:
        bench.samaops.lab("heal", incident.id, limit_seconds=HEAL_SECONDS)
        raise
    trial = _taken_back(bench, _healed(bench, trial), taken_back)
    trial = _compared(bench, trial, before, was)
    return replace(trial, total_seconds=round(time.monotonic() - started, 1))


def _after_break(trial: Trial, broken: Done) -> Trial:
    if broken.exit_code == 0:
        return replace(trial, break_seconds=round(broken.seconds, 1))
    naming: Naming = "not possible" if broken.exit_code == 77 else "not broken"
    return replace(trial, naming=naming, fix="none yet", notes=(f"break: {broken.last_words}",))


def _named(bench: Bench, trial: Trial, live_at: float) -> Trial:
    """Diagnose at once, which is what counts; when that is not right, go on to see when it is."""
    first = last = look(bench.samaops)
    seen_at, looks = time.monotonic(), 1
    if first.naming(trial.expected) != "right":
        bench.tell(f"named {', '.join(first.named) or 'nothing'}")
        last, more = look_until(
            bench.samaops, lambda one: one.naming(trial.expected) == "right", VERDICT_SECONDS
        )
        seen_at, looks = time.monotonic(), looks + more
    is_right = last.naming(trial.expected) == "right"
    return replace(
        trial,
        naming=first.naming(trial.expected),
        named=first.named,
        looks=looks,
        verdict_seconds=round(seen_at - live_at, 1) if is_right else None,
        notes=(*trial.notes, *filter(None, (first.note,))),
    )


class Fix(Struct, frozen=True):
    """A fix as samaops offers it: a command of its own, or the text of a letter. What loses data is never made here."""

    id: str
    command: str = ""
    is_letter: bool = False
    loses_data: bool = False
    can_be_undone: bool = False


def offered(done: Done, expected: str) -> list[Fix]:
    """Return the fixes of a cause that samaops can make itself, or write a letter for, in its own order."""
    causes = [one for one in done.document.get("causes", ()) if _key(one) == expected]
    return [fix for cause in causes for fix in _fixes(cause)]


def _fixes(cause: dict[str, Any]) -> Iterator[Fix]:
    for one in cause["fixes"]:
        if one.get("text"):
            yield Fix(one["id"], is_letter=True)
        elif command := next((words for words in one["commands"] if _changes(words)), ""):
            if one["risk"] == "destructive":
                yield Fix(one["id"], loses_data=True)
            else:
                yield Fix(one["id"], command, can_be_undone=bool(one["undo"]))


def _changes(command: str) -> bool:
    """Tell whether a command line is samaops with a verb that changes something, or a fix of a playbook; a look is advice."""
    program, *words = (word for word in command.split() if word != "--lab")
    changing = {*verbs.names(), "maintain run"}
    if program != "samaops":
        return False
    if words[:1] == ["troubleshoot"]:
        return "--apply" in words
    return any(" ".join(words[:count]) in changing for count in range(1, VERB_WORDS + 1))


def _repaired(bench: Bench, trial: Trial, live_at: float) -> tuple[Trial, tuple[str, ...]]:
    """Make the fixes that are offered, one after the other, until the cause is gone and the fix is verified.

    Return besides the changes that are to be taken back after healing, the last one first: a relief, which gives time and
    no more, what was only set aside, and what did not help.
    """
    if trial.verdict_seconds is None:
        notes = (*trial.notes, "no fix was made: the verdict is not right")
        return replace(trial, fix="none yet", notes=notes), ()
    fixes: list[Fix] = []
    harms = False
    for words in (*((("troubleshoot", trial.runbook),) if trial.runbook else ()), ("diagnose",)):
        report = bench.samaops.report(*words, limit_seconds=LOOK_SECONDS)
        fixes = offered(report, trial.expected)
        harms = harms or look_of(report).is_critical(trial.expected)
        if any(not one.loses_data for one in fixes):
            break
    letters = tuple(f"{one.id}: letter" for one in fixes if one.is_letter)
    losing = tuple(f"{one.id}: loses data" for one in fixes if one.loses_data)
    made: list[str] = []
    to_undo: list[str] = []
    for fix in (one for one in fixes if one.command):
        done = bench.samaops.as_printed(fix.command, "--yes", "-o", "json", limit_seconds=FIX_SECONDS)
        how = _outcome(bench, trial, done, harms=harms)
        made.append(f"{fix.id}: {how}")
        bench.tell(made[-1])
        if how.startswith("verified"):
            is_relief = how != "verified" and fix.can_be_undone
            if is_relief or fix.id in SETTING_ASIDE:
                to_undo.extend(_journaled(done))
            word = "relief" if is_relief else "verified"
            fixed = round(time.monotonic() - live_at, 1)
            trial = replace(trial, fix=word, fixes=tuple(made), fixed_seconds=fixed)
            return trial, tuple(reversed(to_undo))
        if _is_done(done) and fix.can_be_undone:
            to_undo.extend(_journaled(done))
    refused_only = all(": refused" in one for one in made)
    without = "loses data" if losing and not made else "failed" if made else "none yet"
    fix_word = "letter" if letters and refused_only else without
    return replace(trial, fix=fix_word, fixes=(*made, *letters, *losing)), tuple(reversed(to_undo))


def _journaled(done: Done) -> tuple[str, ...]:
    """Return the change that a command made, by its id in the history."""
    found = (one["journal"] for one in done.document.get("actions", ()) if one.get("journal"))
    return tuple(dict.fromkeys(found))


def _outcome(bench: Bench, trial: Trial, done: Done, *, harms: bool) -> str:
    """Say how a fix ended: verified is that it was made, and a diagnosis that names the cause no more.

    A cause that did harm (critical) and of which only a warning is left, since it may come again, is repaired too.
    """
    if done.exit_code in REFUSED:
        return f"refused, {done.last_words}"
    if not _is_done(done):
        said = "; ".join(one.get("message", "") for one in done.document.get("errors", ()))
        return f"failed (exit code {done.exit_code}), {said or done.last_words}"

    def is_repaired(seen: Look) -> bool:
        is_left = trial.expected in seen.named and not (harms and not seen.is_critical(trial.expected))
        return not seen.note and not is_left

    seen, _looks = look_until(bench.samaops, is_repaired, EFFECT_SECONDS)
    if not is_repaired(seen):
        return "done, and the cause is still there"
    return "verified, a warning is left" if trial.expected in seen.named else "verified"


def _is_done(done: Done) -> bool:
    """Tell whether a fix was made: 1 is that a warning is left of what it was made for."""
    statuses = {one.get("status") for one in done.document.get("actions", ())}
    return done.exit_code == 0 or (done.exit_code == 1 and bool(statuses) and statuses <= DONE)


def _healed(bench: Bench, trial: Trial) -> Trial:
    done = bench.samaops.lab("heal", trial.incident, limit_seconds=HEAL_SECONDS)
    notes = trial.notes if done.exit_code == 0 else (*trial.notes, f"heal: {done.last_words}")
    return replace(trial, healed=done.exit_code == 0, heal_seconds=round(done.seconds, 1), notes=notes)


def _taken_back(bench: Bench, trial: Trial, changes: Sequence[str]) -> Trial:
    """Undo what only gave time or set something aside, as its owner would once the cause is gone."""
    for change in changes:
        done = bench.samaops.report("undo", change, "--yes", limit_seconds=FIX_SECONDS)
        if done.exit_code != 0:
            trial = replace(trial, notes=(*trial.notes, f"undo {change}: {done.last_words}"))
    return trial


def _compared(bench: Bench, trial: Trial, before: snapshot.Table, was: Look) -> Trial:
    """Compare with before: what is held, what is found."""
    left = snapshot.await_same(bench.layout, before, SAME_SECONDS)
    seen, _looks = look_until(
        bench.samaops,
        lambda one: not one.note and not one.findings - was.findings and not one.causes,
        SAME_SECONDS,
    )
    findings = (f"finding/{one}" for one in sorted(seen.findings - was.findings))
    notes = (*trial.notes, *filter(None, (seen.note,)))
    return replace(
        trial,
        healed=trial.healed and not seen.causes and not seen.note,
        side_effects=(*left, *findings),
        notes=notes,
    )
