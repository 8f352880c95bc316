"""Tell those who do not look: mail, chat, AlertManager, webhooks, a dead man's switch, and the log of maintenance.

Each channel has its own thread and its own time; one that fails or hangs stops neither the others nor the work.
"""

from __future__ import annotations

import contextvars
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from samaops.clients import alertmanager, smtp, webhooks
from samaops.clients.errors import ClientError
from samaops.config import files, places
from samaops.config.notify_settings import Webhook
from samaops.config.settings import Notify
from samaops.errors import ConfigurationError, SamaopsError, reason_of
from samaops.i18n import _, joined
from samaops.model.bulletin import Bulletin
from samaops.model.cause import Cause
from samaops.model.finding import Finding
from samaops.model.report import Report
from samaops.model.status import Status
from samaops.site import chosen, redaction
from samaops.site.commands import samaops
from samaops.site.site import Site
from samaops.workflows.notify import payload
from samaops.workflows.notify.deciding import RUN_FAILED
from samaops.workflows.notify.trying import bug

# A resolver can hang longer than any timeout of ours.
SPARE_SECONDS = 1.0
LONGEST_SECONDS = 20.0
PING_SECONDS = 3.0
# An alert ends by itself when the next run, which may be a little late, does not say it again.
_LATE_HOURS = 2.0
# A directory in which what is made belongs to its group, which may write there.
_OF_A_GROUP = stat.S_ISGID | stat.S_IWGRP
_BAD = (Status.WARNING, Status.CRITICAL, Status.UNKNOWN)
Labels = dict[str, str]


class Announcement(Struct, frozen=True):
    """What is told: the bulletin, the alerts that fire, and the labels of those that no longer do.

    ``untouched`` are earlier alerts about what this run did not look at, and of what nobody is told of now. ``report`` is what it is all
    about; ``messages`` are the bulletins of channels that are told less than all of it, or more than the others: where it is known
    what is news, those that are in it are told, and no others.
    """

    bulletin: Bulletin
    firing: tuple[Mapping[str, Any], ...]
    ended: tuple[Labels, ...]
    untouched: tuple[Labels, ...] = ()
    report: Report | None = None
    messages: Mapping[str, Bulletin] | None = None

    @property
    def alerts(self) -> tuple[Labels, ...]:
        """The labels of all alerts that are raised now."""
        return (*(alert["labels"] for alert in self.firing), *self.untouched)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything that somebody must know."""
        return bool(self.firing) if self.messages is None else bool(self.messages)

    def message(self, channel: str) -> Bulletin | None:
        """Return what a channel tells; None where it has nothing to tell."""
        if self.messages is None:
            return self.bulletin if self.firing else None
        return self.messages.get(channel)


def prepare(
    site: Site, report: Report, bulletin: Bulletin, earlier: Iterable[Labels], every_hours: float = 24.0
) -> Announcement:
    """Return what is to be told of a report, after one that raised these alerts; the next run is so many hours away."""
    ends_at = (datetime.now(timezone.utc) + timedelta(hours=every_hours + _LATE_HOURS)).isoformat()
    bad = [finding for finding in report.findings if finding.status in _BAD]
    muted = [finding for finding in bad if _is_muted(finding, report)]
    firing = tuple(_alert(site, finding, report) for finding in bad if finding not in muted)
    firing += tuple(_failed(site, report, error.message) for error in report.errors)
    firing = tuple({**alert, "endsAt": ends_at} for alert in firing)
    raised = [alert["labels"] for alert in firing]
    left = [labels for labels in earlier if labels not in raised]
    looked_at = {
        (finding.code, finding.subject) for finding in report.findings if finding.status is not Status.SKIPPED
    }
    looked_at |= {(RUN_FAILED, report.command)}
    looked_at -= {(finding.code, finding.subject) for finding in muted}
    ended = tuple(labels for labels in left if (labels.get("alertname"), labels.get("subject")) in looked_at)
    untouched = tuple(labels for labels in left if labels not in ended)
    return Announcement(bulletin, firing, ended, untouched, report)


def _is_muted(finding: Finding, report: Report) -> bool:
    """Return whether nobody is told of a finding now: it is silenced, or waits for the end of the quiet hours."""
    return finding.silenced is not None or (report.news is not None and finding.key in report.news.held)


def with_messages(
    site: Site, announcement: Announcement, compose: Callable[[Report, str], Bulletin]
) -> Announcement:
    """Return an announcement that tells the news alone, each channel also what it failed to tell before."""
    report = announcement.report
    if report is None or report.news is None:
        return announcement
    made: dict[tuple[str, ...], Bulletin] = {}
    messages = {}
    for channel in channels_of(site.settings.notify):
        news = report.news.for_channel(channel)
        if news is None:
            continue
        if news.announced not in made:
            made[news.announced] = redaction.redacted(compose(replace(report, news=news), site.name), site)
        messages[channel] = made[news.announced]
    return replace(announcement, messages=messages)


def channels_of(notify: Notify) -> tuple[str, ...]:
    """Return the names of the channels that are told in words."""
    return (*(name for name in ("mail", "slack") if getattr(notify, name) is not None), *notify.webhooks)


def _alert(site: Site, finding: Finding, report: Report) -> dict[str, Any]:
    names = {"alertname": finding.code, "subject": finding.subject}
    if finding.server:
        names["server"] = finding.server
    cause = next((cause for cause in report.causes if finding.key in cause.explains), None)
    hint = _way_out(site, cause) if cause else chosen.same(finding.hint or "")
    annotations = {
        "summary": finding.title,
        "description": finding.detail,
        "hint": hint,
        "cause": cause.title if cause else "",
    }
    return _fires(site, report, names, finding.status.value, annotations)


def _way_out(site: Site, cause: Cause) -> str:
    """Return the command of a cause itself; what it only explains has none of its own."""
    commands = cause.fixes[0].commands if cause.fixes else ()
    return commands[0] if commands else samaops(site, f"explain {cause.id}")


def _failed(site: Site, report: Report, message: str) -> dict[str, Any]:
    names = {"alertname": RUN_FAILED, "subject": report.command}
    return _fires(site, report, names, "critical", {"summary": message})


def _fires(
    site: Site, report: Report, names: Labels, severity: str, annotations: Mapping[str, str]
) -> dict[str, Any]:
    """Return an alert: https://prometheus.io/docs/alerting/latest/alerts_api/"""
    return {
        "labels": {**names, "severity": severity, "site": site.settings.site, "job": "samaops"},
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": report.started_at.isoformat(),
    }


def seconds_needed(notify: Notify) -> float:
    """Return how long it may take to tell somebody, the dead man's switch included."""
    return _longest(notify) + (2 * PING_SECONDS + SPARE_SECONDS if notify.ping else 0.0)


def send(site: Site, announcement: Announcement, most_seconds: float = LONGEST_SECONDS) -> tuple[str, ...]:
    """Use every configured channel side by side; return a sentence for each that failed."""
    return sentences(use(site, announcement, most_seconds)[1])


def use(
    site: Site, announcement: Announcement, most_seconds: float = LONGEST_SECONDS
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Use every channel that has something to tell, side by side; return which, and of each that failed why."""
    jobs = _channels(site, announcement)
    return tuple(jobs), side_by_side(jobs, min(most_seconds, _longest(site.settings.notify)))


def sentences(failures: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each channel that failed."""
    text = _("The notification by {channel} failed: {reason}")
    return tuple(text.format(channel=name, reason=reason) for name, reason in failures.items())


def _longest(notify: Notify) -> float:
    sections = (notify.mail, notify.slack, notify.alertmanager, *notify.webhooks.values())
    longest = max((section.timeout for section in sections if section is not None), default=-SPARE_SECONDS)
    return min(LONGEST_SECONDS, longest + SPARE_SECONDS)


def _channels(site: Site, announcement: Announcement) -> dict[str, Callable[[], None]]:
    notify, jobs = site.settings.notify, dict[str, Callable[[], None]]()
    mail, slack, alerts = notify.mail, notify.slack, notify.alertmanager
    by_mail, by_slack = announcement.message("mail"), announcement.message("slack")
    if mail is not None and by_mail is not None:
        jobs["mail"] = lambda: smtp.send(mail, by_mail.subject, by_mail.summary)
    if slack is not None and by_slack is not None:
        jobs["slack"] = lambda: webhooks.slack(slack, site.settings.proxy, by_slack.summary)
    for name, webhook in notify.webhooks.items():
        bulletin = announcement.message(name)
        if bulletin is not None:
            jobs[name] = partial(_by_webhook, site, name, webhook, announcement, bulletin)
    if alerts is not None and (announcement.firing or announcement.ended):
        now = datetime.now(timezone.utc).isoformat()
        ended = [{"labels": labels, "endsAt": now} for labels in announcement.ended]
        jobs["alertmanager"] = lambda: alertmanager.send(alerts, [*announcement.firing, *ended])
    return jobs


def _by_webhook(
    site: Site, name: str, webhook: Webhook, announcement: Announcement, bulletin: Bulletin
) -> None:
    report = announcement.report
    assert report is not None
    news = report.news.for_channel(name) if report.news else None
    values = redaction.redacted(payload.values(site, report, bulletin, news), site)
    webhooks.webhook(name, webhook, site.settings.proxy, payload.body(webhook, values))


def side_by_side(jobs: Mapping[str, Callable[[], None]], seconds: float) -> Mapping[str, str]:
    """Do some jobs at once, each in a thread of its own; return of each that failed, or hangs, why."""
    failures: dict[str, str] = dict.fromkeys(
        jobs, _("no answer within {seconds:g} s").format(seconds=seconds)
    )

    def attempt(name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except ClientError as error:
            failures[name] = error.message
        except SamaopsError as error:  # a secret that is not there
            failures[name] = error.message
        except Exception as error:  # noqa: BLE001 - the others are told all the same
            failures[name] = bug(error)
        else:
            failures.pop(name)

    threads = [_thread(partial(attempt, name, job)) for name, job in jobs.items()]
    ends_at = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return dict(failures)


def _thread(job: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=contextvars.copy_context().run, args=(job,), daemon=True)
    thread.start()
    return thread


class DeadMansSwitch:
    """Says that a run has begun and how it ended, from threads of their own; the run never waits for the first."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._failures: list[str] = []
        section = site.settings.notify.ping
        self._seconds = min(PING_SECONDS, section.timeout) if section else 0.0
        self._beginning: threading.Thread | None = None

    def begin(self) -> None:
        """Say that a run has begun."""
        if self._seconds:
            self._beginning = _thread(partial(self._send, "start", ""))

    def _end(self, signal: str, text: str) -> None:
        if self._beginning is not None:
            self._beginning.join()  # the last word is the last one there too
        self._send(signal, text)

    def _send(self, signal: str, text: str) -> None:
        section = self._site.settings.notify.ping
        assert section is not None
        try:
            bounded = section.model_copy(update={"timeout": self._seconds})
            webhooks.ping(bounded, self._site.settings.proxy, signal, text)
        except (ClientError, SamaopsError) as error:
            self._failures.append(error.message)
        except Exception as error:  # noqa: BLE001 - the run itself goes on
            self._failures.append(bug(error))

    def end(self, *, is_success: bool, text: str, most_seconds: float = LONGEST_SECONDS) -> tuple[str, ...]:
        """Say how the run ended and wait for that, not long; return a sentence when it could not be said."""
        if not self._seconds:
            return ()
        ending = _thread(partial(self._end, "" if is_success else "fail", text))
        ending.join(min(most_seconds, 2 * self._seconds + SPARE_SECONDS))
        if ending.is_alive():
            self._failures.append(_("no answer within {seconds:g} s").format(seconds=self._seconds))
        if not self._failures:
            return ()
        text = _("The notification by {channel} failed: {reason}")
        return (text.format(channel="ping", reason=joined(dict.fromkeys(self._failures))),)


def log(path: Path, bulletin: Bulletin, notes: Sequence[str]) -> tuple[str, ...]:
    """Append a run to the log of maintenance; where it cannot be written, to one of our own, and return that."""
    text = bulletin.log + "".join(f"  ! {note}\n" for note in notes) + "---\n"
    try:
        _append(path, text)
    except OSError as error:
        return (_log_here(path, text, error),)
    return ()


def _log_here(path: Path, text: str, error: OSError) -> str:
    reason = reason_of(error)
    try:
        own = places.state() / path.name
        _append(own, text)
    except ConfigurationError as second:
        return _("No log was written: {path}: {reason}; {second}").format(
            path=path, reason=reason, second=second.message
        )
    except OSError as second:
        return _("No log was written: {path}: {reason}; {own}: {second}").format(
            path=path, reason=reason, own=own, second=reason_of(second)
        )
    return _("The log {path} cannot be written: {reason}; it is in {own}").format(
        path=path, reason=reason, own=own
    )


def _share(descriptor: int, directory: Path) -> None:
    """Let the group write our file too where its directory is the group's: scheduler and people write one log."""
    seen = os.fstat(descriptor)
    if directory.stat().st_mode & _OF_A_GROUP == _OF_A_GROUP and seen.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o660)


def _append(path: Path, text: str) -> None:
    """Append in one write, so that two writers never mix their lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = files.open_to_append(path, 0o640)
    try:
        _share(descriptor, path.parent)
        os.write(descriptor, text.encode("utf-8", "backslashreplace"))
    finally:
        os.close(descriptor)
