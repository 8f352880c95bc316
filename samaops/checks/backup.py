"""Judge the backups: is there one, is it young, has it the size of the others, are the old ones expired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from samaops.checks import backup_objects, backup_physical, backup_runs  # noqa: F401 - they register their checks
from samaops.checks.registry import Context, Evidence, access_check, check
from samaops.facts.backup import BackupFacts, BackupFile, CatalogueFacts
from samaops.facts.backup_run import GUIDE, WHOLE, Run, Survey, epoch_of
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import duration, size
from samaops.site.backup_policy import decide, rules_of
from samaops.site.shell_words import operands, quoted

HOUR_SECONDS = 3600.0
DAY_SECONDS = 86400.0
# A file that changed this lately may still be written: its size says nothing yet.
STILL_WRITTEN_SECONDS = 120.0
# A dump of the whole database ends well within this; what is older was given up.
UNFINISHED_SECONDS = 6 * HOUR_SECONDS
PREVIOUS_COMPARED = 7


@access_check("backup.directory.unreadable", BackupFacts)
def readable(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    evidence = {**_place(backup), "files": len(backup.files)}
    if backup.exists:
        title = _("{directory} has {count} backups").format(
            directory=backup.directory, count=len(backup.files)
        )
        yield context.ok(title, evidence=evidence)
        return
    hint = context.on_server(
        f"ls -ld {operands(backup.directory)}; findmnt -T {quoted(backup.directory)}",
    )
    if backup.leads_to is None:
        title = _("The backup directory {directory} does not exist").format(directory=backup.directory)
    else:
        title = _("The backup directory {directory} is a link to {target}, which does not exist").format(
            directory=backup.directory, target=backup.leads_to
        )
    yield context.crit(title, evidence=evidence, hint=hint)


def _survey(context: Context) -> Survey | None:
    """Return what samaops' own catalogue says; None where it was not looked at, or could not be."""
    surveys = (facts.survey for _seen, facts in context.snapshot.facts_of(CatalogueFacts))
    return next((survey for survey in surveys if survey is not None), None)


def _sorts(context: Context) -> dict[str, str]:
    """Return of each backup of samaops what it can be compared with: its engine and its kind."""
    survey = _survey(context)
    return {
        run.id: f"{run.engine} {run.kind}" for run in (survey.runs if survey else ()) if run.engine != GUIDE
    }


def _files(backup: BackupFacts, context: Context) -> list[BackupFile]:
    """Return the dumps of the guide and the whole backups of samaops, newest first."""
    survey = _survey(context)
    own = [
        BackupFile(run.id, run.bytes or 0, epoch_of(run.ended_at or run.started_at))
        for run in (survey.runs if survey else ())
        if run.engine != GUIDE and run.state == WHOLE and not run.recovered_to
    ]
    return sorted((*backup.files, *own), key=lambda file: -file.modified_at)


@check("backup.newest.missing", BackupFacts)
def exists(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    if not backup.exists:
        return  # backup.directory.unreadable speaks
    files = _files(backup, context)
    if files:
        yield context.ok(_("The newest backup is {name}").format(name=files[0].name))
        return
    title = _("No backup {pattern} in {directory}").format(pattern=backup.pattern, directory=backup.directory)
    left_out = ", ".join(backup.left_out[:5])
    detail = _("no file, so left out: {names}").format(names=left_out) if left_out else ""
    yield context.crit(title, detail=detail, evidence=_place(backup), hint=_listing(backup, context))


# One a night: 26 hours leave two for a slow night, 50 hours are two nights without any.
@check("backup.newest.old", BackupFacts, warning=26, critical=50, unit="h")
def age(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    files = _files(backup, context)
    if not files:
        return
    newest = files[0]
    seconds = backup.epoch - newest.modified_at
    evidence = {"name": newest.name, "modified_at": newest.modified_at, "size_bytes": newest.size_bytes}
    hint = _listing(backup, context)
    if seconds < -HOUR_SECONDS:
        title = _("The newest backup, {name}, is dated {time} in the future: how old it is is not known")
        title = title.format(name=newest.name, time=duration(-seconds))
        yield context.unknown(title, evidence=evidence, hint=hint)
        return
    seconds = max(0.0, seconds)
    yield context.above(
        round(seconds / HOUR_SECONDS, 1),
        _("The newest backup is {age} old: {name}").format(age=duration(seconds), name=newest.name),
        evidence=evidence,
        hint=hint,
    )


# pg_dump that fails at its start leaves a file of 0 bytes, one cut off leaves a part. Half of the usual size does
# not come from people deleting their accounts.
@check("backup.size.changed", BackupFacts, warning=-50, unit="%", less_is_worse=True)
def size_change(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    files = _files(backup, context)
    finished = [file for file in files if backup.epoch - file.modified_at >= STILL_WRITTEN_SECONDS]
    if not finished:
        return
    # Only those of one sort can be compared: a dump of samaops is packed otherwise than the guide's, and what differs from a
    # full one is as large as what has changed.
    sorts = _sorts(context)
    sort = sorts.get(finished[0].name, "")
    finished = [file for file in finished if sorts.get(file.name, "") == sort]
    newest, previous = finished[0], finished[1 : 1 + PREVIOUS_COMPARED]
    evidence = {
        "name": newest.name,
        "size_bytes": newest.size_bytes,
        "previous": [{"name": file.name, "size_bytes": file.size_bytes} for file in previous],
    }
    hint = _listing(backup, context)
    if newest.size_bytes == 0:
        title = _("The newest backup {name} is empty: 0 bytes").format(name=newest.name)
        yield context.crit(title, value=-100, evidence=evidence, hint=hint)
        return
    usual = median(file.size_bytes for file in previous) if previous else 0
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


@check("backup.newest.truncated", BackupFacts)
def truncated(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    finished = [file for file in backup.files if backup.epoch - file.modified_at >= STILL_WRITTEN_SECONDS]
    if not finished:
        return
    newest = finished[0]
    evidence = {"name": newest.name, "size_bytes": newest.size_bytes}
    if newest.is_unread:
        title = _("Whether the newest backup {name} has its end could not be read").format(name=newest.name)
        yield context.unknown(title, evidence=evidence, hint=_listing(backup, context))
        return
    if newest.is_whole is None:
        return  # no archive of pg_dump
    if newest.is_whole:
        yield context.ok(
            _("The newest backup {name} has its end").format(name=newest.name), evidence=evidence
        )
        return
    title = _("The newest backup {name} is truncated: the end of the archive is missing").format(
        name=newest.name
    )
    verify = f"pg_restore -f /dev/null {operands(backup.directory.rstrip('/') + '/' + newest.name)}"
    yield context.crit(title, evidence=evidence, hint=context.on_server(verify))


@check("backup.retention.exceeded", BackupFacts)
def retention(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    if not backup.exists:
        return
    days = context.site.settings.backup.retention_days if context.site.settings.backup else 30
    # one day of grace: the expiry runs once a day
    limit = backup.epoch - (days + 1) * DAY_SECONDS
    kept, own = _kept(context)
    old = [file for file in backup.files if file.modified_at < limit and file.name not in kept]
    old += [
        BackupFile(run.id, run.bytes or 0, epoch_of(run.started_at))
        for run in own
        if epoch_of(run.started_at) < limit
    ]
    if not old:
        yield context.ok(_("No backup is older than {days} days").format(days=days))
        return
    yield context.about(unit="files").warn(
        _("Backups older than {days} days: {count} ({size})").format(
            count=len(old), days=days, size=size(_total(old))
        ),
        value=len(old),
        evidence={"count": len(old), "bytes": _total(old), "oldest": old[-1].name, "retention_days": days},
        hint=context.on_server(f"ls -ltr {_inside(backup)} | head"),
    )


def _kept(context: Context) -> tuple[frozenset[str], tuple[Run, ...]]:
    """Return what the policy keeps whatever its age, and the runs of samaops that have expired."""
    survey, backup = _survey(context), context.site.settings.backup
    if survey is None or backup is None:
        return frozenset(), ()
    decision = decide(survey.runs, survey.epoch, rules_of(backup))
    if decision.held:  # nothing expires now; what is too old is too old
        return frozenset(run.id for run in survey.runs if run.pinned), ()
    return frozenset(decision.kept), tuple(run for run in decision.expired if run.engine != GUIDE)


@check("backup.unfinished.left", BackupFacts)
def unfinished(backup: BackupFacts, context: Context) -> Iterator[Finding]:
    if not backup.exists:
        return
    left = [file for file in backup.unfinished if backup.epoch - file.modified_at > UNFINISHED_SECONDS]
    if not left:
        yield context.ok(_("No unfinished backup is left behind"))
        return
    yield context.about(unit="files").warn(
        _("Unfinished backups left behind: {count} ({size})").format(
            count=len(left), size=size(_total(left))
        ),
        value=len(left),
        evidence={"names": [file.name for file in left[:20]], "bytes": _total(left)},
        hint=context.on_server(f"ls -l {_inside(backup)}"),
    )


def _total(files: Sequence[BackupFile]) -> int:
    return sum(file.size_bytes for file in files)


def _place(backup: BackupFacts) -> Evidence:
    return {
        "directory": backup.directory,
        "leads_to": backup.leads_to,
        "pattern": backup.pattern,
        "left_out": list(backup.left_out[:20]),
    }


def _inside(backup: BackupFacts) -> str:
    """Return the directory for a command that lists what is in it: of a link, ls lists the link itself."""
    return operands(backup.directory.rstrip("/") + "/")


def _listing(backup: BackupFacts, context: Context) -> str:
    return context.on_server(f"ls -lt {_inside(backup)} | head")
