"""Which backups are kept, and which have expired: one pure function over what is there.

Only those count that were read through to their end, or restored, and found good. So many of these are kept however old
they are, before any age applies. Nothing expires while the newest run is not whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone

from msgspec import Struct

from samaops.config.backup_settings import Backup
from samaops.facts.backup_run import FAILED, KILLED, MISSING, RUNNING, STARTED, WHOLE, Run, epoch_of
from samaops.i18n import _

DAY_SECONDS = 86_400.0


class Rules(Struct, frozen=True):
    """How many and how long: the keys of ``[backup]`` of the same names."""

    retention_days: int
    minimum: int
    weekly: int
    monthly: int


class Decision(Struct, frozen=True):
    """``kept`` has why, by id. ``held`` says why nothing expires now, "" where it may."""

    kept: Mapping[str, str]
    expired: tuple[Run, ...]
    held: str = ""


def rules_of(backup: Backup) -> Rules:
    """Return the rules of a configuration."""
    return Rules(backup.retention_days, backup.minimum, backup.weekly, backup.monthly)


def is_proved(run: Run) -> bool:
    """Return whether a backup is whole and was seen to be good: read through or restored, and nothing said otherwise since."""
    grades = [grade for grade in (run.grades.stored, run.grades.readable, run.grades.restored) if grade]
    is_any = any(grade for grade in (run.grades.readable, run.grades.restored) if grade)
    return run.state == WHOLE and is_any and all(grade.is_good for grade in grades)


def is_damaged(run: Run) -> bool:
    """Return whether a proof of it failed."""
    grades = (run.grades.stored, run.grades.readable, run.grades.restored)
    return any(grade is not None and not grade.is_good for grade in grades)


def decide(runs: Iterable[Run], now: float, rules: Rules) -> Decision:
    """Return what is kept, and why, and what has expired, the oldest first. ``now`` in seconds since the epoch."""
    newest_first = sorted(runs, key=lambda run: (epoch_of(run.started_at), run.id), reverse=True)
    held = _held(newest_first)
    proved = [run for run in newest_first if is_proved(run) and not run.recovered_to]
    if not held and len(proved) < rules.minimum:
        text = _("{count} backups are proved good, and {minimum} are to be kept before any expires")
        held = text.format(count=len(proved), minimum=rules.minimum)
    kept: dict[str, str] = {}
    for run in newest_first:
        if run.state in (RUNNING, STARTED):
            kept[run.id] = _("it goes on")
        elif run.pinned:
            kept[run.id] = _("pinned: {reason}").format(reason=run.pinned)
        elif now - epoch_of(run.started_at) <= rules.retention_days * DAY_SECONDS:
            kept[run.id] = _("younger than {days} days").format(days=rules.retention_days)
    for run in proved[: rules.minimum]:
        kept.setdefault(run.id, _("one of the newest {count} that are proved").format(count=rules.minimum))
    for run in _newest_of_each(proved, _week, rules.weekly):
        kept.setdefault(run.id, _("the newest of its week"))
    for run in _newest_of_each(proved, _month, rules.monthly):
        kept.setdefault(run.id, _("the newest of its month"))
    by_id = {run.id: run for run in newest_first}
    for run in newest_first:  # what stays is nothing without what it was made upon, however old that is
        for needed in run.needs if run.id in kept else ():
            if needed in by_id:
                kept.setdefault(needed, _("{id} needs it").format(id=run.id))
    if held:
        return Decision({run.id: kept.get(run.id, held) for run in newest_first}, (), held)
    expired = [run for run in reversed(newest_first) if run.id not in kept]
    return Decision(kept, tuple(_after_who_need_it(expired)))


def _after_who_need_it(expired: Sequence[Run]) -> Iterator[Run]:
    """Yield them so that each comes after those that were made upon it: with it they would go unseen."""
    upon: dict[str, list[Run]] = {}
    for run in reversed(expired):
        for needed in run.needs:
            upon.setdefault(needed, []).append(run)
    taken: set[str] = set()
    for run in expired:
        waiting = [run]
        while waiting:
            left = [each for each in upon.get(waiting[-1].id, ()) if each.id not in taken]
            if left:
                waiting.append(left[0])
                continue
            each = waiting.pop()
            if each.id not in taken:
                taken.add(each.id)
                yield each


def _held(newest_first: Sequence[Run]) -> str:
    """Return why nothing may expire: the newest run is none that could be relied on."""
    # A recovery to a moment is the beginning of a restore, not the backup of a night.
    newest = next((run for run in newest_first if not run.recovered_to), None)
    if newest is None:
        return ""
    reasons = {
        RUNNING: _("a run goes on: {id}"),
        STARTED: _("a run goes on: {id}"),
        FAILED: _("the newest run failed: {id}"),
        KILLED: _("the newest run was killed: {id}"),
        MISSING: _("the newest backup is gone from the disk: {id}"),
    }
    reason = reasons.get(newest.state, "")
    if not reason and is_damaged(newest):
        reason = _("the newest backup is damaged: {id}")
    return reason.format(id=newest.id)


def _newest_of_each(
    newest_first: Iterable[Run], period: Callable[[datetime], object], count: int
) -> list[Run]:
    first: dict[object, Run] = {}
    for run in newest_first:
        first.setdefault(period(datetime.fromtimestamp(epoch_of(run.started_at), timezone.utc)), run)
    return list(first.values())[:count]


def _week(moment: datetime) -> object:
    return moment.isocalendar()[:2]


def _month(moment: datetime) -> object:
    return moment.year, moment.month
