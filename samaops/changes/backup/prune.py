"""Remove what has expired, by the policy alone: nobody names what is removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.backup.copy import emptied_too, removable
from samaops.changes.backup.physical import FULL, stanza_in
from samaops.changes.backup.work import AS_SEEN, CATALOGUE, IS_THERE, mark, plan, section, survey_in
from samaops.changes.objects import expiring
from samaops.changes.objects.restoring import RUNS
from samaops.changes.verbs import verb
from samaops.facts.backup_run import PGBACKREST, WHOLE, Run, Survey
from samaops.facts.objects import ELSEWHERE
from samaops.facts.observation import Snapshot
from samaops.i18n import _, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Step
from samaops.model.quantities import size
from samaops.site.backup_policy import DAY_SECONDS, decide, is_damaged, is_proved, rules_of
from samaops.site.commands import samaops
from samaops.site.site import Site

REMOVE = "backup.remove"
# One plan that people can read; the rest is asked for again.
MOST_STEPS = 100


class Removing(Struct, frozen=True):
    """What is removed: a backup, its copies in those places, and its row.

    Of pgBackRest ``label`` is its name there, "" where only the row is left; the log stays since the oldest of so many full
    ones.
    """

    id: str
    engine: str
    label: str = ""
    repository: int = 1
    fulls_with_log: int = 1
    copies: tuple[str, ...] = ()


def _looks(site: Site) -> tuple[str, ...]:
    backup = section(site)
    if backup.objects is None or site.settings.minio is None:
        return CATALOGUE
    return (*CATALOGUE, *RUNS, *((ELSEWHERE,) if backup.copies else ()))


@verb("backup prune", looks=_looks)
def plan_prune(snapshot: Snapshot, site: Site) -> Plan:
    """Plan that each backup that has expired is removed, the oldest first.

    Guards: the newest run is whole, enough are proved good, and none that the policy keeps is touched.
    """
    backup, survey = section(site), survey_in(snapshot)
    decision = decide(survey.runs, survey.epoch, rules_of(backup))
    going = decision.expired[:MOST_STEPS]
    steps = tuple(_step(run, site, survey) for run in going)
    objects = () if decision.held else (
        *_objects(snapshot, site, frozenset(decision.kept), survey.epoch),
        *_objects_elsewhere(snapshot, site, survey, going),
    )  # fmt: skip
    title = ngettext(
        "Remove {count} backup that has expired", "Remove {count} backups that have expired", len(steps)
    )
    text = _("kept: {count}, of which {proved} are proved good and {pinned} pinned")
    kept = [run for run in survey.runs if run.id in decision.kept]
    notes = [
        text.format(
            count=len(kept), proved=sum(map(is_proved, kept)), pinned=sum(1 for run in kept if run.pinned)
        )
    ]
    if any(run.engine == PGBACKREST and run.state == WHOLE for run in decision.expired):
        text = _(
            "With pgBackRest's backups the log of before goes: a moment of the last {days} days can be had, and older ones only as the backups that stay have them"
        )
        notes.append(text.format(days=section(site).retention_days))
    if staying := _staying(decision.expired, site):
        text = _("Their copies at {places} stay: nothing is taken away there")
        notes.append(text.format(places=", ".join(staying)))
    notes += () if decision.held else _unseen(snapshot, site)
    if len(decision.expired) > MOST_STEPS:
        text = _("{count} more have expired; run it again for them")
        notes.append(text.format(count=len(decision.expired) - MOST_STEPS))
    if decision.held and any(reason == decision.held for reason in decision.kept.values()):
        notes += _way_on(survey, site)
    return replace(
        plan("backup prune", (), title.format(count=len(steps)), site),
        steps=(*steps, *objects),
        nothing_to_do="" if steps or objects else decision.held or _("none has expired"),
        notes=tuple(notes),
        steps_stand_alone=True,
    )


def _way_on(survey: Survey, site: Site) -> tuple[str, str]:
    """Return what has to be done before those that are too old are removed, and its command."""
    whole = [
        run for run in survey.runs if run.state == WHOLE and not run.recovered_to and not is_damaged(run)
    ]
    if len(whole) < section(site).minimum:
        text = _("What is too old stays until then. First make one more:")
        return text, samaops(site, "backup create")
    return _("What is too old stays until then. First prove those that are here:"), samaops(
        site, "backup verify --all"
    )


def _staying(expired: tuple[Run, ...], site: Site) -> tuple[str, ...]:
    """Return the names of the places where a copy of what expires is, and stays."""
    backup = section(site)
    kept = {
        name for run in expired for name in set(run.copies) - {place.name for place in removable(backup, run)}
    }
    return tuple(sorted(kept))


def _objects(snapshot: Snapshot, site: Site, kept: frozenset[str], epoch: float) -> tuple[Step, ...]:
    """Return the step for objects that no backup which is kept names; none where they are not copied."""
    if section(site).objects is None or site.settings.minio is None:
        return ()
    found = expiring.step(snapshot, site, kept, epoch)
    return (found,) if found else ()


def _objects_elsewhere(
    snapshot: Snapshot, site: Site, survey: Survey, going: Iterable[Run]
) -> Iterator[Step]:
    """Yield the same for each other server, where the lists of all backups stay that are not going now."""
    if section(site).objects is None or site.settings.minio is None:
        return
    staying = {run.id for run in survey.runs} - {run.id for run in going}
    for place in emptied_too(section(site)):
        leaving = {run.id for run in going if place.name in run.copies}
        if found := expiring.step_at(place, snapshot, site, staying, leaving, survey.epoch):
            yield found


def _unseen(snapshot: Snapshot, site: Site) -> Iterator[str]:
    for place in emptied_too(section(site)):
        if reason := expiring.unseen_at(place, snapshot):
            text = _("At {place} the objects stay until the next time: {reason}")
            yield text.format(place=place.name, reason=reason)


def _removing(run: Run, site: Site, survey: Survey) -> Removing:
    """Return what is removed. Raises UnreadableError where it is pgBackRest's, and that was not heard."""
    if run.engine != PGBACKREST or run.state != WHOLE:
        copies = tuple(place.name for place in removable(section(site), run))
        return Removing(run.id, run.engine, copies=copies)
    backups = {backup.label: backup for backup in stanza_in(survey).backups}
    repository = backups[run.label].repository
    since = survey.epoch - section(site).retention_days * DAY_SECONDS
    fulls = [backup for backup in backups.values() if (backup.kind, backup.repository) == (FULL, repository)]
    # And the one before: from it on every moment of the time that is kept can be had.
    count = sum(1 for full in fulls if full.stopped >= since) + 1
    return Removing(run.id, run.engine, run.label, repository, count)


def _step(run: Run, site: Site, survey: Survey) -> Step:
    server = section(site).server
    copies = removable(section(site), run)
    title, destroys = _words(run, ", ".join(place.name for place in copies))
    return Step(
        REMOVE,
        title,
        Risk.DESTRUCTIVE,
        Operation(REMOVE, to_builtins(_removing(run, site, survey)), server, 600.0),
        before=(Condition(IS_THERE, (run.id,), True, _("{id} is there").format(id=run.id)),),
        after=(Condition(IS_THERE, (run.id,), False, _("{id} is not there").format(id=run.id)),),
        needs=(Condition(AS_SEEN, (run.id, mark(run)), True, _("{id} is as it was seen").format(id=run.id)),),
        no_undo=_("it is removed"),
        destroys=destroys,
        servers=(server, *(place.server or "" for place in copies)),
        about=f"backup/{run.id}",
    )


def _words(run: Run, places: str) -> tuple[str, str]:
    """Return what is removed of a run and of its copies in those places ("" for none), and what is lost by it."""
    is_here = run.state == WHOLE
    if places:
        text = (
            _("Remove {id} of {date} ({size}, {proof}) here and at {places}")
            if is_here
            else _("Remove {id} of {date} at {places}, and its row: {state} here")
        )
        destroys = _("the backup {id} and its copies; no undo brings them back")
    elif is_here:
        text, destroys = (
            _("Remove {id} of {date} ({size}, {proof})"),
            _("the backup {id}; no undo brings it back"),
        )
    else:
        text, destroys = (
            _("Remove the row of {id} of {date}: {state}"),
            _("the row of {id}, which is no backup"),
        )
    title = text.format(
        id=run.id,
        date=run.started_at[:10],
        size=size(run.bytes or 0),
        proof=_proof(run),
        state=run.state,
        places=places,
    )
    return title, destroys.format(id=run.id)


def _proof(run: Run) -> str:
    if is_damaged(run):
        return _("damaged")
    return _("proved good") if is_proved(run) else _("never proved")
