"""Look with two processes: what goes through SSH in a child, all else here, at the same time.

One Python process uses one core, and for most of a diagnose it is our own processor time that answers wait for.
The child sends what it saw through a pipe. Whatever happens to it costs its own looks only.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NoReturn

from samaops.config.settings import Settings
from samaops.facts import engine
from samaops.facts.engine import Collector
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _
from samaops.model.failure import Failure, FailureKind
from samaops.model.report import Footprint

logger = logging.getLogger(__name__)
# What the child looks at. Systems that share a connection must be on the same side: the shells of the servers.
_SSH = "one SSH connection per server and run"
_HEAVY = "an import that would hold up the looks of this side"
ELSEWHERE = {
    "servers": _SSH,
    "docker": _SSH,
    "backup": _SSH,
    "maintenance": _SSH,
    "minio": _HEAVY,
    "firebase": _HEAVY,
    "proxy": "the same doors as firebase",
    "certificates": _HEAVY,
}
# How long after the deadline the child may take to send what it saw.
_SPARE_SECONDS = 0.5
_CHUNK_BYTES = 1 << 20


def observe(
    collectors: Sequence[Collector],
    settings: Settings,
    selection: Selection,
    deadline_seconds: float,
    meanwhile: Callable[[], object] | None = None,
    conceal: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
) -> Snapshot:
    """Look as ``engine.observe`` does, with a second process where that helps and is safe.

    ``conceal`` hides secrets: those that only the child came to know cannot be hidden here.
    """
    started = time.monotonic()
    there = [one for one in collectors if one.system in ELSEWHERE]
    here = [one for one in collectors if one.system not in ELSEWHERE]
    child = None
    if here and there and _may_fork():
        child = _start(lambda: conceal(engine.observe(there, settings, selection, deadline_seconds)))
    if child is None:
        return engine.observe(collectors, settings, selection, deadline_seconds, meanwhile)
    try:
        ours = engine.observe(here, settings, selection, deadline_seconds, meanwhile)
        theirs = child.answer(started + deadline_seconds + _SPARE_SECONDS)
    finally:
        child.end()
    if isinstance(theirs, Failure) or len(theirs.observations) != len(there):
        theirs = _unseen(ours, there, theirs)
    return _merged(collectors, ours, theirs, started)


def _may_fork() -> bool:
    """Return whether there is a core for a child, and no thread whose locks it would inherit for ever."""
    return (os.cpu_count() or 1) > 1 and hasattr(os, "fork") and threading.active_count() == 1


@dataclass(frozen=True, slots=True)
class _Child:
    """A process that looks. It ends when ``lifeline`` closes, as it does when this process ends in any way."""

    pid: int
    pipe: int
    lifeline: int

    def answer(self, ends_at: float) -> Snapshot | Failure:
        """Return what the child saw, or why that is not known."""
        data = self._read(ends_at)
        if data is None:
            return Failure(FailureKind.DEADLINE, _("the process that looks did not answer in time"))
        try:
            snapshot = pickle.loads(data)  # noqa: S301 - our own child wrote it
        except Exception as error:  # noqa: BLE001 - half an answer can fail in any way
            logger.warning("the process that looks sent %d bytes: %r", len(data), error)
            snapshot = None
        if isinstance(snapshot, Snapshot):
            return snapshot
        return Failure(FailureKind.ERROR, _("the process that looks ended without an answer"))

    def _read(self, ends_at: float) -> bytes | None:
        """Read all that is sent; None when it is not complete by then."""
        found = bytearray()
        while select.select([self.pipe], [], [], max(0.0, ends_at - time.monotonic()))[0]:
            chunk = os.read(self.pipe, _CHUNK_BYTES)
            if not chunk:
                return bytes(found)
            found += chunk
        return None

    def end(self) -> None:
        """End the child if it has not ended, and take note of its end: nothing of it stays."""
        os.close(self.pipe)
        os.close(self.lifeline)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(
            ChildProcessError
        ):  # somebody ignores the ends of children, and so the kernel forgot it
            os.waitpid(self.pid, 0)


def _start(look: Callable[[], Snapshot]) -> _Child | None:
    """Start a child that looks; None when the system lets us start none."""
    pipe, answers = os.pipe()
    held, lifeline = os.pipe()
    # No Ctrl-C may meet the child while it still believes to be the command line.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        pid = os.fork()
        if pid == 0:
            os.close(lifeline)
            _be_child(look, answers, held, before)
    except OSError as error:
        logger.warning("no second process: %s", error)
        os.close(pipe)
        os.close(lifeline)
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(answers)
        os.close(held)
    return _Child(pid, pipe, lifeline)


def _be_child(
    look: Callable[[], Snapshot], answers: int, held: int, mask: set[int | signal.Signals]
) -> NoReturn:
    """Look, send, and leave; nothing of the command line above may ever go on in this process."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        threading.Thread(target=_leave_with_parent, args=(held,), daemon=True).start()
        data = memoryview(pickle.dumps(look(), pickle.HIGHEST_PROTOCOL))
        while data:
            data = data[os.write(answers, data) :]
    except BaseException:
        logger.exception("the process that looks failed")
        os._exit(1)
    os._exit(0)


def _leave_with_parent(held: int) -> None:
    os.read(held, 1)  # ends when nobody holds the other side any more
    os._exit(1)


def _unseen(ours: Snapshot, there: Sequence[Collector], why: Snapshot | Failure) -> Snapshot:
    """Return what is known of the child's systems when it did not say: the reason."""
    failure = why if isinstance(why, Failure) else Failure(FailureKind.ERROR, _("half an answer"))
    observations = tuple(
        Observation(one.system, one.subject, one.server, one.facts_type.__name__, failure=failure)
        for one in there
    )
    return Snapshot(ours.taken_at, observations, deadline_hit=failure.kind is FailureKind.DEADLINE)


def _merged(collectors: Sequence[Collector], ours: Snapshot, theirs: Snapshot, started: float) -> Snapshot:
    """Put both halves together, in the order of the collectors."""
    sides = iter(ours.observations), iter(theirs.observations)
    spent, added = asdict(ours.footprint), asdict(theirs.footprint)
    return Snapshot(
        taken_at=ours.taken_at,
        observations=tuple(next(sides[one.system in ELSEWHERE]) for one in collectors),
        duration_ms=round((time.monotonic() - started) * 1000),
        deadline_hit=ours.deadline_hit or theirs.deadline_hit,
        footprint=Footprint(**{name: spent[name] + added[name] for name in spent}),
    )
