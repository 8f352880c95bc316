"""Run a command line on a server."""

from __future__ import annotations

from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import SHELL, Operation, Outcome
from samaops.site.commands import on_server
from samaops.site.site import Site

_KEPT_CHARACTERS = 2000


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    return (on_server(site, operation.server, operation.command),)


@runs(SHELL, lines=_lines)
def run_in_shell(operation: Operation, site: Site) -> Outcome:
    """Run a command line through a connection of its own: the last may have died meanwhile."""
    if operation.server is None:
        raise ClientError(FailureKind.MISSING, _("no server is named"), "shell")
    shells = ShellPool(site.settings)
    try:
        completed = shells.of(operation.server).run(operation.command, operation.timeout_seconds)
    finally:
        shells.close()
    output = completed.stdout.strip()
    if completed.exit_code:  # why it failed stands on stderr; there a command that did not only warns
        output = completed.stderr.strip() or output
        output = _("exit code {code}: {words}").format(code=completed.exit_code, words=output)
    return Outcome(completed.exit_code == 0, output[-_KEPT_CHARACTERS:])
