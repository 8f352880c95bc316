"""What the trace of a canary proves of each hop, in the order of time: when it was there, and where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from samaops.changes.canary import MARK, Canary
from samaops.facts.canary import Heard, Sighting
from samaops.i18n import _
from samaops.model.status import Status
from samaops.workflows.troubleshooting.hops import SeenHop

# A worker acknowledges last, or as soon as it begins: in either case the task's end proves it.
ORDER = ("published", "ready", "delivered", "sent", "accepted", "acknowledged")
# The steps that a task may report, by the hop at which the canary stopped when one failed.
_BEFORE_SENT = ("oauth.proxy", "oauth.tls", "fcm.proxy", "fcm.tls")
_BEFORE_ACCEPTED = ("oauth.token", "fcm.send")
_KEPT_CHARACTERS = 500
_HOSTS = {"oauth": "oauth2.googleapis.com", "fcm": "fcm.googleapis.com"}


class Trace(Struct, frozen=True):
    """One canary that the broker took. Moments are of this machine's monotonic clock."""

    canary: Canary
    began_at: float
    published_at: float
    waited_seconds: float
    seen: Sighting
    heard: Heard | None = None
    flower_failure: str = ""  # why Flower could not be asked

    def ms(self, moment: float) -> float:
        """Return how long after the beginning a moment was."""
        return round((moment - self.began_at) * 1000, 1)


class _TaskReport:
    """What the task itself reports: of how it went, in its result or among the arguments of its exception."""

    def __init__(self, seen: Sighting) -> None:
        result = seen.result if isinstance(seen.result, Mapping) else {}
        message = result.get("exc_message") if seen.state == "FAILURE" else None
        arguments = message if isinstance(message, Sequence) and not isinstance(message, str) else [message]
        report = result
        if seen.state != "SUCCESS":
            report = next((argument for argument in arguments if isinstance(argument, Mapping)), {})
        self.marker = str(report.get("marker", ""))
        self.is_validated = report.get("validate_only") is True
        self.name = str(report.get("name", ""))
        self.failed = str(report.get("failed", ""))
        self.steps = dict(_steps(report.get("steps")))
        self.exception = str(result.get("exc_type", ""))
        words = ": ".join(str(part) for part in arguments if isinstance(part, (str, int)) and str(part))
        self.error = (words or self.exception)[:_KEPT_CHARACTERS]

    @property
    def total_ms(self) -> float | None:
        """How long all its steps took; None when it tells of none."""
        return sum(self.steps.values()) if self.steps else None


def _steps(steps: Any) -> Iterator[tuple[str, float]]:
    for step in steps if isinstance(steps, Sequence) and not isinstance(steps, str) else ():
        if isinstance(step, Mapping) and isinstance(step.get("ms"), (int, float)):
            yield str(step.get("step", "")), float(step["ms"])


def hops_of(trace: Trace) -> tuple[SeenHop, ...]:
    """Return every hop, in the order of time; what comes after the one where it stopped is skipped."""
    proved = {hop.id: hop for hop in _proved(trace)}
    return tuple(proved.get(name, SeenHop(name, Status.SKIPPED)) for name in ORDER)


def _proved(trace: Trace) -> Iterator[SeenHop]:
    published = trace.ms(trace.published_at)
    evidence = {"task": trace.canary.task, "task_id": trace.canary.task_id, "queue": trace.canary.queue}
    yield SeenHop("published", Status.OK, published, _("RabbitMQ took it"), evidence)
    if trace.seen.has_ended:
        yield from _ended(trace, published)
    elif trace.heard is not None and trace.heard.state in ("SUCCESS", "FAILURE"):
        yield from _ended_unseen(trace, trace.heard, published)
    else:
        yield from _not_ended(trace, published)


def _ended(trace: Trace, published: float) -> Iterator[SeenHop]:
    """Tell of a task whose result is in Redis."""
    seen, report = trace.seen, _TaskReport(trace.seen)
    assert seen.ended_at is not None
    ended = trace.ms(seen.ended_at)
    delivered = _delivered(trace, report, published, ended)
    yield _ready(trace, published, delivered)
    yield SeenHop("delivered", Status.OK, delivered, seen.worker)
    if seen.state == "FAILURE" and report.exception == "NotRegistered":
        yield SeenHop("sent", Status.CRITICAL, None, _unregistered(trace))
    elif seen.state == "FAILURE":
        yield from _failed(report, delivered, ended)
    else:
        yield from _succeeded(trace, report, delivered, ended)
    kept = (
        _("its result is in Redis") if seen.expires else _("its result is in Redis, and never expires there")
    )
    yield SeenHop("acknowledged", Status.OK, ended, kept)


def _delivered(trace: Trace, report: _TaskReport, published: float, ended: float) -> float:
    """Return when the worker began, at the latest: first seen to have begun, or the end less what it took."""
    moments = [ended]
    if trace.seen.began_at is not None:
        moments.append(trace.ms(trace.seen.began_at))
    if report.total_ms is not None:
        moments.append(ended - report.total_ms)
    return round(max(published, min(moments)), 1)


def _ready(trace: Trace, published: float, delivered: float | None = None) -> SeenHop:
    if delivered is None:
        return SeenHop("ready", Status.OK, published, _("in {queue}").format(queue=trace.canary.queue))
    text = _("waited {ms:.0f} ms in {queue}").format(ms=delivered - published, queue=trace.canary.queue)
    return SeenHop("ready", Status.OK, published, text)


def _unregistered(trace: Trace) -> str:
    text = _("the worker does not know the task {task}, and dropped it: nothing was sent to Google")
    return text.format(task=trace.canary.task)


def _failed(report: _TaskReport, delivered: float, ended: float) -> Iterator[SeenHop]:
    if report.failed in _BEFORE_SENT:
        yield SeenHop("sent", Status.CRITICAL, None, f"{_host(report.failed)}: {report.error}")
        return
    if report.failed in _BEFORE_ACCEPTED:
        yield _sent(report, delivered, ended)
        yield SeenHop("accepted", Status.CRITICAL, None, f"{_host(report.failed)}: {report.error}")
        return
    text = _("the task failed, and does not say at which step: {error}").format(error=report.error)
    yield SeenHop("accepted", Status.CRITICAL, None, text)


def _host(step: str) -> str:
    return _HOSTS.get(step.partition(".")[0], step)


def _sent(report: _TaskReport, delivered: float, ended: float) -> SeenHop:
    before = {name: ms for name, ms in report.steps.items() if name != "fcm.send"}
    if not before:
        return SeenHop("sent", Status.OK, None, _("the task does not tell when"))
    named = (("key", _("key")), ("proxy", "proxy"), ("tls", "TLS"), ("token", _("token")))
    took = [
        (word, [ms for step, ms in before.items() if step.rpartition(".")[2] == end]) for end, word in named
    ]
    parts = [f"{word} {'+'.join(f'{ms:.0f}' for ms in each)}" for word, each in took if each]
    text = ", ".join(parts) + " ms" if parts else ""
    at = _after_steps(delivered, sum(before.values()), ended)
    return SeenHop("sent", Status.OK, at, text, {"steps_ms": before})


def _after_steps(delivered: float, took: float, ended: float) -> float:
    """Return when a task's steps were done: not after its end, though it may begin before we know it is published."""
    return min(round(delivered + took, 1), ended)


def _succeeded(trace: Trace, report: _TaskReport, delivered: float, ended: float) -> Iterator[SeenHop]:
    """Tell of a task that ended well: it must say itself that this was a canary and that FCM only validated it."""
    violation = _contract_violation(trace, report)
    yield _sent(report, delivered, ended)
    if violation:
        yield SeenHop("accepted", Status.CRITICAL, None, violation)
        return
    took = report.total_ms
    at = ended if took is None else _after_steps(delivered, took, ended)
    evidence = {"name": report.name, "validate_only": True}
    text = _("validated only: {name}").format(name=report.name.rpartition("/")[2] or "?")
    yield SeenHop("accepted", Status.OK, at, text, evidence)


def _contract_violation(trace: Trace, report: _TaskReport) -> str:
    """Return what the task does not do that a task for canaries must do; empty when it does all."""
    if report.marker != MARK.format(task_id=trace.canary.task_id):
        text = _("the result of {task} does not carry this canary's mark")
        return text.format(task=trace.canary.task)
    if not report.is_validated:
        text = _(
            "{task} does not say that FCM only validated the message: it may have sent it. Look at the task"
        )
        return text.format(task=trace.canary.task)
    return ""


def _ended_unseen(trace: Trace, heard: Heard, published: float) -> Iterator[SeenHop]:
    """Tell of a task that Flower heard ending, and whose result cannot be read: what it did, only that would tell."""
    yield _ready(trace, published)
    yield SeenHop("delivered", Status.OK, None, heard.worker)
    if heard.state == "FAILURE":
        text = _("Flower heard that the task failed: {error}").format(
            error=heard.exception[:_KEPT_CHARACTERS]
        )
        yield SeenHop("accepted", Status.CRITICAL, None, text)
    else:
        reason = trace.seen.trouble or _("none is there; does the task keep its result?")
        text = _("the task has ended well, and its result cannot be read in Redis: {reason}")
        yield SeenHop("accepted", Status.UNKNOWN, None, text.format(reason=reason))
    yield SeenHop("acknowledged", Status.OK, None, _("Flower heard of its end"))


def _not_ended(trace: Trace, published: float) -> Iterator[SeenHop]:
    """Tell of a task that has no result in time: how far it came, as far as anybody saw it."""
    seen, heard, seconds = trace.seen, trace.heard, f"{trace.waited_seconds:g}"
    yield _ready(trace, published)
    if seen.began_at is not None or (heard is not None and heard.state == "STARTED"):
        at = trace.ms(seen.began_at) if seen.began_at is not None else None
        yield SeenHop("delivered", Status.OK, at, seen.worker or (heard.worker if heard else ""))
        yield SeenHop("acknowledged", Status.CRITICAL, None, _unended(trace, seconds))
    elif heard is not None:
        text = _("{worker} holds it and has not begun within {seconds} s: its processes are all busy")
        yield SeenHop("delivered", Status.CRITICAL, None, text.format(worker=heard.worker, seconds=seconds))
    elif seen.trouble:
        text = _("no result was seen within {seconds} s: Redis could not be read: {reason}")
        yield SeenHop("delivered", Status.UNKNOWN, None, text.format(seconds=seconds, reason=seen.trouble))
    else:
        text = _("no worker was seen to take it from {queue} within {seconds} s")
        words = text.format(queue=trace.canary.queue, seconds=seconds)
        if trace.flower_failure:
            words += "; " + _("Flower could not be asked: {reason}").format(reason=trace.flower_failure)
        yield SeenHop("delivered", Status.CRITICAL, None, words)


def _unended(trace: Trace, seconds: str) -> str:
    if not trace.seen.trouble:
        return _("the worker has begun, and no result is in Redis after {seconds} s").format(seconds=seconds)
    text = _(
        "the worker has begun, and was not heard to end within {seconds} s; Redis could not be read: {reason}"
    )
    return text.format(seconds=seconds, reason=trace.seen.trouble)
