"""Backups that pgBackRest makes: of which kind the next one is, and when none is begun."""

from __future__ import annotations

from msgspec import Struct

from samaops.changes.readings import UnreadableError
from samaops.config.backup_settings import Backup
from samaops.errors import RefusedError
from samaops.facts.backup_run import PGBACKREST, WHOLE, Run, Stanza, Survey, epoch_of
from samaops.i18n import _
from samaops.model.quantities import duration
from samaops.site.backup_policy import is_damaged

CREATE = "backup.create_physical"
FULL, DIFFERENTIAL, INCREMENTAL = "full", "diff", "incr"
# pgBackRest's own codes of a stanza: it is well, or it is well and empty.
STANZA_OK, STANZA_EMPTY = 0, 2
_DAY_SECONDS, _HOUR_SECONDS = 86_400.0, 3600.0
# A nightly run begins some minutes earlier or later than that of the last night, or of the last week.
_SLACK_SECONDS = 2 * _HOUR_SECONDS


class Choice(Struct, frozen=True):
    """Of which kind the next backup is, and why, in a sentence."""

    kind: str
    reason: str


def stanza_in(survey: Survey) -> Stanza:
    """Return what pgBackRest tells of its stanza. Raises UnreadableError where it could not be asked."""
    stanza = survey.stanza
    if stanza is None or stanza.reason:
        reason = stanza.reason if stanza else _("it was not asked")
        raise UnreadableError(f"pgbackrest info: {reason}")
    return stanza


def require_stanza(survey: Survey, backup: Backup) -> Stanza:
    """Return the stanza, if a backup can be made in it now. Raises RefusedError, UnreadableError."""
    if "pgbackrest" not in survey.programs:
        raise RefusedError(_("The server has no pgbackrest"), hint="apt-get install pgbackrest")
    stanza = stanza_in(survey)
    if stanza.code not in (STANZA_OK, STANZA_EMPTY):
        text = _("pgBackRest's stanza {name} is not in order: {message}")
        hint = f"sudo -u {backup.os_user} pgbackrest --stanza={stanza.name} stanza-create"
        raise RefusedError(text.format(name=stanza.name, message=stanza.message), hint=hint)
    if stanza.is_working:
        text = _("pgBackRest makes or removes backups of {name} now, for somebody else")
        raise RefusedError(text.format(name=stanza.name), hint="samaops backup list")
    return stanza


def choose(survey: Survey, backup: Backup) -> Choice:
    """Return of which kind the next backup is.

    Full: where there is none, where the newest full one is as old as ``full_after_days`` or was found damaged.
    Differential: where the newest of these or of the full ones is as old as ``differential_after_hours``, or is damaged.
    Else incremental.
    """
    rules = backup.pgbackrest
    fulls = _of_kinds(survey, FULL)
    if not fulls:
        return Choice(FULL, _("there is no full one yet"))
    if is_damaged(fulls[0]):
        return Choice(FULL, _("the newest full one, {id}, was found damaged").format(id=fulls[0].id))
    age = survey.epoch - epoch_of(fulls[0].started_at)
    if age >= rules.full_after_days * _DAY_SECONDS - _SLACK_SECONDS:
        text = _("the newest full one is {age} old; there is one every {days} days")
        return Choice(FULL, text.format(age=duration(age), days=rules.full_after_days))
    newest = _of_kinds(survey, FULL, DIFFERENTIAL)[0]
    if is_damaged(newest):
        return Choice(
            DIFFERENTIAL, _("the newest differential one, {id}, was found damaged").format(id=newest.id)
        )
    age = survey.epoch - epoch_of(newest.started_at)
    hours = rules.differential_after_hours
    if age >= hours * _HOUR_SECONDS - min(_SLACK_SECONDS, hours * _HOUR_SECONDS / 4):
        text = _("what differs from the full one {id}: the newest of these is {age} old")
        return Choice(DIFFERENTIAL, text.format(id=fulls[0].id, age=duration(age)))
    text = _("what differs from {id}, which is {age} old")
    last = _of_kinds(survey, FULL, DIFFERENTIAL, INCREMENTAL)[0]
    age = survey.epoch - epoch_of(last.started_at)
    return Choice(INCREMENTAL, text.format(id=last.id, age=duration(max(0.0, age))))


def last_of(survey: Survey, kind: str) -> Run | None:
    """Return the newest whole backup of a kind: what the next of it will be like."""
    return next(iter(_of_kinds(survey, kind)), None)


def _of_kinds(survey: Survey, *kinds: str) -> list[Run]:
    """Return the whole backups of these kinds, newest first."""
    return [
        run for run in survey.runs if run.engine == PGBACKREST and run.state == WHOLE and run.kind in kinds
    ]
