"""Run one SQL statement of a plan, straight on PostgreSQL's own port."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import convert

from samaops.changes.postgresql.statement import STATEMENT, Statement
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.postgresql import WritingClient, statement_of, with_values
from samaops.config.settings import PostgreSQL
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import direct
from samaops.site.site import Site

_BAD_NOTICES = ("WARNING", "ERROR")


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    wanted = convert(operation.arguments, Statement)
    before = [with_values(statement_of("set_role", {}), {"role": wanted.role})] if wanted.role else []
    return (direct(site, *before, with_values(statement_of(wanted.file, wanted.names), wanted.values)),)


@runs(STATEMENT, lines=_lines)
def run_statement(operation: Operation, site: Site) -> Outcome:
    """Run the statement on a connection of its own. Raises ClientError."""
    wanted, settings = convert(operation.arguments, Statement), configured(site)
    client = WritingClient(
        site.host_of(settings),
        settings,
        wanted.application,
        operation.timeout_seconds,
        wanted.lock_timeout_ms,
    )
    with client:
        if wanted.role:
            client.run("set_role", values={"role": wanted.role})
        rows = client.run(wanted.file, wanted.names, wanted.values)
        complaints = complaints_in(client.notices)
    if complaints:
        return Outcome(False, complaints)
    if any(row.get("is_done") is False for row in rows):
        return Outcome(False, _("the server answered that it did not do it"))
    return Outcome(True)


def complaints_in(notices: Iterable[tuple[str, str]]) -> str:
    """Return the warnings among what the server said: that it skipped something is said so, and is no error there."""
    return "; ".join(words for severity, words in notices if severity in _BAD_NOTICES)


def configured(site: Site) -> PostgreSQL:
    """Return the section of the database. Raises ClientError."""
    if site.settings.postgresql is None:
        raise ClientError(FailureKind.MISSING, _("[postgresql] is not configured"), "postgresql")
    return site.settings.postgresql
