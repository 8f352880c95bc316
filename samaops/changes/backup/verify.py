"""Prove backups again: their sums, and that each can be read through to its end."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.backup.work import CATALOGUE, LATEST, named, plan, require_provable, section, survey_in
from samaops.changes.objects import proving
from samaops.changes.objects.restoring import RUNS
from samaops.changes.verbs import verb
from samaops.errors import UsageError
from samaops.facts.backup_run import GUIDE, PGBACKREST, UNLISTED, WHOLE, Run
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import LeftOut, Operation, Plan, Risk, Step
from samaops.model.quantities import size
from samaops.site.site import Site

VERIFY, REPOSITORY = "backup.verify", "backup.verify_repository"
STORED, READABLE = "stored", "readable"
ALL = "--all"


class Verifying(Struct, frozen=True):
    """One proof as data. ``majors`` are those of which the server has PostgreSQL's programs.

    ``started_at`` and ``bytes`` are those of a guide's dump that has no row yet.
    """

    id: str
    engine: str
    grade: str
    majors: tuple[int, ...]
    jobs: int
    started_at: str
    bytes: int | None


def _looks(site: Site, *arguments: str) -> tuple[str, ...]:
    backup, (word, _grade) = section(site), words(arguments)
    # Of one backup: those of all would be read as often as there are backups.
    has_objects = word != ALL and backup.objects is not None and site.settings.minio is not None
    return (*CATALOGUE, *(RUNS if has_objects else ()))


def words(arguments: Iterable[str]) -> tuple[str, str]:
    """Return which backup is meant and how far it is proved. Raises UsageError."""
    given = list(arguments)
    grade = READABLE
    if "--grade" in given:
        place = given.index("--grade")
        grade = given[place + 1] if place + 1 < len(given) else ""
        del given[place : place + 2]
    if grade not in (STORED, READABLE):
        text = _("--grade: {grade!r} is neither stored nor readable")
        raise UsageError(text.format(grade=grade), hint="samaops backup verify --grade readable")
    if len(given) > 1:
        raise UsageError(_("one backup, or --all"), hint="samaops backup list")
    return (given[0] if given else LATEST), grade


@verb("backup verify", looks=_looks)
def plan_verify(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan that one backup or all are proved; each by itself."""
    backup, (word, grade) = section(site), words(arguments)
    survey = survey_in(snapshot)
    left_out: list[LeftOut] = []
    if word == ALL:
        runs = [run for run in survey.runs if run.state in (WHOLE, UNLISTED)]
    else:
        runs = [named(survey, word)]
        require_provable(runs[0])
    if grade == STORED:
        reason = _("a dump of the guide has no sums; --grade readable proves it")
        left_out = [LeftOut(f"backup/{run.id}", reason) for run in runs if run.engine == GUIDE]
        runs = [run for run in runs if run.engine != GUIDE]
    jobs = backup.jobs or max(1, survey.processors - 1)
    physical = tuple(run for run in runs if run.engine == PGBACKREST)
    runs = [run for run in runs if run.engine != PGBACKREST]
    steps = tuple(_step(run, grade, survey.majors, jobs, site) for run in runs)
    if word != ALL and backup.objects is not None and site.settings.minio is not None:
        objects = proving.step(snapshot, site, runs[0].id) if runs else None
        steps = (*steps, *((objects,) if objects else ()))
    if physical:
        steps = (*steps, _of_repository(site))
    what = _("Check the sums of backups") if grade == STORED else _("Read backups through to their end")
    return replace(
        plan("backup verify", tuple(arguments), what, site),
        steps=steps,
        nothing_to_do="" if steps else _("there is none"),
        left_out=tuple(left_out),
        steps_stand_alone=True,
    )


def _of_repository(site: Site) -> Step:
    """Return the step that proves all that pgBackRest has: it proves all at once, or none."""
    backup = section(site)
    return Step(
        REPOSITORY,
        _("Read all of pgBackRest's repository (stanza {stanza}) through to its end, backups and log").format(
            stanza=backup.stanza
        ),
        Risk.SAFE,
        Operation(REPOSITORY, {}, backup.server, backup.timeout),
        before=(),
        after=(),
        no_undo=_("nothing is changed by it but what is known of the backup"),
        servers=(backup.server,),
        about=f"backup/{backup.stanza}",
    )


def _step(run: Run, grade: str, majors: tuple[int, ...], jobs: int, site: Site) -> Step:
    backup = section(site)
    of = Verifying(run.id, run.engine, grade, majors, jobs, run.started_at, run.bytes)
    text = _("Check the sums of {id}") if grade == STORED else _("Read {id} ({size}) through to its end")
    return Step(
        VERIFY,
        text.format(id=run.id, size=size(run.bytes or 0)),
        Risk.SAFE,
        Operation(VERIFY, to_builtins(of), backup.server, backup.timeout),
        before=(),
        after=(),
        no_undo=_("nothing is changed by it but what is known of the backup"),
        servers=(backup.server,),
        about=f"backup/{run.id}",
    )
