"""Try out who is told: one marked message by each channel, what was answered, and what to do where it failed."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from samaops.clients import alertmanager, smtp, webhooks
from samaops.clients.errors import ClientError
from samaops.config import consistency, notify_soundness
from samaops.config.secrets import Secret
from samaops.config.settings import Endpoint, MailNotification
from samaops.errors import ConfigurationError, SamaopsError, UsageError
from samaops.i18n import N_, _, ngettext
from samaops.journal.lock import this_process_now
from samaops.model.failure import Failure, FailureKind
from samaops.model.quantities import duration
from samaops.model.table import Column, Table
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows.notify import payload

logger = logging.getLogger(__name__)
# The name of the alert, so that AlertManager's configuration can send it wherever it likes.
TEST_ALERT = "SamaopsTest"
# It ends by itself: after what AlertManager waits before it tells anybody (group_wait, 30 s by default).
ALERT_SECONDS = 300.0
# A resolver can hang longer than any timeout of ours.
_SPARE_SECONDS, _LONGEST_SECONDS = 1.0, 60.0
OK, FAILED, PLANNED = "ok", "failed", "planned"
_WORDS = {OK: N_("answered"), FAILED: N_("failed"), PLANNED: N_("not sent")}


class Channel(Struct, frozen=True):
    """One way to tell somebody: its name, where it leads (no secret), how long it may take, and what sends a test by it.

    ``send`` returns what was answered, in words; it raises ClientError or ConfigurationError.
    """

    name: str
    where: str
    seconds: float
    send: Callable[[], str]


class Tried(Struct, frozen=True):
    """How a channel was tried: ``seconds`` is None where nothing was sent; ``is_unreached`` where nobody answered at all."""

    channel: Channel
    state: str
    answer: str
    seconds: float | None = None
    todo: str = ""
    is_unreached: bool = False


def channels(site: Site, only: str | None = None) -> tuple[Channel, ...]:
    """Return the channels that are configured, or one of them. Raises UsageError, ConfigurationError where there is none."""
    notify = site.settings.notify
    subject, text = _words(site)
    found = [*_own(site, subject, text)]
    for name, webhook in notify.webhooks.items():
        values = {**payload.example(site), **_values(site, subject, text)}

        def send(name: str = name, webhook: Any = webhook, values: Mapping[str, Any] = values) -> str:
            return webhooks.webhook(name, webhook, site.settings.proxy, payload.body(webhook, values))

        found.append(Channel(name, _host(webhook.url), webhook.timeout, send))
    if not found:
        text = _("Nobody is told: there is no section [notify.mail], [notify.slack] or another of them")
        raise ConfigurationError(text, hint=_("see config.example.toml, and docs/notifications.md"))
    if only is None:
        return tuple(found)
    chosen = tuple(channel for channel in found if channel.name == only)
    if not chosen:
        names = tuple(channel.name for channel in found)
        raise UsageError(consistency.not_one_of(only, names), hint="samaops notify test --dry-run")
    return chosen


def _own(site: Site, subject: str, text: str) -> list[Channel]:
    """Return the channels that have a section of their own."""
    notify, proxy = site.settings.notify, site.settings.proxy
    mail, slack, alerts, ping = notify.mail, notify.slack, notify.alertmanager, notify.ping
    found = []
    if mail is not None:
        where = f"{mail.host}:{mail.port}, {', '.join(mail.recipients)}"
        found.append(Channel("mail", where, mail.timeout, lambda: _mail(mail, subject, text)))
    if slack is not None:

        def by_slack() -> str:
            webhooks.slack(slack, proxy, f"{subject}\n{text}")
            return "HTTP 200 ok"

        found.append(Channel("slack", _host(slack.url), slack.timeout, by_slack))
    if alerts is not None:
        where = urlsplit(alerts.url).netloc
        found.append(
            Channel("alertmanager", where, 2 * alerts.timeout, lambda: _alert(site, alerts, subject, text))
        )
    if ping is not None:

        def by_ping() -> str:
            webhooks.ping(ping, proxy, "log", f"{subject}\n{text}")
            return _("taken; as a note (/log), which is no sign of life")

        found.append(Channel("ping", _host(ping.url), ping.timeout, by_ping))
    return found


def _words(site: Site) -> tuple[str, str]:
    """Return subject and text of the test, which say that nothing is wrong."""
    subject = _("[{site}] test: samaops can tell you").format(site=site.name)
    who = this_process_now()
    text = _(
        "This is a test of samaops notify test, sent by {user} on {host}. Nothing is wrong; nothing is to be done."
    )
    return subject, text.format(user=who.user, host=who.host) + "\n"


def _values(site: Site, subject: str, text: str) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {
        "kind": payload.TEST, "status": "ok", "command": "notify test", "at": now, "site": site.name,
        "subject": subject, "text": text, "findings": [], "causes": [], "recovered": [], "errors": [],
    }  # fmt: skip


def _host(url: Secret) -> str:
    """Return the host of a URL that is a secret; "***" where it cannot be looked up, which sending tells."""
    try:
        return urlsplit(url.reveal()).hostname or "***"
    except (ConfigurationError, ValueError):
        return "***"


def _mail(mail: MailNotification, subject: str, text: str) -> str:
    smtp.send(mail, subject, text)
    return _("the server took it for all recipients")


def _alert(site: Site, alerts: Endpoint, subject: str, text: str) -> str:
    now = datetime.now(timezone.utc)
    labels = {"alertname": TEST_ALERT, "severity": "warning", "site": site.settings.site, "job": "samaops",
              "subject": "notify/test"}  # fmt: skip
    ends = now + timedelta(seconds=ALERT_SECONDS)
    alert = {"labels": labels, "annotations": {"summary": subject, "description": text.strip()},
             "startsAt": now.isoformat(), "endsAt": ends.isoformat()}  # fmt: skip
    alertmanager.send(alerts, [alert])
    shown = alertmanager.with_name(alerts, TEST_ALERT)
    is_shown = isinstance(shown, list) and any(
        isinstance(each, dict) and each.get("labels") == labels for each in shown
    )
    if not is_shown:
        raise ClientError(FailureKind.ERROR, _("it took the alert, and does not show it"), "alertmanager")
    text = _("taken and shown as {name}; it ends by itself in {duration}")
    return text.format(name=TEST_ALERT, duration=duration(ALERT_SECONDS))


def planned(chosen: Sequence[Channel]) -> tuple[Tried, ...]:
    """Return what would be sent where."""
    return tuple(Tried(channel, PLANNED, _("a message marked as a test")) for channel in chosen)


def send(chosen: Sequence[Channel]) -> tuple[Tried, ...]:
    """Send a test by each channel, side by side; what hangs is left behind when its time is over."""
    results: dict[str, Tried] = {}
    threads = []
    started = time.monotonic()
    for channel in chosen:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(_try, channel, results), daemon=True)
        thread.start()
        threads.append(thread)
    longest = max(min(channel.seconds, _LONGEST_SECONDS) for channel in chosen) + _SPARE_SECONDS
    for thread in threads:
        thread.join(max(0.0, started + longest - time.monotonic()))
    return tuple(dict(results).get(channel.name) or _hung(channel, longest) for channel in chosen)


def _try(channel: Channel, results: dict[str, Tried]) -> None:
    started = time.monotonic()
    try:
        answer = channel.send()
    except ClientError as error:
        seconds = round(time.monotonic() - started, 2)
        failure = Failure(error.kind, error.message, error.stage, has_answered=error.has_answered)
        results[channel.name] = Tried(
            channel, FAILED, error.message, seconds, todo(channel.name, error.kind), failure.is_unreached
        )
    except SamaopsError as error:  # a secret that is not there, a template that does not fit
        seconds = round(time.monotonic() - started, 2)
        results[channel.name] = Tried(
            channel, FAILED, error.message, seconds, error.hint or "samaops config check"
        )
    except Exception as error:  # noqa: BLE001 - the boundary of a thread
        results[channel.name] = Tried(channel, FAILED, bug(error), round(time.monotonic() - started, 2))
    else:
        results[channel.name] = Tried(channel, OK, answer, round(time.monotonic() - started, 2))


def bug(error: Exception) -> str:
    """Return in words that a channel broke inside, and write how to the log. To be called where it was caught."""
    logger.exception("a channel broke")
    return _("this is a bug in samaops ({kind}); its log has the details").format(kind=type(error).__name__)


def _hung(channel: Channel, seconds: float) -> Tried:
    text = _("no answer within {seconds:g} s").format(seconds=seconds)
    kind = FailureKind.NO_ANSWER
    return Tried(channel, FAILED, text, seconds, todo(channel.name, kind))


def todo(name: str, kind: FailureKind) -> str:
    """Say what to do when a channel failed in some way."""
    section = f"[notify.{name}]" if name in _SECTIONS else f"[notify.webhooks.{name}]"
    own = _OWN.get((name, kind))
    return _(own or _USUAL.get(kind, _OTHERWISE)).format(section=section)


_SECTIONS = notify_soundness.CHANNELS
_OTHERWISE = N_("its own words tell more than samaops knows: look there, then at {section}")
_USUAL = {
    FailureKind.REFUSED: N_("nothing listens there: host and port in {section}, or start it"),
    FailureKind.SILENT: N_("nobody answers: a firewall on the way, or the wrong host in {section}"),
    FailureKind.NO_ANSWER: N_("it is there and does not answer: look at it, or raise timeout in {section}"),
    FailureKind.CLOSED: N_("it hangs up: whether {section} speaks to the right port, with or without TLS"),
    FailureKind.GARBAGE: N_("something else answers there: host and port in {section}"),
    FailureKind.TLS: N_("name the authority of its certificate in ca_file of {section}"),
    FailureKind.UNAVAILABLE: N_("it is there and cannot serve now: try again, then ask whoever runs it"),
    FailureKind.NAME: N_("the name does not resolve here: the host in {section}, or this machine's DNS"),
    FailureKind.AUTHENTICATION: N_("its user, password or token is refused: renew the secret in {section}"),
    FailureKind.PERMISSION: N_("it knows us and does not let us: rights there, or the secret in {section}"),
    FailureKind.MISSING: N_("there is no such address: make the URL anew there, and put it into {section}"),
    FailureKind.DEPENDENCY: N_("the way there does not work: [proxy], and through_proxy in {section}"),
}
_OWN = {
    ("mail", FailureKind.ERROR): N_("the server refuses sender or recipients: correct them in {section}"),
    ("mail", FailureKind.CLOSED): N_("it hangs up: encryption in {section} may not be that of its port"),
    ("ping", FailureKind.MISSING): N_(
        "no such check, or a switch without /log: make its URL anew, or look there whether it is alive"
    ),
    ("slack", FailureKind.MISSING): N_(
        "Slack knows no such webhook: make one anew, and put its URL into {section}"
    ),
}


def table_of(tried: Sequence[Tried], site: Site) -> Table:
    """Return how the channels were tried, as a list; what to do about those that failed stands below it."""
    columns = (
        Column("channel", _("channel"), is_copied=True),
        Column("where", _("where")),
        Column("how", _("how it ended")),
        Column("seconds", "s", is_number=True),
        Column("answer", _("answer")),
    )
    rows = tuple(redaction.redacted([_row(each) for each in tried], site))
    notes = tuple(
        f"{each.channel.name}: {redaction.redacted(each.todo, site)}" for each in tried if each.todo
    )
    failed = [each.channel.name for each in tried if each.state == FAILED]
    if any(each.state == PLANNED for each in tried):
        text = ngettext(
            "A test would be sent by {count} channel; nothing was sent",
            "A test would be sent by {count} channels; nothing was sent",
            len(tried),
        )
        answer = text.format(count=len(tried))
    elif failed:
        text = ngettext(
            "{count} of {all} channels failed: {names}",
            "{count} of {all} channels failed: {names}",
            len(failed),
        )
        answer = text.format(count=len(failed), all=len(tried), names=", ".join(failed))
    else:
        text = ngettext("{count} channel answered", "{count} channels answered", len(tried))
        answer = text.format(count=len(tried))
    return Table("notify_test", columns, rows, "", notes, answer)


def _row(tried: Tried) -> dict[str, Any]:
    return {
        "channel": tried.channel.name, "where": tried.channel.where, "state": tried.state,
        "how": _(_WORDS[tried.state]), "seconds": tried.seconds, "answer": tried.answer,
        "todo": tried.todo or None,
    }  # fmt: skip
