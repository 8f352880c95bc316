"""Write a setting into postgresql.auto.conf, have the server read its files again, and see that it did."""

from __future__ import annotations

import time

from msgspec import convert

from samaops.changes.postgresql.parameters import SET, Setting
from samaops.changes.run.operations import runs
from samaops.changes.run.postgresql.statements import complaints_in, configured
from samaops.clients.postgresql import WritingClient, statement_of, with_values
from samaops.i18n import _
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import direct
from samaops.site.site import Site

# The server's first process tells all others, which look when they have ended what they do.
RELOAD_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.05


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    wanted = convert(operation.arguments, Setting)
    statement = statement_of(_file(wanted), {"name": wanted.name})
    alter = statement if wanted.value is None else with_values(statement, {"value": wanted.value})
    return (direct(site, alter, statement_of("reload", {})),)


def _file(wanted: Setting) -> str:
    return "alter_system_reset" if wanted.value is None else "alter_system"


@runs(SET, lines=_lines)
def set_parameter(operation: Operation, site: Site) -> Outcome:
    """Write it, and have the files read again. Raises ClientError."""
    wanted, settings = convert(operation.arguments, Setting), configured(site)
    host = site.host_of(settings)
    with WritingClient(host, settings, "samaops db set", operation.timeout_seconds) as client:
        before = client.run("loaded")[0]["loaded"]
        values = {} if wanted.value is None else {"value": wanted.value}
        client.run(_file(wanted), {"name": wanted.name}, values)
        client.run("reload")
        ends_at = time.monotonic() + RELOAD_SECONDS
        while client.run("loaded")[0]["loaded"] == before:
            if time.monotonic() > ends_at:
                return Outcome(False, _("the server did not read its files again"), may_go_on=True)
            time.sleep(LOOK_EVERY_SECONDS)
        complaints = complaints_in(client.notices)
        shown = client.run("parameter", values={"name": wanted.name})[0]["shown"]
    if complaints:
        return Outcome(False, complaints)
    return Outcome(True, _("{name} is {value} for us now").format(name=wanted.name, value=shown))
