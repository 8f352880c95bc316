"""Let a Celery worker take nothing new and end what it works on, and let it consume again.

It is asked what it works on by ``celery inspect`` in its container: a look never does that, since it writes to the broker, but
here nothing else tells of a task whose message was acknowledged when it began.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import convert

from samaops.changes.celery import control
from samaops.changes.celery.draining import DRAIN, TAKE_UP, TELL_SECONDS, Draining, TakingUp
from samaops.changes.run import progress
from samaops.changes.run.operations import runs
from samaops.clients.errors import ClientError
from samaops.clients.put_back_watchdog import PutBackWatchdog, Watched
from samaops.clients.shell import Completed, Shell
from samaops.clients.shells import ShellPool
from samaops.errors import RefusedError, UsageError
from samaops.i18n import _, ngettext
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import on_server
from samaops.site.site import Site

_WATCHDOG_SECONDS = 20.0
_POLL_SECONDS = 0.5
# Between two tasks a worker has none for a moment.
_LOOKS_AT_NONE = 2
# How long a worker that is starting may take until it hears.
_HEAR_SECONDS = 60.0


def _command(site: Site, of: Draining | TakingUp, *words: str) -> str:
    """Return the command line that asks or tells exactly this node. Raises ClientError where it has gone from the configuration."""
    try:
        section, worker = control.configured(site, of.worker)
    except (UsageError, RefusedError) as error:
        raise ClientError(FailureKind.MISSING, error.message, "celery") from error
    kind, *rest = words
    options = ("--timeout", str(control.REPLY_SECONDS), "--destination", of.node)
    inside = worker.model_copy(update={"container": of.container})
    return control.inside(section, inside, kind, *options, *rest)


def _telling(site: Site, of: Draining | TakingUp, what: str) -> tuple[str, ...]:
    return tuple(_command(site, of, "control", what, queue) for queue in of.queues)


def _watched(site: Site, of: Draining | TakingUp) -> Watched:
    """Return what a watchdog on the worker's server does: it lets the worker consume again."""
    look = f"docker inspect {shlex.quote(of.container)} >/dev/null"
    again = " && ".join(f"{command} >/dev/null" for command in _telling(site, of, "add_consumer"))
    return Watched(_mark(site, of), look, again)


def _mark(site: Site, of: Draining | TakingUp) -> str:
    return f"samaops-worker {site.name}/{of.worker}"


def _drain_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Draining)
    guard = _("# on {server}, by itself {seconds:g} s later: {command}").format(
        server=operation.server, seconds=of.guard_seconds, command=_watched(site, of).put_back
    )
    asking = _command(site, of, "inspect", "--json", "active")
    lines = (*_telling(site, of, "cancel_consumer"), asking)
    return (guard, *(on_server(site, operation.server, line) for line in lines))


@contextmanager
def _shell(site: Site, operation: Operation) -> Iterator[Shell]:
    """Yield a shell on the worker's server. Raises ClientError."""
    shells = ShellPool(site.settings)
    try:
        yield shells.of(str(operation.server))
    finally:
        shells.close()


@runs(DRAIN, lines=_drain_lines)
def drain(operation: Operation, site: Site) -> Outcome:
    """Let a worker consume nothing, under a watchdog, and wait for its active tasks. Raises ClientError."""
    of = convert(operation.arguments, Draining)
    with _shell(site, operation) as shell:
        try:
            PutBackWatchdog(shell).start(_watched(site, of), of.guard_seconds, _WATCHDOG_SECONDS)
        except ClientError as error:
            text = _("nothing would let it consume again if samaops died: {reason}")
            return Outcome(False, text.format(reason=error.message), is_skipped=True)
        progress.tell(_("telling {worker} to take no new tasks").format(worker=of.worker))
        for command in _telling(site, of, "cancel_consumer"):
            done = shell.run(command, TELL_SECONDS)
            if done.exit_code:
                return Outcome(False, done.reason())
        return _await_end(shell, site, of)


def _await_end(shell: Shell, site: Site, of: Draining) -> Outcome:
    """Wait until a worker works on nothing any more, or the time is over: then it has failed, and no task is lost."""
    began, none_seen = time.monotonic(), 0
    command = _command(site, of, "inspect", "--json", "active")
    first: int | None = None
    while True:
        active = _active(shell.run(command, TELL_SECONDS), of.node)
        first = active if first is None else first
        seconds = time.monotonic() - began
        none_seen = none_seen + 1 if active == 0 else 0
        if none_seen >= _LOOKS_AT_NONE:
            text = _("{worker} works on nothing any more, after {seconds:.1f} s")
            measured = {"tasks_before": first, "seconds": round(seconds, 1)}
            words = text.format(worker=of.worker, seconds=seconds)
            return Outcome(True, words, measured=measured)
        if not none_seen and seconds + _POLL_SECONDS > of.within:
            return Outcome(False, _unended(of, active, seconds))
        progress.tell(_waiting(of.worker, active))
        time.sleep(_POLL_SECONDS)


def _active(done: Completed, node: str) -> int | None:
    """Return how many tasks a worker works on; None where it did not say."""
    text = done.stdout
    try:
        answer = json.loads(text[text.index("{") : text.rindex("}") + 1])
        return len(answer[node])
    except (ValueError, LookupError, TypeError):
        return None


def _waiting(worker: str, active: int | None) -> str:
    if active is None:
        return _("waiting for {worker} to say what it works on").format(worker=worker)
    text = ngettext(
        "waiting for {count} task of {worker} to end", "waiting for {count} tasks of {worker} to end", active
    )
    return text.format(count=active, worker=worker)


def _unended(of: Draining, active: int | None, seconds: float) -> str:
    if active is None:
        text = _("{worker} did not say in {seconds:.0f} s what it works on; it is not restarted")
        return text.format(worker=of.worker, seconds=seconds)
    text = ngettext(
        "{worker} still works on {count} task after {seconds:.0f} s; it is not restarted (--within)",
        "{worker} still works on {count} tasks after {seconds:.0f} s; it is not restarted (--within)",
        active,
    )
    return text.format(worker=of.worker, count=active, seconds=seconds)


def _take_up_lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, TakingUp)
    if not of.queues:
        return (_("# its watchdog on {server} ends").format(server=operation.server),)
    return tuple(on_server(site, operation.server, line) for line in _telling(site, of, "add_consumer"))


@runs(TAKE_UP, lines=_take_up_lines)
def take_up(operation: Operation, site: Site) -> Outcome:
    """Let a worker consume again, as soon as it hears; then its watchdog ends. Raises ClientError."""
    of = convert(operation.arguments, TakingUp)
    ends_at = time.monotonic() + _HEAR_SECONDS
    with _shell(site, operation) as shell:
        for command in _telling(site, of, "add_consumer"):
            while (done := shell.run(command, TELL_SECONDS)).exit_code:
                if time.monotonic() + _POLL_SECONDS > ends_at:
                    return Outcome(False, done.reason())
                progress.tell(_("waiting until {worker} hears").format(worker=of.worker))
                time.sleep(_POLL_SECONDS)
        try:
            PutBackWatchdog(shell).end(_mark(site, of), _WATCHDOG_SECONDS)
        except ClientError as error:
            return Outcome(True, _("a watchdog may still be there: {reason}").format(reason=error.message))
    return Outcome(True)
