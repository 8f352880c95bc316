"""Post to URLs that are secrets themselves: no message ever holds one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial

from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection, address_of, kind_of_status
from samaops.clients.proxy import connect_tunnel
from samaops.config.notify_settings import Webhook
from samaops.config.settings import Proxy, WebhookNotification
from samaops.i18n import _
from samaops.model.failure import FailureKind

MAX_ANSWER_BYTES = 4096
# Slack cuts a text that is longer than 40 000 characters.
LONGEST_TEXT = 30_000
# RFC 9110, 5.5, of what http.client can send
_HEADER_VALUE = re.compile(r"[\x21-\x7e\xa0-\xff]([\t\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa0-\xff])?")


# A portal or a proxy on the way shows a page of its own, with the status of a success.
_PAGE = re.compile(r"\s*<(!doctype|html|head|body)\b", re.IGNORECASE)
# What healthchecks.io says, with the status of a success, of a ping that it did not count.
_UNCOUNTED = {
    "OK (not found)": FailureKind.MISSING,
    "OK (rate limited)": FailureKind.UNAVAILABLE,
}


def slack(settings: WebhookNotification, proxy: Proxy | None, text: str) -> None:
    """Send a text to a Slack webhook. Raises ClientError with Slack's own word, such as ``no_service``.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    """
    body = json.dumps({"text": _escaped(text)[:LONGEST_TEXT]}).encode()
    answer = _post("slack", settings, proxy, settings.url.reveal(), body, "application/json")
    if answer.status != 200:
        words = " ".join(answer.text.split())[:100]
        raise ClientError(kind_of_status(answer.status), f"HTTP {answer.status} {words}".strip(), "slack")
    _require_no_page(answer, "slack")


def ping(settings: WebhookNotification, proxy: Proxy | None, signal: str = "", text: str = "") -> None:
    """Tell a dead man's switch that a run is alive: ``signal`` is "start", "fail", "log", or "" for success.

    https://healthchecks.io/docs/http_api/ Raises ClientError.
    """
    address, mark, query = settings.url.reveal().partition("?")
    target = f"{address.rstrip('/')}/{signal}" if signal else address
    answer = _post("ping", settings, proxy, target + mark + query, text.encode()[:10_000], "text/plain")
    if not 200 <= answer.status < 300:
        raise ClientError(kind_of_status(answer.status), f"HTTP {answer.status}", "ping")
    _require_no_page(answer, "ping")
    words = answer.text.strip()
    if words in _UNCOUNTED:
        raise ClientError(_UNCOUNTED[words], f"HTTP {answer.status} {words}", "ping")


def webhook(name: str, settings: Webhook, proxy: Proxy | None, body: bytes) -> str:
    """Post a body to a webhook of one's own; return its status and first words. Raises ClientError unless it answers 2xx."""
    headers = {header: _header(name, header, value.reveal()) for header, value in settings.headers.items()}
    url = settings.url.reveal()
    answer = _post(name, settings, proxy, url, body, settings.content_type, headers)
    answered = answer.text
    for secret in (url, *headers.values()):  # before anything is cut
        answered = answered.replace(secret, "***")
    words = f"HTTP {answer.status} {' '.join(answered.split())[:100]}".strip()
    if not 200 <= answer.status < 300:
        raise ClientError(kind_of_status(answer.status), words, name)
    return words


def _header(channel: str, header: str, value: str) -> str:
    """Return the value of a header. Raises ClientError, without the value, for one that would be two headers, or none."""
    if not _HEADER_VALUE.fullmatch(value):
        text = _("the value of the header {name} holds what no header can").format(name=header)
        raise ClientError(FailureKind.ERROR, text, channel)
    return value


def _post(
    name: str,
    settings: WebhookNotification | Webhook,
    proxy: Proxy | None,
    url: str,
    body: bytes,
    content_type: str,
    headers: Mapping[str, str] | None = None,
) -> HttpAnswer:
    if settings.through_proxy and proxy is None:
        raise ClientError(FailureKind.MISSING, _("[proxy] is not configured"), name)
    try:
        tunnel = (
            partial(connect_tunnel, proxy, *address_of(url)) if settings.through_proxy and proxy else None
        )
        with HttpConnection(
            url, timeout=settings.timeout, ca_file=settings.ca_file, open_socket=tunnel
        ) as connection:
            return connection.post(
                body, content_type=content_type, headers=headers, max_bytes=MAX_ANSWER_BYTES
            )
    except ClientError as error:
        # the stage would be the path, which is the secret
        raise ClientError(error.kind, error.message.replace(url, "***"), name) from None


def _require_no_page(answer: HttpAnswer, name: str) -> None:
    if _PAGE.match(answer.text):
        text = _("HTTP {status}, with a web page in the place of its answer: somebody else answers")
        raise ClientError(FailureKind.GARBAGE, text.format(status=answer.status), name)


def _escaped(text: str) -> str:
    """Return a text in which Slack sees no link, mention or channel: https://docs.slack.dev/messaging/formatting-message-text"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
