"""Make a backup: a row first, then the dump, what a bad day needs besides, the proof, its name, the row again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.backup import physical
from samaops.changes.backup.work import CATALOGUE, plan, section, survey_in
from samaops.changes.beside import Work
from samaops.changes.postgresql.sessions import BACKENDS, require_configured
from samaops.changes.postgresql.upkeep_work import RELATIONS, require_alone, upkeep_facts
from samaops.changes.readings import known
from samaops.changes.verbs import verb
from samaops.config.backup_settings import Backup
from samaops.errors import RefusedError
from samaops.facts.backup_run import DUMP, KILLED, PGBACKREST, RUNNING, WHOLE, Run, Survey, epoch_of
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Plan, Risk, Step
from samaops.model.quantities import duration, size
from samaops.site.commands import typed
from samaops.site.site import Site

CREATE = "backup.create"
# Of the last one: for what is written beside it, and what has come since.
ROOM_FACTOR = 1.3
MOST_JOBS = 4
_CONTAINERS = ("docker.container",)


class Creating(Struct, frozen=True):
    """A run as data.

    ``bytes`` and ``seconds`` are those of the last one, None where there was none. ``dead`` are the ids of runs that died:
    what is left of them is removed first. ``images`` are the ids of the application's images by container.
    """

    database: str
    port: int
    major: int
    jobs: int
    bytes: int | None
    seconds: float | None
    dead: tuple[str, ...]
    images: Mapping[str, str]
    # Of pgBackRest: "full", "diff" or "incr".
    kind: str = ""


def operation(of: Creating, server: str, timeout_seconds: float) -> Operation:
    """Return the operation that does it."""
    arguments: Mapping[str, Any] = to_builtins(of)
    return Operation(physical.CREATE if of.kind else CREATE, arguments, server, timeout_seconds)


def _looks(site: Site) -> tuple[str, ...]:
    section(site)
    require_configured(site)
    return (*CATALOGUE, *BACKENDS, *RELATIONS, *(_CONTAINERS if site.settings.docker else ()))


@verb("backup create", looks=_looks)
def plan_create(snapshot: Snapshot, site: Site) -> Plan:
    """Plan a backup of the database and its surroundings.

    Guards: room for it, the server's own pg_dump, no other run, nobody at work beside whom a dump does not begin.
    """
    backup, server = section(site), require_configured(site)
    survey = survey_in(snapshot)
    facts = upkeep_facts(snapshot)
    postgresql = site.settings.postgresql
    assert postgresql is not None
    major = facts.version_number // 10_000
    is_physical = backup.engine == PGBACKREST
    _require_here(backup, server)
    _require_none_running(survey)
    _require_programs(survey, major)
    require_alone(snapshot, postgresql.database, Work.BACKUP if is_physical else Work.DUMP)
    choice = None
    if is_physical:
        physical.require_stanza(survey, backup)
        choice = physical.choose(survey, backup)
        last = physical.last_of(survey, choice.kind)
    else:
        last = next((run for run in survey.runs if run.state == WHOLE and run.engine == DUMP), None)
    relations = known(facts.upkeep_relations, _("how large the database is"))
    expected = int((last.bytes if last else None) or sum(relation.size_bytes for relation in relations))
    if not is_physical:  # where pgBackRest has its repository is its own business
        _require_room(backup, survey, expected)
    dead = tuple(run.id for run in survey.runs if run.state == KILLED)
    seconds = _seconds(last) if last else None
    wanted = Creating(
        postgresql.database, postgresql.port, major, backup.jobs or jobs(survey.processors),
        last.bytes if last else None, seconds, dead, _images(snapshot), choice.kind if choice else "",
    )  # fmt: skip
    title = _title(backup, postgresql.database, choice)
    step = Step(
        CREATE,
        title,
        Risk.SAFE,
        operation(wanted, backup.server, backup.timeout),
        before=(),
        after=(),
        no_undo=_("nothing that anybody uses is changed by it; it goes in its time: {command}").format(
            command=typed(site, "backup prune")
        ),
        servers=(backup.server,),
        about=f"backup/{site.name}",
    )
    notes = (
        *_expected(last, seconds, expected, is_first=last is None and choice is None),
        *_notes(site, backup, dead),
        *(_of_dump(backup) if choice is None else _of_physical(site, choice)),
    )
    return replace(plan("backup create", (), title, site), steps=(step,), notes=notes)


def _title(backup: Backup, database: str, choice: physical.Choice | None) -> str:
    directory = f"{backup.directory.rstrip('/')}/samaops"
    if choice is None:
        return _("Back up {database} into {directory}").format(database=database, directory=directory)
    texts = {
        physical.FULL: _("Make a full backup of the cluster of {database} with pgBackRest (stanza {stanza})"),
        physical.DIFFERENTIAL: _(
            "Make a differential backup of the cluster of {database} with pgBackRest (stanza {stanza})"
        ),
        physical.INCREMENTAL: _(
            "Make an incremental backup of the cluster of {database} with pgBackRest (stanza {stanza})"
        ),
    }
    return texts[choice.kind].format(database=database, stanza=backup.stanza)


def jobs(processors: int) -> int:
    """Return how many processes read at once: one processor is left to the others."""
    return max(1, min(MOST_JOBS, processors - 1))


def _require_here(backup: Backup, server: str) -> None:
    if backup.server != server:
        text = _(
            "[backup] server is {server}, the database is on {database}: a dump is made on the database's own server, "
            "and copied from there ([[backup.copies]])"
        )
        raise RefusedError(text.format(server=backup.server, database=server), hint="samaops config show")


def _require_none_running(survey: Survey) -> None:
    for run in survey.runs:
        if run.state == RUNNING:
            text = _("Another run goes on: {id}, begun by {who}")
            raise RefusedError(text.format(id=run.id, who=run.by or "?"), hint="samaops backup list")


def _require_programs(survey: Survey, major: int) -> None:
    if major not in survey.majors:
        text = _("The server has no pg_dump of PostgreSQL {major}, its own version; it has {majors}")
        majors = ", ".join(map(str, survey.majors)) or _("none")
        raise RefusedError(
            text.format(major=major, majors=majors), hint=f"apt-get install postgresql-client-{major}"
        )


def _require_room(backup: Backup, survey: Survey, expected: int) -> None:
    needed = round(expected * ROOM_FACTOR)
    if survey.free_bytes < needed:
        text = _("{directory} has {free} free, and a backup may need {needed}")
        words = {"directory": backup.directory, "free": size(survey.free_bytes), "needed": size(needed)}
        raise RefusedError(text.format(**words), hint="samaops backup prune")


def _seconds(last: Run) -> float | None:
    return epoch_of(last.ended_at) - epoch_of(last.started_at) if last.ended_at else None


def _images(snapshot: Snapshot) -> dict[str, str]:
    return {
        f"{observation.server}/{container.name}": container.image_id
        for observation, docker in snapshot.facts_of(DockerFacts)
        for container in docker.containers
    }


def _expected(last: Run | None, seconds: float | None, expected: int, *, is_first: bool) -> Iterator[str]:
    if is_first:
        yield _("It is the first; it will have less than the {size} of the database").format(
            size=size(expected)
        )
    elif last is not None and seconds is not None:
        text = _("About {size} in about {seconds}, as the last one: {id}")
        yield text.format(size=size(expected), seconds=duration(max(1.0, seconds)), id=last.id)


def _notes(site: Site, backup: Backup, dead: tuple[str, ...]) -> Iterator[str]:
    if dead:
        text = _("What is left of runs that died is removed first: {ids}")
        yield text.format(ids=", ".join(dead))
    if backup.recipient is None:
        yield _(
            "Left out, since [backup] recipient names nobody to whom they could be encrypted: .env files, RabbitMQ's "
            "definitions, Redis' data, PgBouncer's userlist, the configuration of samaops"
        )
    if site.settings.minio is not None and backup.objects is None:
        yield _("The objects of MinIO are not among it: [backup.objects] is not configured")


def _of_physical(site: Site, choice: physical.Choice) -> Iterator[str]:
    text = _("Its kind is {kind}: {reason}")
    yield text.format(kind=choice.kind, reason=choice.reason)
    text = _(
        "It is proved by {command}, which reads all of the repository, or by a drill; nothing expires by it"
    )
    yield text.format(command=typed(site, "backup verify"))


def _of_dump(backup: Backup) -> Iterator[str]:
    text = _(
        "Whoever alters a table waits until the dump has ended, and may end it; a table that others have locked is waited "
        "for at most {seconds:g} s"
    )
    yield text.format(seconds=backup.lock_wait)
