"""What a canary proves, hop by hop in the order of time: when it was there, who says so, and where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from samaops.changes.canary import MARK
from samaops.facts.canary import Heard, Sighting
from samaops.i18n import _
from samaops.model.finding import NO_EVIDENCE, Finding
from samaops.model.status import Status
from samaops.workflows.hops import PREFIX

# A worker acknowledges last, or as soon as it begins: in either case the task's end proves it.
ORDER = ("published", "ready", "delivered", "sent", "accepted", "acknowledged")
# The steps that a task may tell of, by the hop at which the canary stopped when one failed.
_ON_THE_WAY = ("oauth.proxy", "oauth.tls", "fcm.proxy", "fcm.tls")
_AT_GOOGLE = ("oauth.token", "fcm.send")
_KEPT_CHARACTERS = 500
_HOSTS = {"oauth": "oauth2.googleapis.com", "fcm": "fcm.googleapis.com"}


class Trace(Struct, frozen=True):
    """One canary that the broker took. Moments are of this machine's monotonic clock."""

    task: str
    task_id: str
    queue: str
    began_at: float
    published_at: float
    waited_seconds: float
    seen: Sighting
    heard: Heard | None = None
    deaf: str = ""  # why Flower could not be asked

    def ms(self, moment: float) -> float:
        """Return how long after the beginning a moment was."""
        return round((moment - self.began_at) * 1000, 1)


class Hop(Struct, frozen=True):
    """How far one hop is proved: its status, when, and what is said about it."""

    id: str
    status: Status
    at_ms: float | None = None
    text: str = ""
    evidence: Mapping[str, Any] = field(default_factory=lambda: NO_EVIDENCE)


class _Report:
    """What the task itself tells: of how it went, in its result or among the arguments of its exception."""

    def __init__(self, seen: Sighting) -> None:
        result = seen.result if isinstance(seen.result, Mapping) else {}
        said = result.get("exc_message") if seen.state == "FAILURE" else None
        parts = said if isinstance(said, Sequence) and not isinstance(said, str) else [said]
        told = (
            result
            if seen.state == "SUCCESS"
            else next((one for one in parts if isinstance(one, Mapping)), {})
        )
        self.marker = str(told.get("marker", ""))
        self.is_validated = told.get("validate_only") is True
        self.name = str(told.get("name", ""))
        self.failed = str(told.get("failed", ""))
        self.steps = dict(_steps(told.get("steps")))
        self.exception = str(result.get("exc_type", ""))
        words = ": ".join(str(one) for one in parts if isinstance(one, (str, int)) and str(one))
        self.error = (words or self.exception)[:_KEPT_CHARACTERS]

    @property
    def total_ms(self) -> float | None:
        """How long all its steps took; None when it tells of none."""
        return sum(self.steps.values()) if self.steps else None


def _steps(told: Any) -> Iterator[tuple[str, float]]:
    for one in told if isinstance(told, Sequence) and not isinstance(told, str) else ():
        if isinstance(one, Mapping) and isinstance(one.get("ms"), (int, float)):
            yield str(one.get("step", "")), float(one["ms"])


def hops_of(trace: Trace) -> tuple[Hop, ...]:
    """Return every hop, in the order of time; what comes after the one where it stopped is skipped."""
    proved = {hop.id: hop for hop in _proved(trace)}
    return tuple(proved.get(name, Hop(name, Status.SKIPPED)) for name in ORDER)


def _proved(trace: Trace) -> Iterator[Hop]:
    published = trace.ms(trace.published_at)
    told = {"task": trace.task, "task_id": trace.task_id, "queue": trace.queue}
    yield Hop("published", Status.OK, published, _("RabbitMQ took it"), told)
    if trace.seen.has_ended:
        yield from _ended(trace, published)
    elif trace.heard is not None and trace.heard.state in ("SUCCESS", "FAILURE"):
        yield from _ended_unseen(trace, trace.heard, published)
    else:
        yield from _not_ended(trace, published)


def _ended(trace: Trace, published: float) -> Iterator[Hop]:
    """Tell of a task whose result is in Redis."""
    seen, report = trace.seen, _Report(trace.seen)
    assert seen.ended_at is not None
    ended = trace.ms(seen.ended_at)
    delivered = _delivered(trace, report, published, ended)
    yield _ready(trace, published, delivered)
    yield Hop("delivered", Status.OK, delivered, seen.worker)
    if seen.state == "FAILURE" and report.exception == "NotRegistered":
        yield Hop("sent", Status.CRITICAL, None, _unregistered(trace))
    elif seen.state == "FAILURE":
        yield from _failed(report, delivered)
    else:
        yield from _succeeded(trace, report, delivered, ended)
    kept = (
        _("its result is in Redis") if seen.expires else _("its result is in Redis, and never expires there")
    )
    yield Hop("acknowledged", Status.OK, ended, kept)


def _delivered(trace: Trace, report: _Report, published: float, ended: float) -> float:
    """Return when the worker began, at the latest: first seen to have begun, or the end less what it took."""
    moments = [ended]
    if trace.seen.began_at is not None:
        moments.append(trace.ms(trace.seen.began_at))
    if report.total_ms is not None:
        moments.append(ended - report.total_ms)
    return round(max(published, min(moments)), 1)


def _ready(trace: Trace, published: float, delivered: float | None = None) -> Hop:
    if delivered is None:
        return Hop("ready", Status.OK, published, _("in {queue}").format(queue=trace.queue))
    text = _("waited {ms:.0f} ms in {queue}").format(ms=delivered - published, queue=trace.queue)
    return Hop("ready", Status.OK, published, text)


def _unregistered(trace: Trace) -> str:
    text = _("the worker does not know the task {task}, and dropped it: nothing was sent to Google")
    return text.format(task=trace.task)


def _failed(report: _Report, delivered: float) -> Iterator[Hop]:
    if report.failed in _ON_THE_WAY:
        yield Hop("sent", Status.CRITICAL, None, f"{_host(report.failed)}: {report.error}")
        return
    if report.failed in _AT_GOOGLE:
        yield _sent(report, delivered)
        yield Hop("accepted", Status.CRITICAL, None, f"{_host(report.failed)}: {report.error}")
        return
    text = _("the task failed, and does not say at which step: {error}").format(error=report.error)
    yield Hop("accepted", Status.CRITICAL, None, text)


def _host(step: str) -> str:
    return _HOSTS.get(step.partition(".")[0], step)


def _sent(report: _Report, delivered: float) -> Hop:
    before = {name: ms for name, ms in report.steps.items() if name != "fcm.send"}
    if not before:
        return Hop("sent", Status.OK, None, _("the task does not tell when"))
    named = (("key", _("key")), ("proxy", "proxy"), ("tls", "TLS"), ("token", _("token")))
    took = [
        (word, [ms for step, ms in before.items() if step.rpartition(".")[2] == end]) for end, word in named
    ]
    parts = [f"{word} {'+'.join(f'{ms:.0f}' for ms in each)}" for word, each in took if each]
    text = ", ".join(parts) + " ms" if parts else ""
    at = round(delivered + sum(before.values()), 1)
    return Hop("sent", Status.OK, at, text, {"steps_ms": before})


def _succeeded(trace: Trace, report: _Report, delivered: float, ended: float) -> Iterator[Hop]:
    """Tell of a task that ended well: it must say itself that this was a canary and that FCM only validated it."""
    wrong = _broken_promise(trace, report)
    yield _sent(report, delivered)
    if wrong:
        yield Hop("accepted", Status.CRITICAL, None, wrong)
        return
    took = report.total_ms
    at = ended if took is None else round(delivered + took, 1)
    told = {"name": report.name, "validate_only": True}
    text = _("validated only: {name}").format(name=report.name.rpartition("/")[2] or "?")
    yield Hop("accepted", Status.OK, at, text, told)


def _broken_promise(trace: Trace, report: _Report) -> str:
    if report.marker != MARK.format(task_id=trace.task_id):
        text = _("the result of {task} does not carry this canary's mark")
        return text.format(task=trace.task)
    if not report.is_validated:
        text = _(
            "{task} does not say that FCM only validated the message: it may have sent it. Look at the task"
        )
        return text.format(task=trace.task)
    return ""


def _ended_unseen(trace: Trace, heard: Heard, published: float) -> Iterator[Hop]:
    """Tell of a task that Flower heard ending, and whose result cannot be read: what it did, only that would tell."""
    yield _ready(trace, published)
    yield Hop("delivered", Status.OK, None, heard.worker)
    if heard.state == "FAILURE":
        text = _("Flower heard that the task failed: {error}").format(
            error=heard.exception[:_KEPT_CHARACTERS]
        )
        yield Hop("accepted", Status.CRITICAL, None, text)
    else:
        reason = trace.seen.trouble or _("none is there; does the task keep its result?")
        text = _("the task has ended well, and its result cannot be read in Redis: {reason}")
        yield Hop("accepted", Status.UNKNOWN, None, text.format(reason=reason))
    yield Hop("acknowledged", Status.OK, None, _("Flower heard of its end"))


def _not_ended(trace: Trace, published: float) -> Iterator[Hop]:
    """Tell of a task that has no result in time: how far it came, as far as anybody saw it."""
    seen, heard, seconds = trace.seen, trace.heard, f"{trace.waited_seconds:g}"
    yield _ready(trace, published)
    if seen.began_at is not None or (heard is not None and heard.state == "STARTED"):
        at = trace.ms(seen.began_at) if seen.began_at is not None else None
        yield Hop("delivered", Status.OK, at, seen.worker or (heard.worker if heard else ""))
        yield Hop("acknowledged", Status.CRITICAL, None, _unended(trace, seconds))
    elif heard is not None:
        text = _("{worker} holds it and has not begun within {seconds} s: its processes are all busy")
        yield Hop("delivered", Status.CRITICAL, None, text.format(worker=heard.worker, seconds=seconds))
    elif seen.trouble:
        text = _("no result was seen within {seconds} s: Redis could not be read: {reason}")
        yield Hop("delivered", Status.UNKNOWN, None, text.format(seconds=seconds, reason=seen.trouble))
    else:
        text = _("no worker was seen to take it from {queue} within {seconds} s")
        words = text.format(queue=trace.queue, seconds=seconds)
        if trace.deaf:
            words += "; " + _("Flower could not be asked: {reason}").format(reason=trace.deaf)
        yield Hop("delivered", Status.CRITICAL, None, words)


def _unended(trace: Trace, seconds: str) -> str:
    if not trace.seen.trouble:
        return _("the worker has begun, and no result is in Redis after {seconds} s").format(seconds=seconds)
    text = _(
        "the worker has begun, and was not heard to end within {seconds} s; Redis could not be read: {reason}"
    )
    return text.format(seconds=seconds, reason=trace.seen.trouble)


def findings(hops: Sequence[Hop], titles: Mapping[str, str], hint: str) -> tuple[Finding, ...]:
    """Return the hops as findings, the place where it stopped with the next command to type."""
    return tuple(_finding(hop, titles.get(hop.id, hop.id), hint) for hop in hops)


def _finding(hop: Hop, title: str, hint: str) -> Finding:
    finding = Finding(
        code=f"{PREFIX}{hop.id}",
        status=hop.status,
        subject=f"notifications/{hop.id}",
        title=title,
        detail=hop.text,
        value=hop.at_ms,
        unit="milliseconds",
        evidence=hop.evidence,
    )
    return finding if hop.status in (Status.OK, Status.SKIPPED) else replace(finding, hint=hint)
