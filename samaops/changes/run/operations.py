"""Run one operation of a plan, and show it as a person would type it: the registry of who does which kind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module

from msgspec import Struct

from samaops.changes.run import progress
from samaops.clients.errors import ClientError
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import samaops
from samaops.site.site import Site

logger = logging.getLogger(__name__)
# The other side may have heard what we asked for, and may be doing it.
_UNANSWERED = (FailureKind.NO_ANSWER, FailureKind.CLOSED, FailureKind.DEADLINE)
Doer = Callable[[Operation, Site], Outcome]
Lines = Callable[[Operation, Site], tuple[str, ...]]


def _never(_operation: Operation) -> bool:
    return False


class Runner(Struct, frozen=True):
    """Who does one kind. ``lines`` shows it: a command line, or the calls of a protocol that has none."""

    do: Doer
    lines: Lines
    is_done: Callable[[Operation], bool]


_runners: dict[str, Runner] = {}


def runs(kind: str, *, lines: Lines, is_done: Callable[[Operation], bool] = _never) -> Callable[[Doer], Doer]:
    """Register the decorated function for a kind of operation; it may raise ClientError."""

    def register(do: Doer) -> Doer:
        _runners[kind] = Runner(do, lines, is_done)
        return do

    return register


def runner_of(kind: str) -> Runner:
    """Return who does a kind of operation; the first that is asked for imports them all: what only lists needs none."""
    import_module("samaops.changes.run.registered")
    return _runners[kind]


def run(operation: Operation, site: Site) -> Outcome:
    """Run an operation once and return how it ended; a failure is an outcome, not an exception."""
    logger.info("does: %s", "; ".join(lines(operation, site)))
    try:
        outcome = runner_of(operation.kind).do(operation, site)
    except ClientError as error:
        output = f"{error.stage}: {error.message}" if error.stage else error.message
        outcome = Outcome(False, output, error.kind in _UNANSWERED)
    finally:
        progress.tell("")
    logger.info("%s: %s", "done" if outcome.is_ok else "failed", outcome.output)
    return outcome


def lines(operation: Operation, site: Site) -> tuple[str, ...]:
    """Return an operation as it is shown to people, line by line; commands of samaops itself are for this site."""
    own = "samaops "
    return tuple(
        samaops(site, line.removeprefix(own))
        if line.startswith(own) and not line.startswith(f"{own}-")
        else line
        for line in runner_of(operation.kind).lines(operation, site)
    )


def is_done(operation: Operation) -> bool:
    """Return whether nothing is left to do of a final undo, as this machine's files tell.

    Raises RefusedError when they tell that it must not be done as it is.
    """
    return runner_of(operation.kind).is_done(operation)
