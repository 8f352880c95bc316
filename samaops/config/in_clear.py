"""Which secrets of a configuration would travel in clear to another machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from samaops.config.keys import Key
from samaops.config.secrets import Secret
from samaops.config.settings import Settings
from samaops.errors import ConfigurationError
from samaops.i18n import N_, _

HAS_TLS_IN_URL = re.compile(r"sslmode=(require|verify-ca|verify-full)")
# The first libpq (16) that can keep a password from a server that asks for the password itself, and what it says then.
FIRST_LIBPQ = 160000
ASKED = re.compile(r"requirement .* failed: .*cleartext password", re.DOTALL)
# What ends it, by how the section says that it wants TLS.
_BY_TLS = N_("set {section}.tls, where the server has TLS")
_BY_URL = N_("use https:// in {section}.url, where the server has TLS")
_BY_KEY = N_("set {section}.{key} = {value}, where the server has TLS")


def secrets(settings: Settings) -> Iterator[tuple[Key, str, str]]:
    """Yield the key of each such secret, the host that it goes to, and what ends that."""
    for key, secret, host, remedy in (*_services(settings), *_urls(settings), *_told(settings)):
        if secret is not None and host and not _is_here(host, settings):
            yield key, host, remedy


def _services(settings: Settings) -> Iterator[tuple[Key, Secret | None, str, str]]:
    redis, broker, pool = settings.redis, settings.rabbitmq, settings.pgbouncer
    database = settings.postgresql
    if redis is not None and redis.tls is None:
        yield (
            ("redis", "password"),
            redis.password,
            settings.host_of(redis),
            _(_BY_TLS).format(section="redis"),
        )
    if broker is not None and broker.tls is None:
        remedy = _(_BY_TLS).format(section="rabbitmq")
        yield ("rabbitmq", "password"), broker.password, settings.host_of(broker), remedy
    elif broker is not None and not broker.management_tls:
        remedy = _(_BY_KEY).format(section="rabbitmq", key="management_tls", value="true")
        yield ("rabbitmq", "password"), broker.password, settings.host_of(broker), remedy
    if database is not None and database.tls is None and database.sslmode in ("disable", "allow", "prefer"):
        remedy = _(_BY_TLS).format(section="postgresql")
        yield ("postgresql", "password"), database.password, settings.host_of(database), remedy
    if pool is not None and pool.tls is None:
        remedy = _(_BY_TLS).format(section="pgbouncer")
        for name in ("password", "admin_password"):
            yield ("pgbouncer", name), getattr(pool, name), settings.host_of(pool), remedy


def _urls(settings: Settings) -> Iterator[tuple[Key, Secret | None, str, str]]:
    """Yield what is sent with each request: the password of a section whose URL has no TLS."""
    balancer = settings.loadbalancer
    sections = {
        ("flower",): settings.flower,
        ("prometheus",): settings.prometheus,
        ("alertmanager",): settings.alertmanager,
        ("proxy",): settings.proxy,
        ("notify", "alertmanager"): settings.notify.alertmanager,
        ("loadbalancer", "bigip"): balancer.bigip if balancer else None,
    }
    for key, section in sections.items():
        if section is None:
            continue
        server = getattr(section, "server", None)
        parts = urlsplit(section.url or f"http://{settings.address_of(server or '')}")
        if parts.scheme == "http":
            remedy = _(_BY_URL).format(section=".".join(key))
            yield (*key, "password"), section.password, parts.hostname or "", remedy


def _told(settings: Settings) -> Iterator[tuple[Key, Secret | None, str, str]]:
    mail = settings.notify.mail
    if mail is not None and mail.encryption == "none":
        remedy = _(_BY_KEY).format(section="notify.mail", key="encryption", value='"starttls"')
        yield ("notify", "mail", "password"), mail.password, mail.host, remedy
    slack, ping = settings.notify.slack, settings.notify.ping
    urls: dict[Key, Secret | None] = {
        ("notify", "slack", "url"): slack.url if slack else None,
        ("notify", "ping", "url"): ping.url if ping else None,
        **{("notify", "webhooks", name, "url"): each.url for name, each in settings.notify.webhooks.items()},
        ("history", "url"): settings.history.url,
    }
    for key, secret in urls.items():
        parts = urlsplit(_revealed(secret))
        if parts.scheme == "http":
            yield key, secret, parts.hostname or "", _(_BY_URL).format(section=".".join(map(str, key[:-1])))
        elif (
            parts.scheme.startswith("postgres") and parts.password and not HAS_TLS_IN_URL.search(parts.query)
        ):
            yield key, secret, parts.hostname or "", _("add ?sslmode=verify-full to history.url")


def _revealed(secret: Secret | None) -> str:
    try:
        return secret.reveal() if secret is not None else ""
    except ConfigurationError:  # said by who looks up every secret
        return ""


def _is_here(host: str, settings: Settings) -> bool:
    if any(server.ssh == "local" and server.address == host for server in settings.servers.values()):
        return True
    return is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether what is sent to a host never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost")
