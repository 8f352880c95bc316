"""Recover a cluster beside the live one with pgBackRest, and make a dump of it; or try whether that can be done at all."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from msgspec import convert
from msgspec.structs import replace

from samaops.changes.backup.create import Creating
from samaops.changes.restoring.recovery import Recovering, Trying
from samaops.changes.restoring.work import RECOVER, TRY
from samaops.changes.run import progress
from samaops.changes.run.backup_create import Creation, configured, now, stored
from samaops.changes.run.backup_physical import as_typed, ran
from samaops.changes.run.operations import runs
from samaops.clients import backup_dump, pgbackrest, server_job
from samaops.clients import pgbackrest_side as side
from samaops.clients.backup_dump import ASK_SECONDS, Database
from samaops.clients.backup_store import Store
from samaops.clients.database_server import DatabaseServer
from samaops.clients.errors import ClientError
from samaops.clients.server_job import ServerJob
from samaops.clients.shells import ShellPool
from samaops.config.backup_settings import Backup, BackupHook
from samaops.facts.backup_run import PARTIAL, Grade, Manifest, Part, Run
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import duration, size
from samaops.site.site import Site

PLACE = "recovery"
# From a commit to its segment in the archive: pgbackrest's own archive-timeout is a minute.
_REACH_SECONDS = 180.0
_LOOK_SECONDS = 0.5
_END_SECONDS = 60.0
_MOST_NAMED, _MOST_CHARACTERS = 5, 400


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of, backup = convert(operation.arguments, Recovering), configured(site)
    place = f"{backup.directory.rstrip('/')}/samaops/{of.id}{PARTIAL}/{PLACE}"
    programs = backup_dump.programs_of(of.major)
    restore = side.restore_script(backup, place, of.label, of.repository, of.target).splitlines()[-1]
    commands = (
        *((pgbackrest.check(backup),) if of.target else ()),
        restore.removeprefix("exec nice -n 10 "),
        f"{programs}/pg_dump -F d -Z 1 -j {of.jobs} -h {shlex.quote(place)} -p {side.PORT} {shlex.quote(of.database)}",
        f"rm -rf {shlex.quote(place)}",
    )
    lines = [as_typed(site, operation.server, command) for command in commands]
    return (*lines[:-2], _follows(), *lines[-2:])


def _follows() -> str:
    return _(
        "# PostgreSQL follows the log there: no network, no archiving, nothing that the live one is set up to do"
    )


@runs(RECOVER, lines=_lines)
def recover(operation: Operation, site: Site) -> Outcome:
    """Make a backup of a moment. Raises ClientError where not even its row could be written: then nothing was begun."""
    shells, backup = ShellPool(site.settings), configured(site)
    try:
        store = Store(shells.of(backup.server), backup, site.name)
        return Recovery(convert(operation.arguments, Recovering), store, site, shells).make()
    finally:
        shells.close()


class Recovery(Creation):
    """The dump of a recovered cluster on its way."""

    def __init__(self, of: Recovering, store: Store, site: Site, shells: ShellPool) -> None:
        creating = Creating(of.database, of.port, of.major, of.jobs, None, None, (), {})
        super().__init__(creating, store, site, shells, of.id)
        self._recovering = of
        # Its age is that of what it holds.
        self._row = replace(self._row, started_at=_iso(of.target), recovered_to=_iso(of.target))

    def _make(self, job: ServerJob, path: str) -> Manifest:
        _reach(job, self._store, self._recovering)
        with recovered(job, self._store, self._recovering, f"{path}/{PLACE}") as database:
            version = backup_dump.version(job, database)
            about = backup_dump.about(job, database)
            self._dump(job, database, path)
            parts = self._roles(job, database, path)
        seen = self._read(job, database, path)
        manifest = self._manifest(job, path, about, parts, version=version, seen=seen, objects=None)
        return replace(manifest, recovered_to=self._row.recovered_to, label=self._recovering.label)

    def _roles(self, job: ServerJob, database: Database, path: str) -> tuple[Part, ...]:
        """Keep the roles as they were then: one that was dropped since would be missed."""
        command = f"{database.environment()}exec {database.program('pg_dumpall')} -w --globals-only"
        done = job.run(f"{command} -f {shlex.quote(path)}/globals.sql", ASK_SECONDS)
        if done.exit_code:
            raise ClientError(FailureKind.ERROR, backup_dump.last_words(done.stderr), "pg_dumpall")
        return (Part("globals", ("globals.sql",)),)

    def _known(self) -> dict[str, Any]:
        return {"recovered_to": self._row.recovered_to}

    def _hook(self, job: ServerJob, name: BackupHook, state: str) -> None:
        """The site's hooks are for its backups; this is the beginning of a restore."""

    def _after(self, name: BackupHook, state: str) -> None:
        """As above."""


def _iso(target: str) -> str:
    """Return a moment as PostgreSQL reads it as the rows have it."""
    return target.replace(" ", "T") + ":00" if target else ""


def _reach(job: ServerJob, store: Store, of: Recovering) -> None:
    """See that the archive has the log up to the moment and past it. Raises ClientError."""
    if not of.target:
        return
    progress.tell(_("the log is switched, and waited for in the archive"))
    # Recovery ends before the first commit after the moment, and fails where there is none.
    DatabaseServer(store.shell, store.backup.os_user, of.port).ask("mark", ASK_SECONDS)
    ran(job, pgbackrest.check(store.backup), _REACH_SECONDS, "pgbackrest check")


@contextmanager
def recovered(job: ServerJob, store: Store, of: Recovering, place: str) -> Iterator[Database]:
    """Yield where the recovered database is; when this ends, for whatever reason, nothing of the cluster is left."""
    backup, programs = store.backup, backup_dump.programs_of(of.major)
    try:
        _lay_out(job, backup, of, place)
        with server_job.begun(store.shell, backup.os_user) as cluster:
            cluster.start(side.serve_script(backup, place, programs))
            try:
                _await(job, cluster, of, place, backup.timeout)
                yield Database(of.database, side.PORT, place, programs)
            finally:
                with suppress(ClientError):  # the end of its own job ends it too
                    job.run(side.end_script(place, programs), _END_SECONDS)
    finally:
        with suppress(ClientError):  # whoever discards the directory of the run removes it
            job.run(side.remove_script(place), backup.timeout)


def _lay_out(job: ServerJob, backup: Backup, of: Recovering, place: str) -> None:
    began = time.monotonic()
    text = _("pgBackRest lays out {label}: {size} of {all}, since {seconds}")

    def tell(words: str) -> None:
        done = int(words) if words.isdecimal() else 0
        progress.tell(
            text.format(
                label=of.label,
                size=size(done),
                all=size(of.bytes),
                seconds=duration(time.monotonic() - began),
            )
        )

    script = side.restore_script(backup, place, of.label, of.repository, of.target)
    done = job.run(script, backup.timeout, f"du -sb {shlex.quote(place)} | cut -f 1", tell)
    if done.exit_code:
        words = pgbackrest.last_words(done.stderr or done.stdout)
        raise ClientError(FailureKind.ERROR, words, "pgbackrest restore")


def _await(job: ServerJob, cluster: ServerJob, of: Recovering, place: str, seconds: float) -> None:
    """Wait until the recovered cluster serves. Raises ClientError with its own reason where it ends before."""
    began, programs = time.monotonic(), backup_dump.programs_of(of.major)
    text = _("the log is followed to {target}, since {seconds}")
    while time.monotonic() - began < seconds:
        if cluster.ended() is not None:
            words = job.run(side.reason_script(place), ASK_SECONDS).stdout.strip()
            raise ClientError(FailureKind.ERROR, _recovery_words(words, of), "recovery")
        if job.run(side.is_ready_script(place, programs), ASK_SECONDS).exit_code == 0:
            return
        progress.tell(text.format(target=of.target or of.label, seconds=duration(time.monotonic() - began)))
        time.sleep(_LOOK_SECONDS)
    message = _("it was not recovered within {seconds}").format(seconds=duration(seconds))
    raise ClientError(FailureKind.NO_ANSWER, message, "recovery")


def _recovery_words(words: str, of: Recovering) -> str:
    if "before configured recovery target was reached" in words:
        text = _("the archive's log ends before {target}: it has a gap, or the moment was never in it")
        return text.format(target=of.target)
    return words[:400] or _("the recovered cluster ended, and did not say why")


# --- a trial ---------------------------------------------------------------------------------------------------


def _trial_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of, backup = convert(operation.arguments, Trying).recovering, configured(site)
    place = f"{backup.directory.rstrip('/')}/samaops/{of.id}{PARTIAL}/{PLACE}"
    programs = backup_dump.programs_of(of.major)
    restore = side.restore_script(backup, place, of.label, of.repository, of.target).splitlines()[-1]
    commands = (
        restore.removeprefix("exec nice -n 10 "),
        f"{programs}/pg_dump -h {shlex.quote(place)} -p {side.PORT} -f /dev/null {shlex.quote(of.database)}",
        f"{programs}/pg_amcheck -h {shlex.quote(place)} -p {side.PORT} --install-missing --heapallindexed {shlex.quote(of.database)}",
        f"rm -rf {shlex.quote(place)}",
    )
    first, *lines = (as_typed(site, operation.server, command) for command in commands)
    return (first, _follows(), *lines)


@runs(TRY, lines=_trial_lines)
def try_out(operation: Operation, site: Site) -> Outcome:
    """Recover a backup for a trial, write into the catalogue how it went, leave nothing. Raises ClientError."""
    of = convert(operation.arguments, Trying)
    began, phases, wrong = time.monotonic(), dict[str, float](), list[str]()
    with stored(site) as store:
        path = store.begin(of.recovering.id)
        try:
            with server_job.begun(store.shell, store.backup.os_user, path) as job:
                wrong += _tried(job, store, of.recovering, f"{path}/{PLACE}", phases)
        except ClientError as error:
            wrong.append(f"{error.stage}: {error.message}")
        finally:
            store.discard(of.recovering.id + PARTIAL)
        seconds = round(time.monotonic() - began, 1)
        words = "; ".join(each[:_MOST_CHARACTERS] for each in wrong[:_MOST_NAMED])
        grade = Grade(now(), not wrong, words, phases.get("restore", seconds))
        physical = next((each for each in store.survey(of.recovering.port).runs if each.id == of.run), None)
        if physical is None:
            return Outcome(False, _("{id} is not there any more").format(id=of.run), is_seen=True)
        store.update(of.run, lambda row: _graded(row or physical, grade))
    measured = {"seconds": seconds, **phases, "differences": wrong[:50]}
    if wrong:
        return Outcome(False, words, is_seen=True, measured=measured)
    text = _(
        "recovered in {restore}, {seconds} with all that was read: every table, and every B-tree against its table"
    )
    words = text.format(restore=duration(phases["restore"]), seconds=duration(seconds))
    return Outcome(True, words, is_seen=True, measured=measured)


def _graded(run: Run, grade: Grade) -> Run:
    return replace(run, grades=replace(run.grades, restored=grade))


def _tried(
    job: ServerJob, store: Store, of: Recovering, place: str, phases: dict[str, float]
) -> Iterator[str]:
    """Recover, read all of it, and yield what is not as it must be. Raises ClientError."""
    began, drill = time.monotonic(), store.backup.drill
    with recovered(job, store, of, place) as database:
        phases["restore"] = round(time.monotonic() - began, 1)
        for what, words in (
            ("pg_dump", "-f /dev/null"),
            ("pg_amcheck", f"--install-missing --heapallindexed {shlex.quote(of.database)}"),
        ):
            text = _("{what} reads all of it, since {seconds}")
            progress.tell(text.format(what=what, seconds=duration(time.monotonic() - began)))
            command = f"{database.environment()}exec nice -n 19 {database.program(what)} -w {words}"
            done = job.run(command, drill.timeout)
            if done.exit_code:
                yield f"{what}: {backup_dump.last_words(done.stderr) or done.reason()}"
        psql = f"{database.environment()}exec {database.program('psql')} -X -A -t -q -w -c"
        for number, query in enumerate(drill.queries, start=1):
            done = job.run(f"{psql} {shlex.quote(query)}", drill.timeout)
            answer = (done.stdout or done.stderr).strip()
            if done.exit_code or answer != "t":
                text = _("[backup.drill] query {number} gives {answer}, not true")
                yield text.format(number=number, answer=answer[:100] or "-")
