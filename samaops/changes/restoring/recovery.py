"""The database as it was at a moment: recovered beside the cluster by pgBackRest, and then restored as any backup is.

What is recovered is a cluster of its own, in a directory of its own, that nobody else reaches. Of it a dump is made, read
through and put into the catalogue; from there on all is as with any other backup, the way back too.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from msgspec import Struct

from samaops.changes.backup.physical import STANZA_OK, stanza_in
from samaops.changes.backup.work import named, require_whole
from samaops.changes.restoring.work import RECOVER, SPACE_FACTOR, backup_of, configured, facts, operation
from samaops.errors import RefusedError, UsageError
from samaops.facts.backup_run import PGBACKREST, Physical, Run, Survey
from samaops.facts.observation import Snapshot
from samaops.facts.restoring import RestoringFacts, Source
from samaops.i18n import _
from samaops.model.plan import Risk, Step
from samaops.model.quantities import duration, moment, size
from samaops.site.backup_policy import is_damaged
from samaops.site.commands import typed
from samaops.site.site import Site

TO = "--to"
IMMEDIATE = ""
# Of a cluster that is recovered and read: itself, and the log that it needs meanwhile.
_TRIAL_FACTOR = 1.2


class Recovering(Struct, frozen=True):
    """A cluster that is recovered beside the live one, and the dump of a database of it: the backup ``id``.

    ``label`` is pgBackRest's name of what it begins with, in that repository; ``target`` the moment in UTC, as PostgreSQL
    reads it, and IMMEDIATE for the end of that backup itself. ``bytes`` are those of the cluster.
    """

    id: str
    label: str
    repository: int
    target: str
    database: str
    port: int
    major: int
    jobs: int
    bytes: int


class Trying(Struct, frozen=True):
    """A trial of a backup of pgBackRest, known here as ``run``: it is recovered to its own end, read, and goes again."""

    run: str
    recovering: Recovering


def moment_in(arguments: tuple[str, ...]) -> datetime | None:
    """Return the moment that is meant instead of a backup. Raises UsageError."""
    if TO not in arguments:
        return None
    try:
        _option, text = arguments
        found = datetime.fromisoformat(text)
    except ValueError:
        hint = "samaops restore db --to '2026-11-28 14:30'"
        raise UsageError(_("--to: a moment, and no backup beside it"), hint=hint) from None
    return found.astimezone(timezone.utc)


def source(snapshot: Snapshot, site: Site, to: datetime) -> tuple[Source, Physical]:
    """Return what will be restored, and the backup that its recovery begins with.

    Guards: pgBackRest is the engine and its stanza is well; the moment is past, and no older than the oldest backup; no
    tablespace lies where the recovered cluster would write; there is room. Raises RefusedError, UnreadableError.
    """
    seen, backup = facts(snapshot), backup_of(site)
    if backup.engine != PGBACKREST:
        text = _(
            'A moment can be had only with [backup] engine = "pgbackrest": a dump is restored as it was made'
        )
        raise RefusedError(text, hint=typed(site, "backup list"))
    survey = survey_in(seen)
    stanza = stanza_in(survey)
    if stanza.code != STANZA_OK:
        text = _("pgBackRest's stanza {name} is not in order: {message}")
        raise RefusedError(
            text.format(name=stanza.name, message=stanza.message), hint=typed(site, "diagnose --only backup")
        )
    _require_recoverable(seen)
    physical = _beginning(site, survey, seen, to)
    live = seen.database(configured(site).database)
    _require_room(site, seen, survey, physical, live.bytes if live else physical.database_bytes)
    return _source_of(site, seen, to, physical), physical


def _source_of(site: Site, seen: RestoringFacts, to: datetime, physical: Physical) -> Source:
    return Source(
        id=_new_id(seen),
        path="",
        directory="",
        site=site.settings.site,
        database=configured(site).database,
        version=physical.version,
        epoch=to.timestamp(),
        bytes=physical.database_bytes,
        state="",
        grades=Run("", "", "", "", "").grades,
        rows={},
        newest={},
        properties=None,
        indexes=0,
        constraints=0,
        is_ours=True,
    )


def survey_in(seen: RestoringFacts) -> Survey:
    """Return what backups there are. Raises RefusedError."""
    if seen.survey is None:
        raise RefusedError(_("it is not known {what}").format(what=_("what backups there are")))
    return seen.survey


def _require_recoverable(seen: RestoringFacts) -> None:
    if seen.in_recovery:
        raise RefusedError(_("the server is a standby: nothing can be restored there"))
    if seen.tablespaces:
        text = _(
            "The cluster has tablespaces of its own ({names}): a second cluster beside it could write into them. Recover it on another server by hand: docs/restore.md"
        )
        raise RefusedError(text.format(names=", ".join(seen.tablespaces[:5])), hint="samaops docs restore")


def _beginning(site: Site, survey: Survey, seen: RestoringFacts, to: datetime) -> Physical:
    """Return the newest backup that had ended before a moment, and is not known to be damaged. Raises RefusedError."""
    when = to.timestamp()
    hint = typed(site, "backup list")
    if when > seen.epoch:
        raise RefusedError(_("{moment} is still to come").format(moment=shown(to)), hint=hint)
    damaged = {run.label for run in survey.runs if run.label and is_damaged(run)}
    backups = stanza_in(survey).backups
    usable = [each for each in backups if each.label not in damaged and not each.has_error]
    # pgBackRest tells whole seconds: it may have ended later in that second, and is of no use before its end.
    before = [each for each in usable if each.stopped + 1.0 <= when]
    if not before:
        oldest = min((each.stopped for each in usable), default=None)
        text = _("Nothing reaches back to {moment}: the oldest backup that could be used ended {oldest}")
        words = text.format(moment=shown(to), oldest=moment(oldest) if oldest else _("never"))
        raise RefusedError(words, hint=hint)
    chosen = max(before, key=lambda each: each.stopped)
    _require_major(site, seen, chosen)
    return chosen


def _require_major(site: Site, seen: RestoringFacts, physical: Physical) -> None:
    if physical.version.split(".", maxsplit=1)[0] != str(seen.major):
        text = _("{label} is of PostgreSQL {theirs}, and ours is {ours}")
        words = text.format(label=physical.label, theirs=physical.version, ours=seen.major)
        raise RefusedError(words, hint=typed(site, "backup list"))


def _new_id(seen: RestoringFacts) -> str:
    return f"{datetime.fromtimestamp(seen.epoch, timezone.utc):%Y%m%dT%H%M%SZ}-{seen.token[:4]}"


def _require_room(
    site: Site, seen: RestoringFacts, survey: Survey, physical: Physical, live_bytes: int
) -> None:
    """Raise RefusedError where the cluster, its dump and the new database would not all have room."""
    beside, inside = physical.database_bytes + live_bytes, round(live_bytes * SPACE_FACTOR)
    directory = backup_of(site).directory
    one_disk = survey.is_on_data_disk is not False
    needs = (
        [(survey.free_bytes, beside + inside, directory)]
        if one_disk
        else [(survey.free_bytes, beside, directory), (seen.free_bytes, inside, _("the disk of the data"))]
    )
    for free, need, where in needs:
        if free < need:
            text = _(
                "Not enough room in {where} to recover beside the database: {free} free, about {need} needed"
            )
            raise RefusedError(
                text.format(where=where, free=size(free), need=size(need)), hint=typed(site, "backup prune")
            )


def step(site: Site, seen: RestoringFacts, of: Source, physical: Physical, to: datetime) -> Step:
    """Return the step that makes a backup of the moment; the live cluster gets one empty transaction by it."""
    backup = backup_of(site)
    recovering = Recovering(
        id=of.id,
        label=physical.label,
        repository=physical.repository,
        target=written(to),
        database=of.database,
        port=configured(site).port,
        major=seen.major,
        jobs=backup.jobs or max(1, min(4, seen.processors - 1)),
        bytes=physical.database_bytes,
    )
    text = _(
        "Recover the cluster as of {moment} beside the live one, from {label}, and dump {database} of it as {id}"
    )
    return Step(
        id=RECOVER,
        title=text.format(moment=shown(to), label=physical.label, database=of.database, id=of.id),
        risk=Risk.SAFE,
        operation=operation(RECOVER, recovering, site, backup.timeout),
        before=(),
        after=(),
        no_undo=_("the dump is a backup as any other; it goes in its time: {command}").format(
            command=typed(site, "backup prune")
        ),
        servers=(),
    )


def physical_run(seen: RestoringFacts, wanted: str) -> Run | None:
    """Return the backup that a word means, where it is one of pgBackRest. Raises UsageError."""
    if seen.survey is None:
        return None
    run = named(seen.survey, wanted)
    return run if run.engine == PGBACKREST else None


def trial(site: Site, seen: RestoringFacts, run: Run) -> tuple[Trying, Physical]:
    """Return what a trial of a backup of pgBackRest is.

    Guards: it is whole and of this major, no tablespace lies where it would write, there is room for it. Raises
    RefusedError, UnreadableError.
    """
    require_whole(run)
    _require_recoverable(seen)
    survey, backup = survey_in(seen), backup_of(site)
    physical = next(each for each in stanza_in(survey).backups if each.label == run.label)
    _require_major(site, seen, physical)
    need = round(physical.database_bytes * _TRIAL_FACTOR)
    if survey.free_bytes < need:
        text = _(
            "Not enough room in {where} to recover beside the database: {free} free, about {need} needed"
        )
        words = text.format(where=backup.directory, free=size(survey.free_bytes), need=size(need))
        raise RefusedError(words, hint=typed(site, "backup prune"))
    recovering = Recovering(
        id=_new_id(seen),
        label=physical.label,
        repository=physical.repository,
        target=IMMEDIATE,
        database=configured(site).database,
        port=configured(site).port,
        major=seen.major,
        jobs=1,
        bytes=physical.database_bytes,
    )
    return Trying(run.id, recovering), physical


def written(to: datetime) -> str:
    """Return a moment as PostgreSQL and pgBackRest read it."""
    return f"{to.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S.%f}+00"


def shown(to: datetime) -> str:
    """Return a moment for people, to the second: what was done a second later is not in it."""
    return f"{to.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def notes(seen: RestoringFacts, of: Source, physical: Physical) -> Iterator[str]:
    """Yield what people should know of a recovery."""
    text = _(
        "It begins with {label}, which ended {age} before that moment, and follows the log from there: {size} are recovered, then dumped, then restored"
    )
    yield text.format(
        label=physical.label,
        age=duration(max(0.0, of.epoch - physical.stopped)),
        size=size(physical.database_bytes),
    )
    yield _(
        "All that was committed until that moment is in it, and nothing after; the other databases and the cluster itself stay as they are"
    )
    if seen.survey is not None and seen.survey.is_on_data_disk is not False:
        yield _("It is recovered on the disk of the data, which must have room for three of it")
