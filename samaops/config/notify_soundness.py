"""What of ``[notify]`` is well formed and still cannot work."""

from __future__ import annotations

import re
from collections.abc import Iterator

from samaops.config import cron, files
from samaops.config.keys import Key
from samaops.config.notify_settings import Webhook
from samaops.config.settings import Settings
from samaops.errors import reason_of
from samaops.i18n import _

# The channels that have a section of their own.
CHANNELS = ("mail", "slack", "alertmanager", "ping")
LARGEST_TEMPLATE_BYTES = 64 * 1024
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
# A header's name (RFC 9110, 5.6.2), a media type.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;\s*[\w-]+=[\w.\"-]+)*")
# What the connection says itself.
_OURS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "expect"}


def problems(settings: Settings) -> Iterator[tuple[Key, str]]:
    """Yield the key and the reason of what cannot work."""
    notify = settings.notify
    if notify.quiet_hours and cron.window(notify.quiet_hours) is None:
        text = _("{value!r} is no window, such as 02:00-05:00")
        yield ("notify", "quiet_hours"), text.format(value=notify.quiet_hours)
    for name, webhook in notify.webhooks.items():
        for key, reason in _webhook(name, webhook):
            yield ("notify", "webhooks", name, *key), reason
        if webhook.through_proxy and settings.proxy is None:
            yield (
                ("notify", "webhooks", name, "through_proxy"),
                _("there is no section [proxy] that says which way to go"),
            )


def _webhook(name: str, webhook: Webhook) -> Iterator[tuple[Key, str]]:
    if not _NAME.fullmatch(name):
        yield (), _("{name!r} is no name of a webhook: letters, digits, - and _").format(name=name)
    if name in CHANNELS:
        yield (), _("{name!r} is a channel of its own: give the webhook another name").format(name=name)
    if not _MEDIA_TYPE.fullmatch(webhook.content_type):
        text = _("{value!r} is no media type, such as application/json")
        yield ("content_type",), text.format(value=webhook.content_type)
    for header in webhook.headers:
        if not _HEADER.fullmatch(header):
            yield ("headers", header), _("{name!r} is no name of a header").format(name=header)
        elif header.lower() in _OURS:
            yield ("headers", header), _("{name} is set by samaops itself").format(name=header)
    if webhook.template is not None and webhook.template_file is not None:
        yield ("template_file",), _("there is a template already: only one of the two is used")
    try:
        template_of(webhook)
    except OSError as error:
        text = _("{path} cannot be read: {reason}")
        yield ("template_file",), text.format(path=webhook.template_file, reason=reason_of(error))
    except UnicodeDecodeError:
        yield ("template_file",), _("it is no text")


def template_of(webhook: Webhook) -> str | None:
    """Return the template of a webhook, None where it has none. Raises OSError, UnicodeDecodeError."""
    if webhook.template is not None or webhook.template_file is None:
        return webhook.template
    return files.read_trusted(webhook.template_file, LARGEST_TEMPLATE_BYTES).decode("utf-8")
