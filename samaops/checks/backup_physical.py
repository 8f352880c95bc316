"""Judge what pgBackRest tells of its stanza: is it in order, is the last full backup young, did it meet damaged pages."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, check
from samaops.facts.backup import CatalogueFacts
from samaops.facts.backup_run import Stanza
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import duration
from samaops.site.commands import typed

DAY_SECONDS = 86_400.0
# pgBackRest's own codes: it is well, or well and empty.
_OK, _EMPTY = 0, 2
_MOST_NAMED = 5


def _as_owner(context: Context, words: str) -> str:
    """Return a command of pgBackRest itself, as its backups' owner types it on their server."""
    backup = context.site.settings.backup
    user, stanza = (backup.os_user, backup.stanza) if backup else ("postgres", "samaconso")
    return context.on_server(f"sudo -u {user} pgbackrest --stanza={stanza} {words}")


def _stanza(facts: CatalogueFacts) -> Stanza | None:
    """Return what pgBackRest has told; None where it is not the engine, or nobody may look."""
    return facts.survey.stanza if facts.survey else None


@check("backup.stanza.error", CatalogueFacts)
def stanza_state(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    stanza = _stanza(facts)
    if stanza is None:
        return
    evidence = {"stanza": stanza.name, "code": stanza.code, "backups": len(stanza.backups)}
    if stanza.reason:
        title = _("pgBackRest could not be asked for its stanza {name}: {reason}")
        hint = _as_owner(context, "info")
        yield context.unknown(
            title.format(name=stanza.name, reason=stanza.reason), evidence=evidence, hint=hint
        )
    elif stanza.code not in (_OK, _EMPTY):
        title = _("pgBackRest's stanza {name} is not in order: {message}")
        yield context.crit(
            title.format(name=stanza.name, message=stanza.message),
            evidence=evidence,
            hint=_as_owner(context, "check"),
        )
    else:
        title = _("pgBackRest's stanza {name} is in order, with {count} backups")
        yield context.ok(title.format(name=stanza.name, count=len(stanza.backups)), evidence=evidence)


# One full backup a week, as the guide's weekly tasks have it: nine days are a week and two nights that went wrong, sixteen two weeks.
@check("backup.full.old", CatalogueFacts, warning=9, critical=16, unit="d")
def full_age(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    stanza = _stanza(facts)
    if facts.survey is None or stanza is None or stanza.reason or stanza.code not in (_OK, _EMPTY):
        return  # backup.stanza.error speaks
    fulls = [backup for backup in stanza.backups if backup.kind == "full"]
    hint = typed(context.site, "backup create")
    if not fulls:
        title = _("pgBackRest has no full backup of {name}: nothing can be restored").format(name=stanza.name)
        yield context.crit(title, evidence={"backups": len(stanza.backups)}, hint=hint)
        return
    newest = fulls[-1]
    seconds = max(0.0, facts.survey.epoch - newest.stopped)
    upon = sum(1 for backup in stanza.backups if newest.label in backup.needs)
    title = _("The newest full backup, {label}, is {age} old; {count} were made upon it")
    yield context.above(
        round(seconds / DAY_SECONDS, 1),
        title.format(label=newest.label, age=duration(seconds), count=upon),
        evidence={"label": newest.label, "upon": upon},
        hint=hint,
    )


@check("backup.pages.damaged", CatalogueFacts)
def pages(facts: CatalogueFacts, context: Context) -> Iterator[Finding]:
    stanza = _stanza(facts)
    if stanza is None or not stanza.backups:
        return
    bad = [backup.label for backup in stanza.backups if backup.has_error]
    if not bad:
        yield context.ok(_("No backup of pgBackRest has met a damaged page"))
        return
    title = _("pgBackRest has met pages of the database that are damaged: {labels}")
    judge = context.crit if bad[-1] == stanza.backups[-1].label else context.warn
    hint = _as_owner(context, f"--set={bad[-1]} info")
    labels = ", ".join(bad[-_MOST_NAMED:])
    yield judge(title.format(labels=labels), value=len(bad), evidence={"labels": bad[-20:]}, hint=hint)
