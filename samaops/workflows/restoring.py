"""Restores and trials: what they must know is looked at on the database's server, then they are planned as any change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.restoring import drill, recovery, replaced, table
from samaops.changes.restoring.work import configured
from samaops.changes.run.restoring import Workshop, workshop
from samaops.clients import shells
from samaops.clients.errors import ClientError
from samaops.collect import restoring as look
from samaops.errors import RefusedError, UnavailableError
from samaops.facts.backup_run import PGBACKREST
from samaops.facts.observation import Observation
from samaops.facts.restoring import REPLACED, Database, RestoringFacts
from samaops.i18n import _, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Plan
from samaops.model.quantities import moment, size
from samaops.model.table import Column, Table
from samaops.site.commands import typed
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site
from samaops.workflows import change, lists
from samaops.workflows.database import look as looks

# What is wrong with the backup itself: nothing was changed, and nothing else helps.
_REFUSALS = (FailureKind.ABSENT, FailureKind.GARBAGE, FailureKind.MISSING)


def plan(
    site: Site,
    name: str,
    arguments: tuple[str, ...],
    wanted: str = "",
    recalled: tuple[Observation, ...] = (),
) -> Plan:
    """Look and plan. ``wanted`` is the backup, where one is meant; ``recalled`` what was looked at besides.

    Raises UsageError, RefusedError, and UnavailableError where the server of the database cannot be asked.
    """
    verb = verbs.find(name)
    verb.codes(site, arguments)  # what names nothing is refused before anything is opened
    with shells.kept():
        is_physical = recovery.TO in arguments or (name == table.NAME and not wanted)
        seen = _seen(site, name, arguments, wanted, is_physical=is_physical)
        server = configured(site).server
        observed = Observation("restore", f"restore/{server}", server, RestoringFacts.__name__, seen)
        return change.prepare_verb(site, verb, arguments, recalled=(observed, *recalled))


def _seen(
    site: Site, name: str, arguments: tuple[str, ...], wanted: str, *, is_physical: bool
) -> RestoringFacts:
    try:
        with workshop(site) as at:
            seen = look.look(at.server)
            is_trial = name == drill.NAME and at.store.backup.engine == PGBACKREST
            if is_physical or is_trial:
                seen = look.with_survey(at.server, at.store, seen)
            if wanted and not (is_trial and recovery.physical_run(seen, wanted)):
                of, manifest = _source(site, at, wanted, _of_moment(name, arguments))
                seen = replace(seen, source=of, manifest=manifest)
            if seen.database(configured(site).database) is not None and name != drill.NAME:
                seen = _with_live(site, at, seen, counts=bool(wanted) or name == table.NAME)
            return seen
    except ClientError as error:
        text = _("Could not look at the database's server: {reason}")
        raise UnavailableError(text.format(reason=error.message), typed(site, "diagnose")) from error


def _of_moment(name: str, arguments: tuple[str, ...]) -> str:
    """Return what is typed to have the same as of a moment, "" where that cannot be had."""
    if name != table.NAME:
        return "restore db"
    relation, rename, _wanted, *where = arguments
    condition = f" --where {quoted(where[0])}" if where and where[0] else ""
    return f"{name} {operands(relation)} --as {quoted(rename)}{condition}"


def _source(site: Site, at: Workshop, wanted: str, of_moment: str) -> tuple[object, object]:
    try:
        return at.source(wanted)
    except look.OfMomentsError as error:
        text = _("Nothing is restored: {reason}")
        when = error.moment or datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S+00")
        command = typed(site, f"{of_moment} {recovery.TO} {quoted(when)}")
        raise RefusedError(text.format(reason=error.message), hint=command) from error
    except ClientError as error:
        if error.kind not in _REFUSALS and error.stage != "list":
            raise
        text = _("Nothing is restored: {reason}")
        raise RefusedError(text.format(reason=error.message), hint=typed(site, "backup list")) from error


def _with_live(site: Site, at: Workshop, seen: RestoringFacts, *, counts: bool) -> RestoringFacts:
    name = configured(site).database
    seen = replace(seen, sessions=look.sessions(at.server, name))
    if not counts:
        return seen
    try:
        return replace(seen, live=look.live(at.server, name))
    except ClientError as error:
        return replace(seen, left_out=error.message)


def databases(site: Site) -> Table:
    """Return the databases that samaops made or replaced, newest first. Raises UnavailableError."""
    try:
        with workshop(site) as at:
            seen = look.look(at.server)
    except ClientError as error:
        text = _("Could not look at the database's server: {reason}")
        raise UnavailableError(text.format(reason=error.message), typed(site, "diagnose")) from error
    ours = [each for each in seen.databases if each.mark]
    ours.sort(key=lambda each: -(each.mark.at if each.mark else 0))
    columns = (
        Column("name", _("database"), is_copied=True),
        Column("what", _("what it is")),
        Column("size", _("size"), True),
        Column("since", _("since")),
        Column("until", _("may go")),
    )
    replaced_ones = [each for each in ours if each.name.startswith(REPLACED)]
    answer = ngettext(
        "{count} replaced database is kept", "{count} replaced databases are kept", len(replaced_ones)
    )
    left = len(ours) - len(replaced_ones)
    words = answer.format(count=len(replaced_ones))
    if left:
        words += "; " + ngettext("{count} is left of a restore", "{count} are left of restores", left).format(
            count=left
        )
    rows = [_row(each, seen.epoch) for each in ours]
    commands = [typed(site, replaced.BACK)] if replaced_ones else []
    commands += [typed(site, f"{replaced.FORGET} {each.name}") for each in ours if _may_go(each, seen.epoch)]
    return replace(
        lists.table(site, "restored_databases", columns, rows, words), commands=tuple(commands[:5])
    )


def _may_go(each: Database, epoch: float) -> bool:
    assert each.mark is not None
    return not each.sessions and (each.mark.until or 0.0) <= epoch


def _row(each: Database, epoch: float) -> looks.Row:
    mark = each.mark
    assert mark is not None
    what: dict[str, Callable[[], str]] = {
        "replaced": lambda: _("{database} until it was replaced by {of}").format(
            database=mark.database, of=mark.of
        ),
        "drill": lambda: _("left of a trial of {of}").format(of=mark.of),
    }
    otherwise = lambda: _("left of a restore of {of}").format(of=mark.of)  # noqa: E731
    return {
        "name": each.name,
        "what": what.get(mark.does, otherwise)(),
        "does": mark.does,
        "of": mark.of,
        "database": mark.database,
        "bytes": each.bytes,
        "size": size(each.bytes),
        "since": moment(mark.at),
        "until": moment(mark.until) if mark.until is not None else "",
        "at": mark.at,
        "until_at": mark.until,
        "may_go": _may_go(each, epoch),
        "sessions": each.sessions,
    }
