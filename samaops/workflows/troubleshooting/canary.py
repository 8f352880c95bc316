"""Send one canary from the broker to FCM, which only validates it, and tell at each hop when it was there."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from uuid import uuid4

from msgspec import convert
from msgspec.structs import replace

from samaops.changes import canary, verbs
from samaops.changes.canary import NAME, Canary
from samaops.clients.errors import ClientError
from samaops.collect import canary as sightings
from samaops.collect.canary import ResultWatch
from samaops.config import playbooks
from samaops.config.settings import Redis
from samaops.errors import INTERRUPTED, UsageError
from samaops.facts.canary import Heard, Sighting
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.plan import Operation, Outcome, Plan
from samaops.model.report import Report, ReportError, worst_first
from samaops.model.status import Status
from samaops.model.typed import ready
from samaops.site import redaction
from samaops.site.commands import on_server, samaops
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.troubleshooting import hops as way
from samaops.workflows.troubleshooting.hops import SeenHop
from samaops.workflows.troubleshooting.trace import ORDER, Trace, hops_of

PLAYBOOK = "notifications"
_REACHED = (Status.OK, Status.SKIPPED)


@dataclass
class _TimedWorld(change.LiveWorld):
    """The real system, with the moments between which the canary was published."""

    began_at: float | None = None
    published_at: float | None = None
    failure: str = ""

    def run(self, operation: Operation) -> Outcome:
        """Run the operation, and note when."""
        self.began_at = time.monotonic()
        outcome = super().run(operation)
        if outcome.is_ok:
            self.published_at = time.monotonic()
        else:
            self.failure = outcome.output
        return outcome


def prepare(site: Site, queue: str | None, wait_seconds: float) -> Plan | Report:
    """Plan a canary; where what is seen already says that it would not get through, return that instead.

    Raises UsageError when the site has no task for canaries, UnavailableError when the broker cannot be looked at.
    """
    started, started_at = time.monotonic(), datetime.now(timezone.utc)
    chosen = canary.queue_of(site, queue)
    arguments = (chosen, str(uuid4()), f"{wait_seconds:g}")
    snapshot = change.LiveWorld(site).look(verbs.find(NAME).codes(site, arguments))
    obstacle = canary.obstacle(snapshot, chosen)
    if obstacle is None:
        return change.prepare(site, NAME, arguments)
    stopped = SeenHop(obstacle.hop, Status.CRITICAL, detail=obstacle.text)
    hops = [stopped if name == obstacle.hop else SeenHop(name, Status.SKIPPED) for name in ORDER]
    followed = _report(site, Report(NAME, started_at, footprint=snapshot.footprint), hops, started)
    return replace(followed, answer=_("No canary was sent: {reason}").format(reason=obstacle.text))


def send(site: Site, plan: Plan, wait_seconds: float) -> Report:
    """Publish the canary of a plan, follow it, and report when it was at each hop; ``wait_seconds`` at most.

    Whoever interrupts the waiting gets what was seen until then, with the exit code of an interruption.
    Raises RefusedError or LockedError when it cannot even begin: then nothing was changed.
    """
    redis = _redis(site)
    published = convert(plan.steps[0].operation.arguments, ready(Canary))
    world, started = _TimedWorld(site), time.monotonic()
    with ResultWatch(site, redis, published.task_id) as watch:
        report = change.apply(site, plan, wait_seconds, world)
        if world.began_at is None:
            return report
        if world.published_at is None:
            failed = SeenHop("published", Status.CRITICAL, detail=world.failure)
            hops = [failed, *(SeenHop(name, Status.SKIPPED) for name in ORDER[1:])]
            return _report(site, report, hops, started)
        seen, is_interrupted = _awaited(watch, world.published_at + wait_seconds)
    heard, flower_failure = (None, "") if seen.has_ended else _heard(site, published.task_id)
    seen, heard = redaction.redacted((seen, heard), site)  # an exception may quote what it was given
    waited = round(time.monotonic() - world.published_at, 1) if is_interrupted else wait_seconds
    trace = Trace(published, world.began_at, world.published_at, waited, seen, heard, flower_failure)
    hint = _registered(site, published.queue) if _is_unknown_task(trace) else ""
    followed = _report(site, report, hops_of(trace), started, hint)
    return replace(followed, errors=(_interrupted(plan),)) if is_interrupted else followed


def _awaited(watch: ResultWatch, moment: float) -> tuple[Sighting, bool]:
    """Wait for the end of the task; return what was seen, and whether somebody did not want to wait longer."""
    try:
        return watch.until(moment), False
    except KeyboardInterrupt:
        return watch.until(time.monotonic()), True


def _interrupted(plan: Plan) -> ReportError:
    text = _("interrupted; the canary is published: {words}")
    return ReportError(text.format(words=plan.steps[0].no_undo), exit_code=INTERRUPTED)


def _redis(site: Site) -> Redis:
    if site.settings.redis is None:
        raise UsageError(_("[redis] is not configured: what the task reports is read there"))
    return site.settings.redis


def _heard(site: Site, task_id: str) -> tuple[Heard | None, str]:
    try:
        return sightings.heard(site, task_id), ""
    except ClientError as error:
        return None, error.message


def _is_unknown_task(trace: Trace) -> bool:
    result = trace.seen.result
    return isinstance(result, dict) and result.get("exc_type") == "NotRegistered"


def _report(site: Site, report: Report, hops: Sequence[SeenHop], started: float, hint: str = "") -> Report:
    """Return the report with its hops in their order, and the answer in one sentence."""
    playbook = playbooks.all_of(site.settings)[PLAYBOOK]
    titles = {hop.id: str(hop.title) for hop in playbook.hops}
    hint = hint or samaops(site, f"troubleshoot {PLAYBOOK}")
    findings = way.findings(PLAYBOOK, (replace(hop, hint=hint) for hop in hops), titles)
    duration_ms = round((time.monotonic() - started) * 1000)
    answer = "" if report.errors else _answer(findings)
    return replace(report, findings=findings, answer=answer, duration_ms=duration_ms)


def _registered(site: Site, queue: str) -> str:
    """Return the command that lists the tasks which the worker of a queue knows; empty when it has no container."""
    celery = site.settings.celery
    for worker in celery.workers.values() if celery else ():
        if celery and worker.container and queue in worker.queues:
            words = ["docker", "exec", worker.container, *shlex.split(celery.command), "-A", celery.app]
            command = shlex.join([*words, "inspect", "registered", "--timeout", "5"])
            return on_server(site, worker.server, command)
    return ""


def _answer(findings: Sequence[Finding]) -> str:
    stopped = next(
        (finding for finding in worst_first(list(findings)) if finding.status not in _REACHED), None
    )
    if stopped is not None and stopped.status is Status.UNKNOWN:
        return _("Whether a notification goes through is unknown: {reason}").format(reason=stopped.detail)
    if stopped is not None:
        text = _("The canary does not get through; it stopped before it was {hop}: {reason}")
        return text.format(hop=stopped.title, reason=stopped.detail)
    at = {finding.subject.partition("/")[2]: finding.value for finding in findings}["accepted"]
    if not isinstance(at, (int, float)):
        return _("A notification goes through")
    text = _("A notification goes through: {ms:.0f} ms from the broker to FCM's acceptance")
    return text.format(ms=at)
