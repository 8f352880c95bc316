"""Run one operation of a plan, and show it as a person would type it. One runner for each kind.

A new kind (an SQL statement, an API call) is a function here under its name in ``RUNNERS``.
"""

from __future__ import annotations

from collections.abc import Callable

from samaops.changes.run import canary_message, messages, parking
from samaops.clients.errors import ClientError
from samaops.clients.shells import ShellPool
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import SHELL, Operation, Outcome
from samaops.site.commands import on_server
from samaops.site.site import Site

_KEPT_CHARACTERS = 2000
# The other side may have heard what we asked for, and may be doing it.
_UNANSWERED = (FailureKind.NO_ANSWER, FailureKind.CLOSED, FailureKind.DEADLINE)


def run(operation: Operation, site: Site) -> Outcome:
    """Run an operation once and return how it ended; a failure is an outcome, not an exception."""
    try:
        return RUNNERS[operation.kind](operation, site)
    except ClientError as error:
        said = f"{error.stage}: {error.message}" if error.stage else error.message
        return Outcome(False, said, error.kind in _UNANSWERED)


def is_done(operation: Operation) -> bool:
    """Return whether nothing is left to do of a final undo, as this machine's files tell.

    Raises RefusedError when they tell that it must not be done as it is.
    """
    return operation.kind == messages.RESTORE and messages.is_restored(operation)


def shown(operation: Operation, site: Site) -> str:
    """Return an operation as a person would type it."""
    if operation.kind == SHELL:
        return on_server(site, operation.server, operation.text)
    if operation.kind in (messages.TAKE, messages.RESTORE):
        return messages.shown(operation, site)
    if operation.kind == canary_message.PUBLISH:
        return canary_message.shown(operation, site)
    return operation.text


def lines(operation: Operation, site: Site) -> tuple[str, ...]:
    """Return an operation as it is shown: one command line, or the calls of a protocol that has none."""
    if operation.kind in (parking.PARK, parking.UNPARK):
        return parking.calls(operation, site)
    return (shown(operation, site),)


def _run_in_shell(operation: Operation, site: Site) -> Outcome:
    """Run a command line on a server, through a connection of its own: the last may have died meanwhile."""
    if operation.server is None:
        raise ClientError(FailureKind.MISSING, _("no server is named"), "shell")
    shells = ShellPool(site.settings)
    try:
        done = shells.of(operation.server).run(operation.text, operation.timeout_seconds)
    finally:
        shells.close()
    said = "\n".join(part.strip() for part in (done.stdout, done.stderr) if part.strip())
    if done.exit_code:
        said = _("exit code {code}: {words}").format(code=done.exit_code, words=said)
    return Outcome(done.exit_code == 0, said[-_KEPT_CHARACTERS:])


def _take_messages(operation: Operation, site: Site) -> Outcome:
    return Outcome(True, messages.run_take(operation, site))


def _restore_messages(operation: Operation, site: Site) -> Outcome:
    return Outcome(True, messages.run_restore(operation, site))


def _publish_canary(operation: Operation, site: Site) -> Outcome:
    return Outcome(True, canary_message.run(operation, site))


def _park_messages(operation: Operation, site: Site) -> Outcome:
    return Outcome(True, parking.run_park(operation, site))


def _unpark_messages(operation: Operation, site: Site) -> Outcome:
    return Outcome(True, parking.run_unpark(operation, site))


RUNNERS: dict[str, Callable[[Operation, Site], Outcome]] = {
    SHELL: _run_in_shell,
    messages.TAKE: _take_messages,
    messages.RESTORE: _restore_messages,
    parking.PARK: _park_messages,
    parking.UNPARK: _unpark_messages,
    canary_message.PUBLISH: _publish_canary,
}
