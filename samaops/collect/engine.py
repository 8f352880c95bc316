"""Look at many systems side by side: one thread each, a timeout each, one deadline for all.

A thread that hangs is left behind (they are daemons) and its observation says at which stage it hung;
nothing else waits for it.
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.shell import Shell
from samaops.clients.shells import ShellPool
from samaops.collect import awaited
from samaops.config import secrets
from samaops.errors import ConfigurationError
from samaops.facts.maintenance import NO_PAST, Past
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.facts.systems import WITH_DEEP
from samaops.i18n import _
from samaops.model.failure import Failure, FailureKind
from samaops.site.site import Site

logger = logging.getLogger(__name__)
# How failures look that come of waiting, and how long before the end a client may stop to have time to say so.
_BY_TIME = (FailureKind.NO_ANSWER, FailureKind.SILENT)
_SPARE_SECONDS = 0.6
# Processes that want a processor, of this machine and for each that it has: with more, a service on another machine may
# have answered in time, and we have not read it.
_BUSY_LOAD = 2.0
# How often we see that we run, and how long we did not when we were stopped.
_BEAT_SECONDS, _STOPPED_SECONDS = 0.25, 2.0
# Looks of one system that work at once: a hundred log-ins together only make each other late.
MOST_AT_ONCE = 16
ResultT = TypeVar("ResultT")
Look = Callable[["Probe"], object]


class Probe:
    """What a collector is given: its shells, what is wanted of it, and where it says how far it has come.

    ``past`` is what earlier runs saw, for looks that compare with it.
    """

    def __init__(
        self,
        shells: ShellPool,
        selection: Selection,
        ends_at: float,
        server: str | None = None,
        past: Past = NO_PAST,
    ) -> None:
        self.shells = shells
        self.past = past
        self.missing: dict[str, Failure] = {}
        self.current_stage = ""
        self._selection = selection
        self.server = server
        self._ends_at = ends_at

    def anew(self, ends_at: float) -> Probe:
        """Return what the same look gets when it begins again."""
        return Probe(self.shells, self._selection, ends_at, self.server, self.past)

    def stage(self, name: str) -> None:
        """Say what is about to be done; named in the finding if it hangs there."""
        self.current_stage = name

    def wants(self, *codes: str) -> bool:
        """Return whether any of these checks (or one under these prefixes) was selected, so its part is needed."""
        return any(self._selection.touches(code, self.server) for code in codes)

    def named(self, prefix: str) -> tuple[str, ...]:
        """Return what was asked for by its own name under a prefix; see ``selection.of``."""
        return self._selection.named(prefix)

    @property
    def deep(self) -> bool:
        """Whether costly looks were asked for too (``--deep``)."""
        return self._selection.deep

    @property
    def counts(self) -> bool:
        """Whether what is counted now was asked for, in place of statistics."""
        return self._selection.counts

    def remaining(self) -> float:
        """Return the seconds left for this collector, at least a little."""
        return max(0.05, self._ends_at - time.monotonic())

    def shell(self, server: str) -> Shell:
        """Return the run's shell on a server; a failed log-in is a DEPENDENCY failure here."""
        self.stage("ssh")
        try:
            return self.shells.of(server)
        except ClientError as error:
            raise error.on_the_way("ssh") from error

    def attempt(self, part: str, look: Callable[[], ResultT]) -> ResultT | None:
        """Look at one part; when that fails, remember why and go on without it."""
        self.stage(part)
        started = time.monotonic()
        try:
            return look()
        except ClientError as error:
            self.missing[part] = error.failure(_milliseconds_since(started))
            return None


class Collector(Struct, frozen=True):
    """How one subject is looked at. ``feeds`` are prefixes of the check codes that need it.

    ``on_request`` marks a look that nobody takes unless it is asked for by name, ``writes`` one that is taken with
    ``--probe`` alone: it leaves nothing behind, and it is waited for when the run is interrupted.
    """

    system: str
    subject: str
    facts_type: type
    collect: Look
    server: str | None = None
    feeds: tuple[str, ...] = ()
    timeout: float = 6.0
    on_request: bool = False
    writes: bool = False

    def is_wanted(self, selection: Selection) -> bool:
        """Return whether a selected check needs this collector."""
        if (self.on_request and not selection.names(self.system)) or (self.writes and not selection.probe):
            return False
        if self.system in WITH_DEEP and not (selection.deep or selection.names(self.system)):
            return False
        return any(selection.touches(prefix, self.server) for prefix in self.feeds or (self.system,))


class _Pulse:
    """Whether this process was stopped for a while (SIGSTOP, a machine that slept): silence then says nothing of others."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._longest = 0.0
        self._is_over = threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()

    def _beat(self) -> None:
        while not self._is_over.wait(_BEAT_SECONDS):
            now = time.monotonic()
            self._longest, self._last = max(self._longest, now - self._last), now

    @property
    def stopped_seconds(self) -> float:
        """Return how long it was stopped; 0 when it was not."""
        longest = max(self._longest, time.monotonic() - self._last)
        return longest if longest > _STOPPED_SECONDS else 0.0


class _Run:
    """One collector in its thread, and the observation it ends with."""

    def __init__(
        self,
        collector: Collector,
        shells: ShellPool,
        selection: Selection,
        run_ends_at: float,
        ended: threading.Condition,
        past: Past = NO_PAST,
        pulse: _Pulse | None = None,
    ) -> None:
        self.collector = collector
        self._pulse = pulse or _Pulse()
        self.started = time.monotonic()
        self.ends_at = min(self.started + collector.timeout, run_ends_at)
        self.hit_deadline = False
        self._run_ends_at = run_ends_at
        self.probe = Probe(shells, selection, self.ends_at, collector.server, past)
        self._ended = ended
        self._has_begun_again = False
        self._observation: Observation | None = None
        self.thread: threading.Thread | None = None
        if self.started < run_ends_at:
            target = contextvars.copy_context().run
            self.thread = threading.Thread(
                target=target, args=(self.look,), name=collector.subject, daemon=True
            )
            self.thread.start()

    def look(self) -> None:
        secrets.forget_waits()
        logger.debug("%s is looked at", self.collector.subject)
        try:
            facts = self.collector.collect(self.probe)
            self._finish(facts=facts)
        except ClientError as error:
            if error.kind in _BY_TIME and self._begins_again():
                self.look()
                return
            if error.kind in _BY_TIME and self._waited_for_a_secret():
                return
            failure = error.failure(_milliseconds_since(self.started))
            kind = FailureKind.DEADLINE if self._was_cut_short(error.kind) else error.kind
            self._finish(failure=replace(failure, kind=kind, stage=error.stage or self.probe.current_stage))
        except ConfigurationError as error:
            self._fail(FailureKind.MISSING, error.message)
        except Exception as error:  # the boundary: a bug in one collector costs its own checks only
            logger.exception("collector %s failed", self.collector.subject)
            self._fail(FailureKind.ERROR, f"{type(error).__name__}: {error}")

    def _begins_again(self) -> bool:
        """Return whether to look once more, with new time: where this machine has no time itself, silence may be its own."""
        now = time.monotonic()
        is_busy = _own_load() > _BUSY_LOAD
        has_room = now < self.ends_at and now + self.collector.timeout <= self._run_ends_at
        if self._has_begun_again or self.collector.writes or not (is_busy and has_room):
            return False
        self._has_begun_again = True
        self.ends_at = now + self.collector.timeout
        self.probe = self.probe.anew(self.ends_at)
        return True

    def await_removal(self) -> None:
        """Wait until a look that writes has removed what it wrote; its own time is all that it can take."""
        if self.collector.writes and self.thread is not None:
            self.thread.join(max(0.0, self.ends_at - time.monotonic()))

    @property
    def is_running(self) -> bool:
        """Whether it still works, and its time is not up."""
        return self._observation is None and time.monotonic() < self.ends_at

    def observation(self) -> Observation:
        """Wait for the observation; when it does not come in time, make one that says where the collector hangs."""
        with self._ended:
            while self._observation is None and (left := self.ends_at - time.monotonic()) > 0:
                self._ended.wait(left)  # it may begin again meanwhile, and then has more time
        if self._observation is None:
            self._waited_for_a_secret()
        is_ours = self.ends_at >= self._run_ends_at or self._pulse.stopped_seconds
        kind = FailureKind.DEADLINE if is_ours else FailureKind.NO_ANSWER
        text = _("no answer after {seconds:.1f} s")
        if self._pulse.stopped_seconds:
            text = _(
                "samaops itself was stopped for a while, {seconds:.1f} s after the look began it goes on"
            )
        self._fail(kind, text.format(seconds=time.monotonic() - self.started))
        assert self._observation is not None
        failure = self._observation.failure
        self.hit_deadline = failure is not None and failure.kind is FailureKind.DEADLINE
        return self._observation

    def _was_cut_short(self, kind: FailureKind) -> bool:
        """Return whether it was our deadline that did not let the system answer: no word about the system then."""
        if self._pulse.stopped_seconds and kind in (*_BY_TIME, FailureKind.CLOSED):
            return True
        budget_was_cut = self.started + self.collector.timeout > self._run_ends_at
        is_at_its_end = time.monotonic() > self._run_ends_at - _SPARE_SECONDS
        return kind in _BY_TIME and budget_was_cut and is_at_its_end

    def _waited_for_a_secret(self) -> bool:
        """Say so where most of the time of a look went to the command that gives its secret: no word about the system."""
        wait = secrets.wait_of(self.thread.ident if self.thread else None)
        if wait.seconds < self.collector.timeout / 2:
            return False
        text = _("The command that gives a secret takes {seconds:.1f} s: {command}")
        self._fail(FailureKind.MISSING, text.format(seconds=wait.seconds, command=wait.command))
        return True

    def _fail(self, kind: FailureKind, message: str) -> None:
        has_answered = False if kind is FailureKind.NO_ANSWER else None  # where it hangs, nobody has said
        after_ms = _milliseconds_since(self.started)
        self._finish(failure=Failure(kind, message, self.probe.current_stage, after_ms, has_answered))

    def _finish(self, facts: object = None, failure: Failure | None = None) -> None:
        with self._ended:  # the first word counts: a thread that ends after it was given up changes nothing
            self._ended.notify_all()
            if self._observation is None:
                how = f"{failure.kind.value}: {failure.message}" if failure else "seen"
                logger.debug(
                    "%s after %d ms: %s", self.collector.subject, _milliseconds_since(self.started), how
                )
                self._observation = Observation(
                    system=self.collector.system,
                    subject=self.collector.subject,
                    server=self.collector.server,
                    facts_type=self.collector.facts_type.__name__,
                    facts=facts,
                    failure=failure,
                    missing=dict(self.probe.missing),
                    duration_ms=_milliseconds_since(self.started),
                )


def observe(
    collectors: Iterable[Collector],
    site: Site,
    selection: Selection,
    deadline_seconds: float,
    past: Past = NO_PAST,
) -> Snapshot:
    """Run the collectors side by side and return what they saw within the deadline.

    Where there are very many of one system, the later ones are started when earlier ones have ended, or their time
    was up; the time of each begins when it is started.
    ``past`` is what earlier runs saw; without it, what compares with them has nothing to compare with.
    """
    started = time.monotonic()
    taken_at = datetime.now(timezone.utc)
    tally = footprint.open_tally()
    shells = ShellPool(site.settings)
    ends_at = started + deadline_seconds
    wanted = tuple(collectors)
    runs: dict[Collector, _Run] = {}
    ended = threading.Condition()
    pulse = _Pulse()

    def start_those_with_a_place() -> bool:
        busy = Counter(run.collector.system for run in runs.values() if run.is_running)
        for collector in wanted:
            if collector not in runs and busy[collector.system] < MOST_AT_ONCE:
                runs[collector] = _Run(collector, shells, selection, ends_at, ended, past, pulse)
                busy[collector.system] += 1
        return all(collector in runs for collector in wanted)

    def pending() -> list[str]:
        return [
            collector.system for collector in wanted if collector not in runs or runs[collector].is_running
        ]

    try:
        with awaited.told(pending), pulse:
            with ended:  # whatever ends meanwhile is heard
                while not start_those_with_a_place():
                    times = [run.ends_at for run in runs.values() if run.is_running]
                    ended.wait(max(0.0, min(times, default=0.0) - time.monotonic()))
            observations = tuple(runs[collector].observation() for collector in wanted)
    except BaseException:
        for run in runs.values():
            run.await_removal()
        raise
    shells.close()
    deadline_hit = any(run.hit_deadline for run in runs.values())
    return Snapshot(
        taken_at, observations, _milliseconds_since(started), deadline_hit, tally.footprint(), _own_load()
    )


def _own_load() -> float:
    """Return how many processes of this machine want each of its processors."""
    return round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
