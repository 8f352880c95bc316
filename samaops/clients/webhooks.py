"""Post to URLs that are secrets themselves: no message ever holds one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from samaops.clients.bounded import Deadline
from samaops.clients.errors import ClientError
from samaops.clients.http import HttpAnswer, HttpConnection, address_of, kind_of_status, tls_context
from samaops.clients.proxy import Tunnel
from samaops.config.settings import Proxy, WebhookNotification
from samaops.i18n import _
from samaops.model.failure import FailureKind

MAX_ANSWER_BYTES = 4096
# Slack cuts a text that is longer than 40 000 characters.
LONGEST_TEXT = 30_000


def slack(settings: WebhookNotification, proxy: Proxy | None, text: str) -> None:
    """Send a text to a Slack webhook. Raises ClientError with Slack's own word, such as ``no_service``.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    """
    body = json.dumps({"text": _escaped(text)[:LONGEST_TEXT]}).encode()
    answer = _post("slack", settings, proxy, settings.url.reveal(), body, "application/json")
    if answer.status != 200:
        words = " ".join(answer.text.split())[:100]
        raise ClientError(kind_of_status(answer.status), f"HTTP {answer.status} {words}".strip(), "slack")


def ping(settings: WebhookNotification, proxy: Proxy | None, signal: str = "", text: str = "") -> None:
    """Tell a dead man's switch that a run is alive: ``signal`` is "start", "fail", or "" for success.

    https://healthchecks.io/docs/http_api/ Raises ClientError.
    """
    address, mark, query = settings.url.reveal().partition("?")
    target = f"{address.rstrip('/')}/{signal}" if signal else address
    answer = _post("ping", settings, proxy, target + mark + query, text.encode()[:10_000], "text/plain")
    if not 200 <= answer.status < 300:
        raise ClientError(kind_of_status(answer.status), f"HTTP {answer.status}", "ping")


def post_json(url: str, document: Any, **options: Any) -> HttpAnswer:
    """Post JSON to a URL that is no secret; options are those of HttpConnection, and ``auth``."""
    auth = options.pop("auth", None)
    with HttpConnection(url, **options) as connection:
        body = json.dumps(document).encode()
        return connection.post(body, content_type="application/json", auth=auth, max_bytes=MAX_ANSWER_BYTES)


def _post(
    name: str, settings: WebhookNotification, proxy: Proxy | None, url: str, body: bytes, content_type: str
) -> HttpAnswer:
    try:
        with _connection(settings, proxy, url) as connection:
            return connection.post(body, content_type=content_type, max_bytes=MAX_ANSWER_BYTES)
    except ClientError as error:
        # the stage would be the path, which is the secret
        raise ClientError(error.kind, error.message.replace(url, "***"), name) from None


def _connection(settings: WebhookNotification, proxy: Proxy | None, url: str) -> HttpConnection:
    if not settings.through_proxy:
        return HttpConnection(url, timeout=settings.timeout, ca_file=settings.ca_file)
    if proxy is None:
        raise ClientError(FailureKind.MISSING, _("[proxy] is not configured"), "proxy")
    host, port = address_of(url)
    tunnel = Tunnel(proxy, host, port, Deadline(settings.timeout))
    try:
        _lead_through(tunnel)
        if urlsplit(url).scheme == "https":
            tunnel.sock.start_tls(tls_context(settings.ca_file), host)
    except OSError as error:
        tunnel.close()
        raise ClientError(FailureKind.TLS, error.strerror or str(error), "tls") from None
    except ClientError:
        tunnel.close()
        raise
    return HttpConnection.over(tunnel.sock, url)


def _lead_through(tunnel: Tunnel) -> None:
    tunnel.ask()
    answer = tunnel.answer()
    if answer.status != 200:
        words = _("the proxy answers {status} {reason}").format(status=answer.status, reason=answer.reason)
        raise ClientError(FailureKind.DEPENDENCY, words, "proxy")


def _escaped(text: str) -> str:
    """Return a text in which Slack sees no link, mention or channel: https://docs.slack.dev/messaging/formatting-message-text"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
