"""The backups as they are: all of them with how far each is proved, and one of them whole. Looks only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from msgspec import to_builtins

from samaops.changes.backup.work import named, section
from samaops.clients.backup_store import Store
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.errors import UnavailableError
from samaops.facts.backup_run import (
    FAILED,
    GUIDE,
    KILLED,
    MISSING,
    RUNNING,
    STARTED,
    UNLISTED,
    WHOLE,
    Grade,
    Manifest,
    Run,
    Survey,
    epoch_of,
)
from samaops.i18n import N_, _, joined, ngettext
from samaops.model.quantities import duration, moment, size
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.backup_policy import decide, is_proved, rules_of
from samaops.site.commands import typed
from samaops.site.site import Site

Row = dict[str, Any]
_GRADES = ("stored", "readable", "restored")
_BAD = N_("bad")
_STATES = {
    STARTED: N_("started"),
    FAILED: N_("failed"),
    RUNNING: N_("running"),
    KILLED: N_("killed"),
    MISSING: N_("missing"),
    UNLISTED: N_("unlisted"),
}
_MOST_SHOWN = 12


@contextmanager
def store_of(site: Site) -> Iterator[Store]:
    """Yield the store of a site's backups. Raises UsageError without one, UnavailableError where it cannot be looked at."""
    backup = section(site)
    shells = ShellPool(site.settings)
    try:
        yield Store(shells.of(backup.server), backup, site.name)
    except ClientError as error:
        text = _("Could not look at the backups: {reason}")
        raise UnavailableError(text.format(reason=error.message), "samaops diagnose --only backup") from error
    finally:
        shells.close()


def surveyed(site: Site) -> Survey:
    """Return all that one look at the backups shows. Raises UsageError without any, UnavailableError."""
    with store_of(site) as store:
        return store.survey(_port(site))


def listed(site: Site) -> Table:
    """Return all backups, newest first, with how far each is proved, and what the policy says of it."""
    survey = surveyed(site)
    decision = decide(survey.runs, survey.epoch, rules_of(section(site)))
    expired = {run.id for run in decision.expired}
    rows = [
        _row(run, survey, decision.kept.get(run.id, ""), is_expired=run.id in expired) for run in survey.runs
    ]
    columns = (
        Column("id", _("id"), is_copied=True),
        Column("age", _("age"), True),
        Column("size", _("size"), True),
        Column("shown_state", _("state")),
        Column("shown_stored", _("stored")),
        Column("shown_readable", _("read")),
        Column("shown_restored", _("restored")),
    )
    answer = _answer(survey)
    return Table(
        "backups", columns, tuple(redaction.redacted(rows, site)), answer, tuple(_notes(survey, len(expired))), answer,
        is_whole=not survey.catalogue.unreadable and not (survey.stanza and survey.stanza.reason),
        commands=tuple(_commands(site, survey, len(expired))),
    )  # fmt: skip


def shown(site: Site, word: str) -> Table:
    """Return one backup whole: its row, and its manifest where it has one. Raises UsageError, UnavailableError."""
    with store_of(site) as store:
        survey = store.survey(_port(site))
        run = named(survey, word)
        manifest, reason = _manifest(store, run)
    decision = decide(survey.runs, survey.epoch, rules_of(store.backup))
    rows = [{"what": what, "value": value} for what, value in _told(run, manifest) if value]
    kept = decision.kept.get(run.id)
    if kept:
        rows.append({"what": _("kept"), "value": kept})
    figures: Row = {"row": to_builtins(run), "manifest": to_builtins(manifest) if manifest else None}
    columns = (Column("what", _("what"), is_copied=True), Column("value", _("value")))
    answer = _("{id}: {state}, {size}, {age} old").format(
        id=run.id, state=_state(run), size=size(run.bytes or 0), age=_age(run, survey)
    )
    notes = (_("Its manifest could not be read: {reason}").format(reason=reason),) if reason else ()
    return Table(
        "backup", columns, tuple(redaction.redacted(rows, site)), answer, notes, answer, is_whole=not reason,
        figures=redaction.redacted(figures, site),
    )  # fmt: skip


def _manifest(store: Store, run: Run) -> tuple[Manifest | None, str]:
    """Return the manifest of a backup, or why there is none to be had."""
    is_alone = run.engine == GUIDE or (run.label != "" and run.id == run.label)
    if is_alone or run.state not in (WHOLE, UNLISTED):
        return None, ""
    try:
        return store.manifest(run.id), ""
    except ClientError as error:
        return None, error.message


def _port(site: Site) -> int:
    return site.settings.postgresql.port if site.settings.postgresql else 5432


def _row(run: Run, survey: Survey, kept: str, *, is_expired: bool) -> Row:
    grades: Mapping[str, Grade | None] = {name: getattr(run.grades, name) for name in _GRADES}
    return {
        "id": run.id,
        "engine": run.engine,
        "state": run.state,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "by": run.by,
        "reason": run.reason,
        "bytes": run.bytes,
        "pinned": run.pinned,
        "copies": dict(run.copies),
        "label": run.label,
        "kind": run.kind,
        "needs": list(run.needs),
        "recovered_to": run.recovered_to,
        "grades": {name: to_builtins(grade) for name, grade in grades.items()},
        "kept": kept,
        "is_expired": is_expired,
        "age_seconds": round(max(0.0, survey.epoch - epoch_of(run.started_at))),
        "age": _age(run, survey),
        "size": size(run.bytes) if run.bytes is not None else None,
        "shown_state": f"{_state(run)} *" if run.pinned else _state(run),
        **{f"shown_{name}": _day(grade) for name, grade in grades.items()},
    }


def _state(run: Run) -> str:
    if run.kind and run.state == WHOLE:
        return run.kind  # as pgBackRest has it: full, diff, incr
    if run.recovered_to and run.state == WHOLE:
        return _("as of")
    return _(_STATES.get(run.state, run.state))


def _age(run: Run, survey: Survey) -> str:
    return duration(max(0.0, survey.epoch - epoch_of(run.started_at)))


def _day(grade: Grade | None) -> str | None:
    """Return the day of a proof, in as few characters as a column has; or that it was no good."""
    if grade is None:
        return None
    return grade.at[5:10] if grade.is_good else _(_BAD)


def _answer(survey: Survey) -> str:
    runs = survey.runs
    whole = [run for run in runs if run.state == WHOLE and not run.recovered_to]
    if not whole:
        return _("There is no whole backup")
    newest = whole[0]
    text = ngettext(
        "{count} backup; the newest is {age} old", "{count} backups; the newest is {age} old", len(whole)
    )
    words = [text.format(count=len(whole), age=_age(newest, survey))]
    proved = next((run for run in whole if is_proved(run)), None)
    if proved is None:
        words.append(_("none is proved"))
    elif proved is not newest:
        words.append(_("the newest that is proved is {age} old").format(age=_age(proved, survey)))
    else:
        words.append(_("it is proved"))
    restored = next((run for run in whole if run.grades.restored and run.grades.restored.is_good), None)
    if restored is None or restored.grades.restored is None:
        words.append(_("none was ever restored"))
    else:
        words.append(_("the last that was restored: {date}").format(date=restored.grades.restored.at[:10]))
    return joined(words)


def _notes(survey: Survey, expired: int) -> Iterator[str]:
    if any(run.pinned for run in survey.runs):
        yield _("* pinned: kept whatever its age")
    if expired:
        text = ngettext("{count} has expired", "{count} have expired", expired)
        yield text.format(count=expired)
    for name, reason in sorted(survey.catalogue.unreadable):
        yield _("The row {name} cannot be read: {reason}").format(name=name, reason=reason)
    if survey.catalogue.foreign:
        text = _("{count} backups of another site lie there: {ids}")
        ids = ", ".join(survey.catalogue.foreign[:5])
        yield text.format(count=len(survey.catalogue.foreign), ids=ids)
    yield from _of_stanza(survey)
    if survey.is_on_data_disk and survey.stanza is None:
        yield _("They lie on the disk of the data: what takes one takes the other")


def _of_stanza(survey: Survey) -> Iterator[str]:
    stanza = survey.stanza
    if stanza is None:
        return
    if stanza.reason:
        yield _("pgBackRest could not be asked: {reason}").format(reason=stanza.reason)
    elif stanza.code:
        text = _("pgBackRest's stanza {name} is not in order: {message}")
        yield text.format(name=stanza.name, message=stanza.message)
    if stanza.backups:
        text = _(
            "Each moment since {moment} can be restored, as far as the log is in the archive: restore db --to"
        )
        yield text.format(moment=moment(min(backup.stopped for backup in stanza.backups)))


def _commands(site: Site, survey: Survey, expired: int) -> Iterator[str]:
    runs = [run for run in survey.runs if not run.recovered_to]
    whole = [run for run in runs if run.state == WHOLE]
    newest = runs[0] if runs else None
    if not whole or (newest is not None and newest.state == KILLED):
        yield typed(site, "backup create")
    elif not is_proved(whole[0]):
        yield typed(site, "backup verify latest")
    if expired:
        yield typed(site, "backup prune")


def _told(run: Run, manifest: Manifest | None) -> Iterator[tuple[str, str]]:
    yield _("state"), _state(run) + (f": {run.reason}" if run.reason else "")
    yield _("began"), _moment(run.started_at)
    yield _("ended"), _moment(run.ended_at or "")
    yield _("made by"), run.by
    yield _("engine"), run.engine
    yield _("pgBackRest's name"), " ".join(filter(None, (run.label, run.kind)))
    yield _("needs"), ", ".join(run.needs)
    yield _("as of"), _moment(run.recovered_to)
    yield _("size"), size(run.bytes) if run.bytes is not None else ""
    for name in _GRADES:
        grade: Grade | None = getattr(run.grades, name)
        yield _(name), _proof(grade) if grade else _("never")
    yield _("pinned"), run.pinned
    yield _("copies"), ", ".join(f"{name} ({at[:10]})" for name, at in sorted(run.copies.items()))
    if manifest is not None:
        yield from _of_manifest(manifest)


def _of_manifest(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield (
        _("database"),
        _("{database} on {server}, PostgreSQL {version}, at {lsn}").format(
            database=manifest.database,
            server=manifest.server,
            version=manifest.server_version,
            lsn=manifest.lsn,
        ),
    )
    yield _("migration"), manifest.revision or ""
    biggest = sorted(manifest.rows.items(), key=lambda item: -item[1])[:_MOST_SHOWN]
    for table, rows in biggest:
        newest = manifest.newest.get(table)
        if newest:
            yield table, _("{rows} rows, the newest of {moment}").format(rows=rows, moment=newest)
        else:
            yield table, _("{rows} rows").format(rows=rows)
    if len(manifest.rows) > len(biggest):
        yield "…", _("{count} tables besides").format(count=len(manifest.rows) - len(biggest))
    for part in manifest.parts:
        held = [_("{count} files").format(count=len(part.paths))] if part.paths else []
        held += [_("left out: {reason}").format(reason=part.left_out)] if part.left_out else []
        yield part.name, joined(held)
    yield _("encrypted to"), manifest.encrypted_to
    yield _("objects"), manifest.objects or ""


def _proof(grade: Grade) -> str:
    words = _("good") if grade.is_good else _("bad: {reason}").format(reason=grade.reason)
    took = "" if grade.seconds is None else f" ({duration(grade.seconds)})"
    return f"{_moment(grade.at)}, {words}{took}"


def _moment(text: str) -> str:
    epoch = epoch_of(text)
    return moment(datetime.fromtimestamp(epoch, timezone.utc).timestamp()) if epoch else ""
