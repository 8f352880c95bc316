"""What is different between two portraits of one site, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone

from samaops.facts.portrait import Trait
from samaops.i18n import N_, _, joined
from samaops.model.difference import Difference
from samaops.model.quantities import size
from samaops.portraits.portrait import Portrait
from samaops.portraits.systems import LAST_MOMENT, STARTED

# Things that come with a version, or go with what is down: only what is there both times is compared.
_ONLY_IN_BOTH = ("pgbouncer/setting", "redis/setting", "rabbitmq/effective", "rabbitmq/node", "celery/worker")
# Things that are a value and nothing else.
_SET = ("setting", "parameter")
_SHOWN_TRAITS = 8
# What follows from the other differences of a thing is told only when there are none.
_WEIGHT = {"compose definition": 1, STARTED: 2}
_MASK = "********"
_THINGS = {
    "postgresql/setting": N_("PostgreSQL setting {name}"),
    "postgresql/role": N_("PostgreSQL role {name}"),
    "postgresql/database": N_("PostgreSQL database {name}"),
    "postgresql/schema": N_("schema {name}"),
    "postgresql/table": N_("table {name}"),
    "postgresql/index": N_("index {name}"),
    "postgresql/constraint": N_("constraint {name}"),
    "postgresql/trigger": N_("trigger {name}"),
    "postgresql/extension": N_("extension {name}"),
    "pgbouncer/setting": N_("PgBouncer setting {name}"),
    "pgbouncer/database": N_("PgBouncer database {name}"),
    "redis/setting": N_("Redis setting {name}"),
    "rabbitmq/user": N_("RabbitMQ user {name}"),
    "rabbitmq/vhost": N_("virtual host {name}"),
    "rabbitmq/permission": N_("permissions of {name}"),
    "rabbitmq/policy": N_("policy {name}"),
    "rabbitmq/parameter": N_("RabbitMQ parameter {name}"),
    "rabbitmq/queue": N_("queue {name}"),
    "rabbitmq/effective": N_("queue {name}"),
    "rabbitmq/exchange": N_("exchange {name}"),
    "rabbitmq/binding": N_("binding {name}"),
    "rabbitmq/node": N_("node {name}"),
    "docker/container": N_("container {name}"),
    "docker/file": N_("file {name} of server {server}"),
    "servers/service": N_("server {server}"),
    "servers/mount": N_("mount {name} of server {server}"),
    "servers/crontab": N_("crontab {name} of server {server}"),
    "servers/file": N_("file {name} of server {server}"),
    "loadbalancer/member": N_("pool member {name}"),
    "loadbalancer/monitor": N_("monitor {name}"),
    "celery/worker": N_("worker {name}"),
    "certificates/certificate": N_("certificate of {name}"),
    "minio/bucket": N_("bucket {name}"),
}


# Attributes that are plain words; what is a system's own word (version, policy, queues of a worker) stays as it is.
_ATTRIBUTES = {
    "memory limit": N_("memory limit"),
    "disk free limit": N_("disk free limit"),
    "restart policy": N_("restart policy"),
    "log size limit": N_("log size limit"),
    "operator policy": N_("operator policy"),
    "compose definition": N_("compose definition"),
    "state": N_("state"),
    "processors": N_("processors"),
    "memory": N_("memory"),
    "kernel": N_("kernel"),
}
# Their values are bytes.
_SIZES = ("memory limit", "disk free limit", "memory", "swap")


def compare(before: Portrait, after: Portrait, since: datetime) -> tuple[Difference, ...]:
    """Return what is different; the order is that of the portrait, starts come last.

    ``since`` is when ``before`` was seen: what came about earlier is not when the difference did.
    """
    found = [
        difference
        for part, things in after.items()
        if part in before
        for difference in _of_part(part, before[part], things, since)
    ]
    return tuple(sorted(found, key=lambda difference: difference.place.endswith(f"/{STARTED}")))


def unknown_parts(before: Portrait, after: Portrait) -> tuple[str, ...]:
    """Return the parts that were known and are not now; a system of which nothing is known stands for its parts."""
    seen = {part.partition("/")[0] for part in after}
    gone = [part for part in before if part not in after]
    return tuple(
        dict.fromkeys(part if part.partition("/")[0] in seen else part.partition("/")[0] for part in gone)
    )


Things = Mapping[str, Mapping[str, Trait]]


def _of_part(part: str, before: Things, after: Things, since: datetime) -> Iterator[Difference]:
    place, _slash, kind = part.partition("/")
    system, _at, server = place.partition("@")
    only_in_both = f"{system}/{kind}" in _ONLY_IN_BOTH
    for name in dict.fromkeys((*after, *before)):
        old, new = before.get(name), after.get(name)
        if old == new or (only_in_both and (old is None or new is None)):
            continue
        words = _(_THINGS.get(f"{system}/{kind}", "{name}"))
        thing = _Thing(
            f"{system}/{kind}/{name}", server or None, words.format(name=name, server=server), since
        )
        yield from thing.differences(old, new)


# Whether it is about an attribute, what became of it, whether its values may be told.
_TITLES = {
    (False, "new", True): N_("{thing} is {after}, it was not set"),
    (False, "new", False): N_("{thing} was set"),
    (False, "gone", True): N_("{thing} is no longer set, it was {before}"),
    (False, "gone", False): N_("{thing} is no longer set"),
    (False, "changed", True): N_("{thing} is {after}, it was {before}"),
    (False, "changed", False): N_("{thing} was changed"),
    (True, "new", True): N_("{thing} has {attribute} {after}"),
    (True, "new", False): N_("{thing} has {attribute}"),
    (True, "gone", True): N_("{thing} no longer has {attribute} {before}"),
    (True, "gone", False): N_("{thing} no longer has {attribute}"),
    (True, "changed", True): N_("{thing}: {attribute} is {after}, it was {before}"),
    (True, "changed", False): N_("{thing}: {attribute} was changed"),
}


def _title(attribute: str, old: Trait | None, new: Trait | None) -> str:
    if attribute == STARTED:
        return _("{thing} was started anew")
    became = "changed" if old and old.value and new and new.value else "new" if new and new.value else "gone"
    is_open = not any(trait is not None and _is_digest(trait) for trait in (old, new))
    return _(_TITLES[bool(attribute), became, is_open])


class _Thing:
    """One thing of which something is different."""

    def __init__(self, place: str, server: str | None, words: str, since: datetime) -> None:
        self._place = place
        self._server = server
        self._words = words
        self._since = since

    def differences(
        self, old: Mapping[str, Trait] | None, new: Mapping[str, Trait] | None
    ) -> Iterator[Difference]:
        if old is None or new is None:
            yield self._whole(old, new)
            return
        attributes = [name for name in dict.fromkeys((*new, *old)) if _differ(old.get(name), new.get(name))]
        least = min((_WEIGHT.get(name, 0) for name in attributes), default=0)
        for name in (name for name in attributes if _WEIGHT.get(name, 0) == least):
            yield self._attribute(name, old.get(name), new.get(name))

    def _whole(self, old: Mapping[str, Trait] | None, new: Mapping[str, Trait] | None) -> Difference:
        """Return that a thing is new, or gone."""
        traits = new or old or {}
        if self._place.split("/")[1] in _SET:
            return self._attribute("", (old or {}).get(""), (new or {}).get(""))
        values = [
            f"{_attribute_words(name)} {_value(name, trait)}".strip()
            for name, trait in traits.items()
            if trait.value and not _is_digest(trait) and name != STARTED
        ]
        shown = joined(values[:_SHOWN_TRAITS])
        title = _("{thing} is new") if old is None else _("{thing} is gone")
        title = title.format(thing=self._words) + (f": {_shortened(shown)}" if shown else "")
        times = [trait.at for trait in (new or {}).values() if trait.at is not None]
        at = self._moment(max(times, default=None))
        before, after = (None, shown) if old is None else (shown, None)
        return Difference(self._place, self._server, title, before, after, at)

    def _attribute(self, name: str, old: Trait | None, new: Trait | None) -> Difference:
        place = f"{self._place}/{name}" if name else self._place
        title = _title(name, old, new).format(
            thing=self._words,
            attribute=_attribute_words(name),
            before=_shortened(_value(name, old)) if old else "",
            after=_shortened(_value(name, new)) if new else "",
        )
        at = self._moment(new.at if new else None)
        return Difference(place, self._server, title, _shown(old), _shown(new), at)

    def _moment(self, at: float | None) -> datetime | None:
        if at is None or not 0 <= at < LAST_MOMENT:
            return None
        moment = datetime.fromtimestamp(at, timezone.utc)
        return moment if moment >= self._since else None


def _differ(old: Trait | None, new: Trait | None) -> bool:
    if old is None or new is None:
        return True
    of_two_keys = _is_digest(old) and _is_digest(new) and old.value[:5] != new.value[:5]
    return old.value != new.value and not of_two_keys


def _is_digest(trait: Trait) -> bool:
    return trait.value.startswith("#")


def _shown(trait: Trait | None) -> str | None:
    if trait is None:
        return None
    return _MASK if _is_digest(trait) else trait.value


def _attribute_words(name: str) -> str:
    return _(_ATTRIBUTES[name]) if name in _ATTRIBUTES else name


def _value(name: str, trait: Trait) -> str:
    """Return a value for people: bytes as they read them."""
    return size(int(trait.value)) if name in _SIZES and trait.value.isdecimal() else trait.value


def _shortened(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
