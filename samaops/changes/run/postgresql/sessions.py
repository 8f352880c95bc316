"""End what a session of the database does: cancel its statement, and end the session where that does not help."""

from __future__ import annotations

import time

from msgspec import convert
from msgspec.structs import asdict

from samaops.changes.postgresql.sessions import END, WAIT_MS, Ending
from samaops.changes.run.operations import runs
from samaops.changes.run.postgresql.statements import complaints_in, configured
from samaops.clients.postgresql import WritingClient, statement_of, with_values
from samaops.i18n import _
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import direct
from samaops.site.site import Site

# A statement that is cancelled ends at once, unless it is in what cannot be interrupted, or takes the cancel for its own.
CANCEL_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.05


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    wanted = convert(operation.arguments, Ending)
    names = ("cancel", "terminate") if wanted.state == "active" else ("terminate",)
    return tuple(direct(site, with_values(statement_of(name, {}), _values(wanted))) for name in names)


def _values(wanted: Ending) -> dict[str, str | int]:
    return {**asdict(wanted), "wait_ms": WAIT_MS}


@runs(END, lines=_lines)
def end(operation: Operation, site: Site) -> Outcome:
    """End what the session does. Raises ClientError."""
    wanted, settings = convert(operation.arguments, Ending), configured(site)
    host, seconds = site.host_of(settings), operation.timeout_seconds
    with WritingClient(host, settings, "samaops db terminate", seconds) as client:
        if wanted.state == "active" and _cancelled(client, wanted):
            return Outcome(True, _("its statement is cancelled; the session stays"))
        rows = client.run("terminate", values=_values(wanted))
        complaints = complaints_in(client.notices)
    if complaints or any(row["is_done"] is False for row in rows):
        return Outcome(False, complaints or _("the server answered that it did not do it"), may_go_on=True)
    return Outcome(True, _("its session is ended") if rows else _("it had ended what it did by itself"))


def _cancelled(client: WritingClient, wanted: Ending) -> bool:
    """Cancel the statement and return whether it has ended within a moment."""
    client.run("cancel", values=_values(wanted))
    ends_at = time.monotonic() + CANCEL_SECONDS
    while client.run("still_active", values=_values(wanted)):
        if time.monotonic() > ends_at:
            return False
        time.sleep(LOOK_EVERY_SECONDS)
    return True
