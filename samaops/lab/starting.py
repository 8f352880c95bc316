"""Start parts, remember each, and tell about it: what is well is left alone, what died is started again."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import psycopg
from msgspec import Struct

from samaops.i18n import _
from samaops.lab.layout import Layout
from samaops.lab.processes import (
    POLL_SECONDS,
    ProcessSpec,
    StartError,
    Surroundings,
    is_alive,
    last_line,
    log_file,
    spawn,
    stop,
)
from samaops.lab.servers import Server, of_state
from samaops.lab.state import ProcessRecord, StateFile

# How long a part that runs already may take to answer before it is started again.
PATIENCE_SECONDS = 3.0
STOP_SECONDS = 8.0
FAULTS = (StartError, OSError, subprocess.SubprocessError, psycopg.Error)


class Step(Struct, frozen=True):
    """What happened to one part."""

    part: str
    state: Literal["starting", "ready", "unchanged", "failed"]
    seconds: float = 0.0
    detail: str = ""


Progress = Callable[[Step], None]


class PartError(StartError):
    """A part did not start; it has been told and remembered already."""


@dataclass(slots=True)
class Starter:
    """One run of ``up``: what it starts, whether anything had to be done."""

    layout: Layout
    states: StateFile
    progress: Progress
    changed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def server(self, name: str) -> Server:
        """Return a server that was created before."""
        return of_state(self.layout, self.states.state, name)

    def surroundings(self, server: str) -> Surroundings:
        """Return where a daemon of that server (or of "outside") is to run."""
        record = self.states.state.server(server)
        return Surroundings(self.layout, record.pid if record and is_alive(record) else 0)

    def process(self, spec: ProcessSpec) -> None:
        """Make sure a daemon runs and answers."""

        def work() -> bool:
            record = self.states.state.process(spec.name)
            if record is not None and is_alive(record):
                if wait_until(spec.ready, PATIENCE_SECONDS):
                    return False
                stop([record], STOP_SECONDS)
            self._say(Step(spec.name, "starting"))
            record = spawn(spec, self.surroundings(spec.server))
            self.states.record_process(record)
            self._wait_for(spec, record)
            return True

        self.action(spec.name, work)

    def _wait_for(self, spec: ProcessSpec, record: ProcessRecord) -> None:
        deadline = time.monotonic() + spec.ready_seconds
        while not spec.ready():
            if not is_alive(record):
                reason = last_line(log_file(self.layout, spec.name))
                raise StartError(reason or _("it ended without a word"))
            if time.monotonic() > deadline:
                raise StartError(_("no answer after {seconds:.0f} s").format(seconds=spec.ready_seconds))
            time.sleep(POLL_SECONDS)

    def action(self, part: str, work: Callable[[], bool]) -> None:
        """Do work that returns whether there was anything to do; raise PartError when it fails."""
        began = time.monotonic()
        try:
            done = work()
        except PartError:
            raise
        except FAULTS as error:
            self.failed(part, str(error).strip())
            raise PartError(part) from error
        with self._lock:
            self.changed = self.changed or done
        self._say(Step(part, "ready" if done else "unchanged", time.monotonic() - began))

    def chain(self, part: str, work: Callable[[], None]) -> None:
        """Do the steps of one chain; the first that fails ends it."""
        try:
            work()
        except PartError:
            return
        except FAULTS as error:
            self.failed(part, str(error).strip())

    def failed(self, part: str, reason: str) -> None:
        """Remember and tell that a part could not be started."""
        self.states.record_problem(part, reason)
        self._say(Step(part, "failed", detail=reason))

    def _say(self, step: Step) -> None:
        with self._lock:
            self.progress(step)


def wait_until(condition: Callable[[], bool], seconds: float, pause_seconds: float = POLL_SECONDS) -> bool:
    """Ask again and again; return whether the answer was yes in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_seconds)
    return True
