"""Copy a backup to another place: another server, or a repository of restic that is only added to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.backup.work import CATALOGUE, LATEST, named, plan, require_whole, section, survey_in
from samaops.changes.readings import reading
from samaops.changes.verbs import verb
from samaops.config.backup_settings import Backup, BackupCopy
from samaops.errors import RefusedError, UsageError
from samaops.facts.backup_run import DUMP, Run, Survey
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import size
from samaops.site.site import Site

COPY, COPIED = "backup.copy", "backup.copied"


class Copying(Struct, frozen=True):
    """Which backup goes where. ``has_others``: some are there already, so a place that is empty is not the right one."""

    id: str
    to: str
    has_others: bool


@reading(COPIED, codes=CATALOGUE)
def copied(snapshot: Snapshot, identifier: str, to: str) -> Scalar:
    """Return whether the catalogue knows a copy of a backup in a place."""
    return any(run.id == identifier and to in run.copies for run in survey_in(snapshot).runs)


def places(backup: Backup, name: str = "") -> tuple[BackupCopy, ...]:
    """Return the places for copies, or the one of this name. Raises UsageError, RefusedError where there is none."""
    if not backup.copies:
        hint = "samaops explain backup.copy.missing"
        raise RefusedError(_("[[backup.copies]] is not configured: there is no other place"), hint=hint)
    found = tuple(place for place in backup.copies if name in ("", place.name))
    if not found:
        known = ", ".join(place.name for place in backup.copies)
        raise UsageError(
            _("There is no place {name!r} for copies; there are {known}").format(name=name, known=known)
        )
    return found


def removable(backup: Backup, run: Run) -> tuple[BackupCopy, ...]:
    """Return the places from which a copy goes when its backup expires; restic's are only added to."""
    return tuple(place for place in emptied_too(backup) if place.name in run.copies)


def emptied_too(backup: Backup) -> tuple[BackupCopy, ...]:
    """Return the places from which goes what has expired here."""
    return tuple(place for place in backup.copies if place.kind == "server" and not place.keep_expired)


def words(arguments: Iterable[str]) -> tuple[str, str]:
    """Return which backup is meant, and to where; "" stands for all places. Raises UsageError."""
    given, to = list(arguments), ""
    if "--to" in given:
        at = given.index("--to")
        to = given[at + 1] if at + 1 < len(given) else ""
        del given[at : at + 2]
    if len(given) > 1:
        raise UsageError(_("one backup at a time"), hint="samaops backup list")
    return (given[0] if given else LATEST), to


def directory_at(place: BackupCopy, site: str) -> str:
    """Return where a site's copies are on the server of a place."""
    return place.directory_of(site)


def where(place: BackupCopy) -> str:
    """Return where a place is, as people read it."""
    return f"{place.server}:{place.directory}" if place.kind == "server" else place.repository


def _looks(site: Site, *arguments: str) -> tuple[str, ...]:
    places(section(site), words(arguments)[1])
    return CATALOGUE


@verb("backup copy", looks=_looks)
def plan_copy(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan that a backup goes to each other place that does not have it yet.

    Guards: it is whole, and made by samaops: the copy is proved by the sums in its manifest.
    """
    backup, (word, to) = section(site), words(arguments)
    survey = survey_in(snapshot)
    run = named(survey, word)
    require_whole(run)
    if run.engine != DUMP:
        raise RefusedError(_("{id} has no sums by which a copy could be proved").format(id=run.id))
    wanted = places(backup, to)
    steps = tuple(_step(run, place, survey, site) for place in wanted if place.name not in run.copies)
    title = _("Copy {id} ({size}) to {places}").format(
        id=run.id, size=size(run.bytes or 0), places=", ".join(place.name for place in wanted)
    )
    nothing = _("{id} is there already, since {time}")
    times = [run.copies[place.name] for place in wanted if place.name in run.copies]
    return replace(
        plan("backup copy", tuple(arguments), title, site),
        steps=steps,
        nothing_to_do="" if steps else nothing.format(id=run.id, time=max(times)),
        notes=tuple(_notes(wanted, run)),
        steps_stand_alone=True,
    )


def _notes(wanted: tuple[BackupCopy, ...], run: Run) -> Iterator[str]:
    for place in wanted:
        if place.name in run.copies:
            yield _("{name} has it already, since {time}").format(
                name=place.name, time=run.copies[place.name]
            )


def _step(run: Run, place: BackupCopy, survey: Survey, site: Site) -> Step:
    backup = section(site)
    if place.kind == "server" and (
        place.server == backup.server or place.server not in site.settings.servers
    ):
        text = _("[[backup.copies]] {name}: server {server!r} is not another server of [servers]")
        raise RefusedError(text.format(name=place.name, server=place.server))
    if place.kind == "restic" and (not place.repository or place.password is None):
        text = _("[[backup.copies]] {name}: repository and password are not configured")
        raise RefusedError(text.format(name=place.name))
    has_others = any(place.name in each.copies for each in survey.runs)
    of = Copying(run.id, place.name, has_others)
    is_copied = _("{name} has a copy of {id}").format(name=place.name, id=run.id)
    return Step(
        COPY,
        _("Copy {id} to {name} ({where}) and see that it is whole there").format(
            id=run.id, name=place.name, where=where(place)
        ),
        Risk.SAFE,
        Operation(COPY, to_builtins(of), backup.server, backup.timeout),
        before=(),
        after=(Condition(COPIED, (run.id, place.name), True, is_copied),),
        no_undo=_("a copy takes nothing away"),
        servers=(backup.server, *((place.server,) if place.kind == "server" else ())),
        about=f"backup/{run.id}",
    )
