"""Judge the backups: is there one, is it young, has it the size of the others, are the old ones expired."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from statistics import median

from samaops.checks.quantities import duration, size
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.backup import BackupFacts, BackupFile
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.site.commands import on_server

HOUR_SECONDS = 3600.0
DAY_SECONDS = 86400.0
# A file that changed this lately may still be written: its size says nothing yet.
STILL_WRITTEN_SECONDS = 120.0
# A dump of the whole database ends well within this; what is older was given up.
UNFINISHED_SECONDS = 6 * HOUR_SECONDS
PREVIOUS_COMPARED = 7


@check(
    "backup.directory.unreadable",
    title=N_("The backup directory can be read"),
    facts=BackupFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "The directory of the backups is not there, or cannot be read: nobody knows whether there are any."
        ),
        confirm=("ls -ld /data/backups/postgresql", "findmnt -T /data/backups", "crontab -l | grep backup"),
        fix=N_("Mount its file system again, or correct backup.directory in the configuration."),
        avoid=N_(
            "Do not just create an empty directory: the next backup would fill the disk below the mount."
        ),
    ),
)
def readable(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    evidence = {"directory": backup.directory, "pattern": backup.pattern, "files": len(backup.files)}
    if backup.exists:
        title = _("{directory} has {count} backups").format(
            directory=backup.directory, count=len(backup.files)
        )
        yield context.ok(title, evidence=evidence)
        return
    hint = on_server(
        context.site,
        _server(context),
        f"ls -ld {shlex.quote(backup.directory)}; findmnt -T {shlex.quote(backup.directory)}",
    )
    title = _("The backup directory {directory} does not exist").format(directory=backup.directory)
    yield context.crit(title, evidence=evidence, hint=hint)


@check(
    "backup.newest.missing",
    title=N_("There is a backup"),
    facts=BackupFacts,
    explain=Explanation(
        meaning=N_(
            "No file of the expected name lies in the backup directory: there is nothing to restore from."
        ),
        confirm=(
            "ls -lt /data/backups/postgresql | head",
            "tail -50 /var/log/backup_samaconso.log",
            "crontab -l",
        ),
        fix=N_("Read the log of the nightly backup, correct its cause, and make one now."),
        avoid=N_("Do not change the database's schema or its major version before there is a backup."),
    ),
)
def exists(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    if not backup.exists:
        return  # said by backup.directory.unreadable
    if backup.files:
        yield context.ok(_("The newest backup is {name}").format(name=backup.files[0].name))
        return
    hint = on_server(context.site, _server(context), f"ls -lt {shlex.quote(backup.directory)} | head")
    title = _("No backup {pattern} in {directory}").format(pattern=backup.pattern, directory=backup.directory)
    yield context.crit(title, evidence={"directory": backup.directory, "pattern": backup.pattern}, hint=hint)


# One a night: 26 hours leave two for a slow night, 50 hours are two nights without any.
@check(
    "backup.newest.old",
    title=N_("Age of the newest backup"),
    facts=BackupFacts,
    warning=26,
    critical=50,
    unit="h",
    explain=Explanation(
        meaning=N_("The nightly backup did not run, or failed: what was written since would be lost."),
        confirm=(
            "ls -lt /data/backups/postgresql | head",
            "tail -50 /var/log/backup_samaconso.log",
            "crontab -l",
        ),
        fix=N_(
            "Read why it failed (password, disk full, database not reachable), correct that, run it again."
        ),
        avoid=N_("Do not expire old backups meanwhile: they are all there is."),
    ),
)
def age(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    if not backup.files:
        return
    newest = backup.files[0]
    seconds = max(0.0, backup.epoch - newest.modified_at)
    yield context.above(
        round(seconds / HOUR_SECONDS, 1),
        _("The newest backup is {age} old: {name}").format(age=duration(seconds), name=newest.name),
        evidence={"name": newest.name, "modified_at": newest.modified_at, "size_bytes": newest.size_bytes},
        hint=on_server(context.site, _server(context), f"ls -lt {shlex.quote(backup.directory)} | head"),
    )


# pg_dump that fails at its start leaves a file of 0 bytes, one cut off leaves a part. Half of the usual size does
# not come from people deleting their accounts.
@check(
    "backup.size.changed",
    title=N_("Size of the newest backup against the ones before"),
    facts=BackupFacts,
    warning=-50,
    unit="%",
    explain=Explanation(
        meaning=N_(
            "The newest backup is much smaller than the others: it is probably cut off, or of another database."
        ),
        confirm=("ls -lt /data/backups/postgresql | head", "pg_restore --list FILE | tail"),
        fix=N_("Make another one now and check it with pg_restore --list; keep all the older ones."),
        avoid=N_("Do not delete the small one before you know why: its log and content say what failed."),
    ),
)
def size_change(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    finished = [one for one in backup.files if backup.epoch - one.modified_at >= STILL_WRITTEN_SECONDS]
    if not finished:
        return
    newest, previous = finished[0], finished[1 : 1 + PREVIOUS_COMPARED]
    evidence = {
        "name": newest.name,
        "size_bytes": newest.size_bytes,
        "previous": [{"name": one.name, "size_bytes": one.size_bytes} for one in previous],
    }
    hint = on_server(context.site, _server(context), f"ls -lt {shlex.quote(backup.directory)} | head")
    if newest.size_bytes == 0:
        title = _("The newest backup {name} is empty: 0 bytes").format(name=newest.name)
        yield context.crit(title, value=-100, evidence=evidence, hint=hint)
        return
    usual = median(one.size_bytes for one in previous) if previous else 0
    if not usual:
        title = _("The newest backup has {size}; there is none to compare it with").format(
            size=size(newest.size_bytes)
        )
        yield context.ok(title, evidence=evidence)
        return
    percent = round(100 * (newest.size_bytes - usual) / usual, 1)
    title = _("The newest backup has {size}, {percent:+} % against {usual} usually").format(
        size=size(newest.size_bytes), percent=percent, usual=size(usual)
    )
    yield context.below(percent, title, evidence=evidence, hint=hint)


@check(
    "backup.retention.exceeded",
    title=N_("Old backups are expired"),
    facts=BackupFacts,
    explain=Explanation(
        meaning=N_(
            "Backups older than the retention still lie there: the expiry does not run and the disk fills."
        ),
        confirm=("find /data/backups/postgresql -type f -mtime +30 | wc -l",),
        fix=N_("Check that the newest backup is good, then expire the old ones, keeping a minimum."),
        avoid=N_("Do not delete by age alone: when the backup has failed for a month, all of them are old."),
    ),
)
def retention(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    if not backup.exists:
        return
    days = context.site.settings.backup.retention_days if context.site.settings.backup else 30
    # one day of grace: the expiry runs once a day
    old = [one for one in backup.files if backup.epoch - one.modified_at > (days + 1) * DAY_SECONDS]
    if not old:
        yield context.ok(_("No backup is older than {days} days").format(days=days))
        return
    yield context.warn(
        _("Backups older than {days} days: {count} ({size})").format(
            count=len(old), days=days, size=size(_total(old))
        ),
        value=len(old),
        unit="files",
        evidence={"count": len(old), "bytes": _total(old), "oldest": old[-1].name, "retention_days": days},
        hint=on_server(context.site, _server(context), f"ls -ltr {shlex.quote(backup.directory)} | head"),
    )


@check(
    "backup.unfinished.left",
    title=N_("No unfinished backup is left behind"),
    facts=BackupFacts,
    explain=Explanation(
        meaning=N_("A backup was begun and never ended: its file takes space and is of no use."),
        confirm=("ls -l /data/backups/postgresql/*.tmp", "lsof +D /data/backups/postgresql"),
        fix=N_("Make sure that no process writes it any more (lsof), then remove that file."),
        avoid=N_("Do not rename it to look like a backup: it cannot be restored."),
    ),
)
def unfinished(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    if not backup.exists:
        return
    left = [one for one in backup.unfinished if backup.epoch - one.modified_at > UNFINISHED_SECONDS]
    if not left:
        yield context.ok(_("No unfinished backup is left behind"))
        return
    yield context.warn(
        _("Unfinished backups left behind: {count} ({size})").format(
            count=len(left), size=size(_total(left))
        ),
        value=len(left),
        unit="files",
        evidence={"names": [one.name for one in left[:20]], "bytes": _total(left)},
        hint=on_server(context.site, _server(context), f"ls -l {shlex.quote(backup.directory)}"),
    )


def _total(files: Sequence[BackupFile]) -> int:
    return sum(one.size_bytes for one in files)


def _server(context: Context) -> str | None:
    return context.observation.server if context.observation else None
