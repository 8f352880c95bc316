"""What all looks at Redis share: one connection that only reads, and whose keys are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from samaops.clients.redis import RedisClient
from samaops.config.settings import Redis
from samaops.errors import UsageError
from samaops.facts.redis import BROKER, REPLIES, RESULTS, SESSIONS, owner_of
from samaops.i18n import N_, _
from samaops.site.site import Site
from samaops.workflows.lists import opened

Row = dict[str, Any]
LOOK_SECONDS = 10.0
OWNERS = {
    RESULTS: N_("Celery results"),
    REPLIES: N_("Celery control replies"),
    BROKER: N_("Celery broker"),
    SESSIONS: N_("sessions"),
}


def configured(site: Site) -> Redis:
    """Return the section. Raises UsageError."""
    if site.settings.redis is None:
        raise UsageError(_("[redis] is not configured"), hint="samaops config show")
    return site.settings.redis


@contextmanager
def connected(site: Site, seconds: float = LOOK_SECONDS) -> Iterator[RedisClient]:
    """Yield a connection. Raises UsageError without a Redis, UnavailableError where it fails."""
    settings = configured(site)
    client = RedisClient(site.host_of(settings), settings, seconds)
    with opened(client, _("Could not look at Redis: {reason}"), "redis"):
        yield client


def owner(prefix: str, site: Site) -> str:
    """Return whose the keys of a prefix are: as the configuration says, else as their names do."""
    settings = configured(site)
    named = [start for start in settings.owners if prefix.startswith(start)]
    if named:
        return settings.owners[max(named, key=len)]
    queues = site.settings.rabbitmq.queues if site.settings.rabbitmq else ()
    of = owner_of(prefix, queues)
    return _(OWNERS[of]) if of else _("application")


def place(site: Site) -> str:
    """Return which Redis it is, and which of its databases, for what is kept of it."""
    settings = configured(site)
    return f"{site.host_of(settings)}:{settings.port}/{settings.database}"


def elsewhere(client: RedisClient, site: Site) -> list[str]:
    """Return the note that other databases of this Redis hold keys too, where some do."""
    ours = f"db{configured(site).database}"
    others = {
        name: of["keys"]
        for name, of in client.info("keyspace").items()
        if isinstance(of, dict) and name != ours and of.get("keys")
    }
    text = _("only {ours} was looked at; keys elsewhere: {others}")
    listed = ", ".join(f"{name} {keys}" for name, keys in others.items())
    return [text.format(ours=ours, others=listed)] if others else []
