"""Judge what samaops knows of the backups: did the last run end well, how far are they proved, where do they lie."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access_check, check
from samaops.facts.backup import CatalogueFacts
from samaops.facts.backup_run import FAILED, GUIDE, KILLED, MISSING, PGBACKREST, WHOLE, Run, Survey, epoch_of
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import duration
from samaops.site.backup_policy import is_damaged, is_proved
from samaops.site.commands import typed

HOUR_SECONDS = 3600.0
DAY_SECONDS = 86_400.0
_MOST_NAMED = 5


def _own(survey: Survey) -> list[Run]:
    """Return the runs of samaops itself, newest first: without one, the site's backups are not its business.

    A recovery to a moment is none: it is the beginning of a restore.
    """
    return [run for run in survey.runs if run.engine != GUIDE and not run.recovered_to]


def _here(survey: Survey) -> list[Run]:
    """Return the whole ones that lie in our directory: where pgBackRest has its repository, and a second, is its business."""
    return [run for run in _own(survey) if run.state == WHOLE and run.engine != PGBACKREST]


@access_check("backup.catalogue.unreadable", CatalogueFacts)
def catalogue(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    if facts.survey is None:
        yield context.ok(_("samaops has made no backup in {directory}").format(directory=facts.directory))
        return
    bad = dict(facts.survey.catalogue.unreadable)
    evidence = {"rows": len(facts.survey.catalogue.rows), "unreadable": dict(sorted(bad.items())[:20])}
    if bad:
        text = _("Rows of the catalogue cannot be read: {names}")
        names = ", ".join(sorted(bad)[:_MOST_NAMED])
        hint = typed(context.site, "backup verify --all")
        yield context.warn(text.format(names=names), evidence=evidence, hint=hint)
        return
    text = _("The catalogue knows {count} backups")
    yield context.ok(text.format(count=len(facts.survey.catalogue.rows)), evidence=evidence)


@check("backup.run.failed", CatalogueFacts)
def last_run(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    runs = _own(facts.survey) if facts.survey else []
    if not runs:
        return
    newest = runs[0]
    evidence = {
        "id": newest.id,
        "state": newest.state,
        "reason": newest.reason,
        "started_at": newest.started_at,
    }
    texts = {
        FAILED: _("The last backup failed: {reason}"),
        KILLED: _("The last backup was killed while it ran: {id}"),
        MISSING: _("The last backup is gone from the disk: {id}"),
    }
    if newest.state in texts:
        title = texts[newest.state].format(id=newest.id, reason=newest.reason)
        yield context.crit(title, evidence=evidence, hint=typed(context.site, "backup create"))
        return
    yield context.ok(
        _("The last backup: {id}, {state}").format(id=newest.id, state=newest.state), evidence=evidence
    )


@check("backup.grade.damaged", CatalogueFacts)
def damaged(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    whole = [run for run in facts.survey.runs if run.state == WHOLE] if facts.survey else []
    bad = [run for run in whole if is_damaged(run)]
    if not bad:
        if whole:
            yield context.ok(_("No backup is known to be damaged"))
        return
    reasons = {
        run.id: next(
            grade.reason
            for grade in (run.grades.stored, run.grades.readable, run.grades.restored)
            if grade is not None and not grade.is_good
        )
        for run in bad
    }
    first = bad[0]
    text = _("{count} backups are damaged; {id}: {reason}")
    title = text.format(count=len(bad), id=first.id, reason=reasons[first.id])
    judge = context.crit if first is whole[0] else context.warn
    hint = typed(context.site, f"backup show {first.id}")
    yield judge(title, value=len(bad), evidence={"reasons": reasons}, hint=hint)


# A drill a month, as the guide's monthly tasks have it, and some days.
@check("backup.grade.old", CatalogueFacts, warning=35, unit="d")
def grades(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    survey = facts.survey
    whole = [run for run in _own(survey) if run.state == WHOLE] if survey else []
    if survey is None or not whole:
        return
    newest = whole[0]
    if not is_proved(newest) and not is_damaged(newest):  # backup.grade.damaged speaks of one that is
        title = _("The newest backup {id} was never read through").format(id=newest.id)
        yield context.warn(
            title, evidence={"id": newest.id}, hint=typed(context.site, "backup verify latest")
        )
        return
    restored = [
        grade.at for run in survey.runs if (grade := run.grades.restored) is not None and grade.is_good
    ]
    since = max(map(epoch_of, restored), default=epoch_of(whole[-1].started_at))
    if survey.epoch - since < -HOUR_SECONDS:
        title = _(
            "The last restoration for a trial is dated {time} in the future: how long ago it was is not known"
        )
        title = title.format(time=duration(since - survey.epoch))
        yield context.unknown(title, hint=typed(context.site, "backup drill"))
        return
    days = round(max(0.0, survey.epoch - since) / DAY_SECONDS, 1)
    text = (
        _("A backup was last restored for a trial {age} ago")
        if restored
        else _("No backup was ever restored for a trial, in {age}")
    )
    title = text.format(age=duration(max(0.0, survey.epoch - since)))
    yield context.above(
        days, title, evidence={"restored": len(restored)}, hint=typed(context.site, "backup drill")
    )


@check("backup.place.same_disk", CatalogueFacts)
def same_disk(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    whole = _here(facts.survey) if facts.survey else []
    if facts.survey is None or not whole:
        return
    evidence = {"directory": facts.directory, "is_on_data_disk": facts.survey.is_on_data_disk}
    if facts.survey.is_on_data_disk is None:
        yield context.unknown(
            _("Whether the backups lie on the disk of the data could not be seen"), evidence=evidence
        )
    elif not facts.survey.is_on_data_disk:
        yield context.ok(_("The backups lie on another disk than the data"), evidence=evidence)
    elif any(run.copies for run in whole):
        yield context.ok(
            _("The backups lie on the disk of the data, with copies elsewhere"), evidence=evidence
        )
    else:
        title = _("The backups lie on the disk of the data, and nowhere else: what takes one takes the other")
        yield context.warn(title, evidence=evidence)


# One copy a night, as the backups; a night more until it is certain that something is wrong.
@check("backup.copy.missing", CatalogueFacts, warning=26, critical=50, unit="h")
def copies(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    survey, backup = facts.survey, context.site.settings.backup
    whole = _here(survey) if survey else []
    if survey is None or backup is None or not whole:
        return
    for copy in backup.copies:
        about = context.about(f"backup/{copy.name}")
        copied = [epoch_of(run.started_at) for run in whole if copy.name in run.copies]
        # Without any, since there is something to copy.
        newest = max(copied, default=min(epoch_of(run.started_at) for run in whole))
        if survey.epoch - newest < -HOUR_SECONDS:
            title = _(
                "The newest backup that {name} has is dated {time} in the future: how old it is is not known"
            )
            title = title.format(name=copy.name, time=duration(newest - survey.epoch))
            yield about.unknown(title, hint=typed(context.site, "backup copy"))
            continue
        hours = round(max(0.0, survey.epoch - newest) / HOUR_SECONDS, 1)
        text = (
            _("The newest backup that {name} has is {age} old")
            if copied
            else _("{name} has no copy of any backup, in {age}")
        )
        title = text.format(name=copy.name, age=duration(max(0.0, survey.epoch - newest)))
        evidence = {"name": copy.name, "copied": len(copied)}
        yield about.above(hours, title, evidence=evidence, hint=typed(context.site, "backup copy"))


@check("backup.key.missing", CatalogueFacts)
def key(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    survey, backup = facts.survey, context.site.settings.backup
    if survey is None or backup is None or not _own(survey):
        return
    evidence = {"has_recipient": backup.recipient is not None, "programs": list(survey.programs)}
    if backup.recipient is None:
        title = _(
            "Nobody is named to whom secrets could be encrypted: .env files and passwords are in no backup"
        )
        yield context.warn(title, evidence=evidence)
    elif "age" not in survey.programs:
        title = _("The backup's server has no age: what is secret is in no backup")
        yield context.crit(title, evidence=evidence, hint=context.on_server("apt-get install age"))
    else:
        yield context.ok(_("What is secret is encrypted"), evidence=evidence)


@check("backup.key.here", CatalogueFacts)
def key_kept(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    """Where the key lies nobody can look: the site says it."""
    survey, backup = facts.survey, context.site.settings.backup
    if survey is None or backup is None or backup.recipient is None or not _own(survey):
        return
    is_here = backup.drill.identity is not None
    evidence = {"is_here": is_here, "kept": backup.key_kept}
    if backup.key_kept:
        title = _("The key that opens what is encrypted lies elsewhere too: {where}")
        yield context.ok(title.format(where=backup.key_kept), evidence=evidence)
    elif is_here:
        yield context.warn(
            _("The key that opens what is encrypted is known to lie on this machine alone"), evidence=evidence
        )
    else:
        yield context.warn(
            _("Nobody has said where the key lies that opens what is encrypted"), evidence=evidence
        )
