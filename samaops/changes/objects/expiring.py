"""Remove of the copy of the objects what nothing that is kept names any more: lists first, then what only they named."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from msgspec import Struct, to_builtins

from samaops.changes.objects.copying import configured
from samaops.changes.readings import facts_in
from samaops.config.backup_settings import BackupCopy
from samaops.facts.objects import STARTED, WHOLE, Kept, ObjectCopyFacts, ObjectRun, ObjectsElsewhere
from samaops.facts.observation import Observation, Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Risk, Step
from samaops.site.site import Site

EXPIRE = "objects.expire"
_DAY_SECONDS = 86_400.0


class Expiring(Struct, frozen=True):
    """The runs whose lists expire; what the others name stays. ``place`` is where: "" here, else one of ``[[backup.copies]]``."""

    runs: tuple[str, ...]
    place: str = ""


def expired(runs: Iterable[ObjectRun], backups: AbstractSet[str], days: int, epoch: float) -> tuple[str, ...]:
    """Return the runs that may go, the oldest first: older than so many days, and of no backup that is kept.

    The copy that goes with a backup has its id. The newest whole one stays whatever its age; nothing goes while the
    newest run is not whole: then the older ones are all there is.
    """
    ended = sorted((run for run in runs if run.state != STARTED), key=lambda run: run.started_at)
    whole = [run for run in ended if run.state == WHOLE]
    if not whole or ended[-1].state != WHOLE:
        return ()
    until = epoch - days * _DAY_SECONDS
    return tuple(
        run.id for run in ended if run.id != whole[-1].id and run.id not in backups and run.epoch < until
    )


Lists = Mapping[str, Callable[[], Iterable[Kept]]]


def unneeded(
    lists: Lists, replaced: Iterable[tuple[str, str]]
) -> tuple[set[tuple[str, str]], Callable[[str, str], bool]]:
    """Return of what later runs replaced (run, path) those that no list needs, and what a list needs of the newest.

    The second is a function of a list's run and a path: whether the newest bytes of this path are those of that list. An
    object as of run N is what the first run after N replaced, or the newest where none did.
    """
    by_path: dict[str, list[str]] = {}
    for run, path in replaced:
        by_path.setdefault(path, []).append(run)
    for each in by_path.values():
        each.sort()

    def later(run: str, path: str) -> str | None:
        runs = by_path.get(path, [])
        place = bisect_right(runs, run)
        return runs[place] if place < len(runs) else None

    left = {(run, path) for path, found in by_path.items() for run in found}
    for run, read in lists.items():
        for kept in read():
            after = None if kept.is_odd else later(run, kept.path)
            if after is not None:
                left.discard((after, kept.path))
    return left, lambda run, path: later(run, path) is None


def without(first: Iterable[str], second: Iterable[str]) -> Iterator[str]:
    """Yield what only the first of two lists has, both in order."""
    others = iter(second)
    other = next(others, None)
    for each in first:
        while other is not None and other < each:
            other = next(others, None)
        if other != each:
            yield each


def step(snapshot: Snapshot, site: Site, backups: AbstractSet[str], epoch: float) -> Step | None:
    """Return the step that removes what has expired of the objects, None where nothing has.

    ``backups`` are the ids of all that is kept. Raises UnreadableError.
    """
    backup, _objects = configured(site)
    copied = facts_in(snapshot, ObjectCopyFacts)
    runs = expired(copied.runs, backups, backup.retention_days, epoch)
    if not runs or copied.is_busy:
        return None
    title = _(
        "Remove {count} lists of objects of {first} to {last}, and the objects that no other list names"
    )
    destroys = _("the objects as of these {count} runs, as far as no list that is kept names them")
    return Step(
        "objects.expire",
        title.format(count=len(runs), first=runs[0], last=runs[-1]),
        Risk.DESTRUCTIVE,
        operation=Operation(EXPIRE, to_builtins(Expiring(runs)), backup.server, backup.timeout),
        before=(),
        after=(),
        no_undo=_("it is removed"),
        destroys=destroys.format(count=len(runs)),
        servers=(),
        about=f"backup/{backup.server}-objects",
    )


def step_at(
    place: BackupCopy,
    snapshot: Snapshot,
    site: Site,
    backups: AbstractSet[str],
    going: AbstractSet[str],
    epoch: float,
) -> Step | None:
    """Return the step that removes from another server, by the same rule, what has expired of the objects there.

    ``backups`` are the ids of all that stays here; there those that lie beside stay, but for what is ``going`` now. None where
    nothing has expired, or it could not be looked at.
    """
    backup, _objects = configured(site)
    seen = _seen_at(place, snapshot)
    there = seen.facts if seen is not None else None
    if not isinstance(there, ObjectsElsewhere) or there.copied.is_busy:
        return None
    staying = backups | (frozenset(there.backups) - going)
    runs = expired(there.copied.runs, staying, backup.retention_days, epoch)
    if not runs:
        return None
    title = _(
        "Remove at {place} {count} lists of objects of {first} to {last}, and the objects that no other list names"
    )
    destroys = _(
        "the copies at {place} of the objects as of these {count} runs, as far as no list that is kept names them"
    )
    server = place.server or ""
    return Step(
        "objects.expire",
        title.format(place=place.name, count=len(runs), first=runs[0], last=runs[-1]),
        Risk.DESTRUCTIVE,
        operation=Operation(EXPIRE, to_builtins(Expiring(runs, place.name)), server, backup.timeout),
        before=(),
        after=(),
        no_undo=_("it is removed"),
        destroys=destroys.format(place=place.name, count=len(runs)),
        servers=(backup.server, server),
        about=f"backup/{place.name}-objects",
    )


def unseen_at(place: BackupCopy, snapshot: Snapshot) -> str:
    """Return why the copy of the objects at a place could not be looked at, or may not be touched now; else ""."""
    seen = _seen_at(place, snapshot)
    if seen is None:
        return ""
    if seen.failure is not None:
        return seen.failure.message
    is_busy = isinstance(seen.facts, ObjectsElsewhere) and seen.facts.copied.is_busy
    return _("another samaops works on the copy of the objects") if is_busy else ""


def _seen_at(place: BackupCopy, snapshot: Snapshot) -> Observation | None:
    subject = f"objects_elsewhere/{place.name}"
    return next((each for each in snapshot.observations if each.subject == subject), None)
