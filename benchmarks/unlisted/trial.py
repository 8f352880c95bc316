"""One turn of one fault: broken, seen by those who use the site, looked at, judged, healed, and well again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from benchmarks.matrix.commands import Samaops
from samaops.lab.incidents.site import Site
from samaops.lab.layout import Layout

from .declaration import DIRECTORY, Declaration
from .judgement import Judgement, judge

STEP_SECONDS = 90.0
EVIDENCE_SECONDS = 45.0
LOOK_SECONDS = 60.0
WELL_SECONDS = 60.0
PAUSE_SECONDS = 1.0
SERVERS = ("db", "api", "workers")
# How busy this machine is says nothing about whether the lab is well.
OF_THE_MACHINE = re.compile(r"servers\.load\.|\w+\.latency\.")


class Trial(Struct, frozen=True):
    """What happened. ``said`` are the first lines of the answer."""

    fault: str
    outcome: str
    said: tuple[str, ...] = ()
    look_seconds: float = 0.0
    healed: bool = False
    notes: tuple[str, ...] = ()
    total_seconds: float = 0.0


def make(layout: Layout, samaops: Samaops, fault: Declaration, work: Path) -> Trial:
    """Make one turn. The lab must be well; whatever happens, the fault is healed at the end."""
    began = time.monotonic()
    commands = Commands(layout, work)
    notes: list[str] = []
    judgement, look_seconds = Judgement("not broken"), 0.0
    try:
        notes += commands.run(fault.break_)
        unseen = commands.until(fault.evidence, EVIDENCE_SECONDS)
        if unseen:
            notes += [f"no evidence: {one}" for one in unseen]
        else:
            done = samaops.report("diagnose", limit_seconds=LOOK_SECONDS)
            judgement, look_seconds = judge(done.document, fault.expected), done.seconds
            notes += [] if done.document else [done.last_words]
    finally:
        notes += commands.run(fault.heal)
    left = wait_until_well(samaops, WELL_SECONDS)
    return Trial(
        fault=fault.id,
        outcome=judgement.outcome,
        said=judgement.said,
        look_seconds=round(look_seconds, 1),
        healed=not left,
        notes=(*notes, *(f"left: {one}" for one in left)),
        total_seconds=round(time.monotonic() - began, 1),
    )


def wait_until_well(samaops: Samaops, seconds: float) -> list[str]:
    """Look until all is well; return what is not when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        report = samaops.report("diagnose", limit_seconds=LOOK_SECONDS).document
        findings = report.get("findings", [{"status": "unknown", "code": "no answer", "subject": ""}])
        left = [
            f"{one['code']}@{one['subject']}"
            for one in findings
            if one["status"] not in ("ok", "skipped") and not OF_THE_MACHINE.match(one["code"])
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(PAUSE_SECONDS)


class Commands(Struct, frozen=True):
    """The commands of a declaration, run in bash after the prelude; ``work`` is theirs, to remember what heals."""

    layout: Layout
    work: Path

    def run(self, script: str, seconds: float = STEP_SECONDS) -> list[str]:
        """Run a script; return what it said when it failed."""
        text = f". {DIRECTORY / 'prelude.sh'}\n{script}"
        try:
            done = subprocess.run(
                ["/bin/bash", "-c", text],
                env=self._environment(),
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"not done after {seconds:.0f} s"]
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        return [lines[-1][:200] if lines else f"exit code {done.returncode}"] if done.returncode else []

    def until(self, script: str, seconds: float) -> list[str]:
        """Run a script until it succeeds; return what it said last when it never did."""
        deadline = time.monotonic() + seconds
        while True:
            unseen = self.run(script, seconds=30)
            if not unseen or time.monotonic() > deadline:
                return unseen
            time.sleep(PAUSE_SECONDS)

    def _environment(self) -> dict[str, str]:
        site = Site.open(self.layout)
        secrets = {name.upper(): value for name, value in asdict(site.secrets).items()}
        servers = {f"{name.upper()}_PID": str(site.server(name).namespace_pid) for name in SERVERS}
        places = {
            "LAB": str(self.layout.directory),
            "WORK": str(self.work),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(DIRECTORY.parent.parent),
        }
        return {**os.environ, **secrets, **servers, **places, "LC_ALL": "C.UTF-8"}
