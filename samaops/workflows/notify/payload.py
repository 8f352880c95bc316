"""What a webhook of one's own gets: samaops' JSON, or what the site's template makes of the same values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from samaops.config.notify_settings import Webhook
from samaops.config.notify_soundness import LARGEST_TEMPLATE_BYTES, template_of
from samaops.errors import ConfigurationError, reason_of
from samaops.facts.telling import BAD
from samaops.i18n import _
from samaops.model.bulletin import Bulletin
from samaops.model.finding import Finding
from samaops.model.news import News, Recovery
from samaops.model.report import Report
from samaops.site.site import Site

if TYPE_CHECKING:
    from jinja2 import Template

SCHEMA = "samaops/notification/1"
TROUBLE, RECOVERY, TEST = "trouble", "recovery", "test"
# What a template may make of a notification; a mail of everything has some kB.
LARGEST_BYTES = 256 * 1024
Values = dict[str, Any]


def values(site: Site, report: Report, bulletin: Bulletin, news: News | None) -> Values:
    """Return what there is to say of a report, as plain JSON values (docs/notifications.md)."""
    recovered = news.recovered if news else ()
    is_over = bool(recovered) and news is not None and not news.announced
    return {
        "schema": SCHEMA, "kind": RECOVERY if is_over else TROUBLE, "site": site.name,
        "command": report.command, "status": report.status.value, "at": _iso(report.started_at),
        "subject": bulletin.subject, "text": bulletin.summary,
        "findings": [_finding(finding, news) for finding in report.findings if finding.status in BAD],
        "errors": [error.message for error in report.errors],
        "causes": [{"id": cause.id, "title": cause.title, "verdict": cause.verdict.for_machines} for cause in report.causes],
        "recovered": [_recovery(recovery) for recovery in recovered],
    }  # fmt: skip


def _finding(finding: Finding, news: News | None) -> Values:
    known = news.known.get(finding.key) if news else None
    silenced = finding.silenced
    return {
        "code": finding.code, "subject": finding.subject, "server": finding.server,
        "status": finding.status.value, "title": finding.title, "detail": finding.detail,
        "value": finding.value, "unit": finding.unit, "hint": finding.hint, "cause": finding.cause,
        "since": _iso(known.since) if known else None,
        "is_news": news is None or finding.key in news.announced,
        "silenced_until": _iso(silenced.until) if silenced else None,
    }  # fmt: skip


def _recovery(recovery: Recovery) -> Values:
    code, _at, subject = recovery.key.partition("@")
    return {
        "code": code, "subject": subject, "title": recovery.title, "status": recovery.status,
        "since": _iso(recovery.since), "ended_at": _iso(recovery.ended_at), "seconds": round(recovery.seconds),
    }  # fmt: skip


def body(webhook: Webhook, of: Mapping[str, Any]) -> bytes:
    """Return the body of a notification. Raises ConfigurationError where its template cannot be read, or does not fit."""
    try:
        text = template_of(webhook)
    except (OSError, UnicodeDecodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else _("it is no text")
        raise ConfigurationError(
            _("{path} cannot be read: {reason}").format(path=webhook.template_file, reason=reason)
        ) from error
    if text is None:
        return json.dumps(of, ensure_ascii=False, default=str).encode()
    return _rendered(text, of)


def _rendered(text: str, of: Mapping[str, Any]) -> bytes:
    from jinja2 import TemplateError

    if len(text.encode()) > LARGEST_TEMPLATE_BYTES:
        raise ConfigurationError(
            _("the template is larger than {size} bytes").format(size=LARGEST_TEMPLATE_BYTES)
        )
    try:
        return b"".join(_within(_template(text).generate(of)))
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        where = _("line {line}: ").format(line=line) if line else ""
        raise ConfigurationError(
            _("the template does not fit: {reason}").format(
                reason=f"{where}{error.message or type(error).__name__}"
            )
        ) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ConfigurationError(
            _("the template does not fit: {reason}").format(reason=str(error)[:200] or type(error).__name__)
        ) from error


def _template(text: str) -> Template:
    """Return a template that reaches nothing but its values, and fails where it names one that is not there."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False, "default": str}
    return environment.from_string(text)


def _within(parts: Iterator[str]) -> Iterator[bytes]:
    room = LARGEST_BYTES
    for part in parts:
        block = part.encode("utf-8", "backslashreplace")
        room -= len(block)
        if room < 0:
            raise ValueError(_("it makes more than {size} bytes").format(size=LARGEST_BYTES))
        yield block


def example(site: Site) -> Values:
    """Return a notification by which a template is tried out: a trouble, and one that is over."""
    now = datetime(2026, 1, 31, 6, 0, tzinfo=timezone.utc)
    finding = {
        "code": "redis.memory.high", "subject": "redis/workers", "server": "workers", "status": "critical",
        "title": '"…"', "detail": "", "value": 93.5, "unit": "%", "hint": "samaops redis memory", "cause": None,
        "since": _iso(now), "is_news": True, "silenced_until": None,
    }  # fmt: skip
    recovery = {
        "code": "servers.disk.full", "subject": "servers/db:/", "title": '"…"', "status": "warning",
        "since": _iso(now), "ended_at": _iso(now), "seconds": 3600,
    }  # fmt: skip
    return {
        "schema": SCHEMA, "kind": TROUBLE, "site": site.name, "command": "maintain daily", "status": "critical",
        "at": _iso(now), "subject": f'[{site.name}] "…"', "text": '"…"\n', "findings": [finding],
        "errors": [], "causes": [{"id": "redis-full", "title": '"…"', "verdict": "confirmed"}], "recovered": [recovery],
    }  # fmt: skip


def problems(site: Site) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the key and the reason of each template that cannot make a body; a file that cannot be read is told elsewhere."""
    for name, webhook in site.settings.notify.webhooks.items():
        key = "template" if webhook.template is not None else "template_file"
        try:
            if template_of(webhook) is None:
                continue
            made = body(webhook, example(site))
        except (OSError, UnicodeDecodeError):
            continue
        except ConfigurationError as error:
            yield ("notify", "webhooks", name, key), error.message
            continue
        fault = _fault_of_json(made) if "json" in webhook.content_type else ""
        if fault:
            yield ("notify", "webhooks", name, key), fault


def _fault_of_json(made: bytes) -> str:
    """Say why what a template makes is no JSON; "" where it is: a text in it needs the filter ``tojson``."""
    try:
        json.loads(made)
    except ValueError as error:
        text = _("it makes no JSON (use the filter tojson): {reason}")
        return text.format(reason=str(error)[:100])
    return ""


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")
