"""Give keys an expiry, or take them out of Redis into a file: in slices, throttled, and each can be given back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import UnreadableError, known, reading
from samaops.changes.redis.server import configured, facts
from samaops.changes.verbs import verb
from samaops.config import files, places
from samaops.errors import RefusedError, UsageError
from samaops.facts import selection
from samaops.facts.observation import Snapshot
from samaops.facts.redis import BROKER, KeysOf, owner_of
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import duration, size
from samaops.site import chosen
from samaops.site.site import Site

KEYS_OF = "redis.keys_of"
EXPIRE, PERSIST, TAKE, RESTORE = "redis.expire", "redis.persist", "redis.take", "redis.restore"
# Two hours at 500 keys a second are 3.6 million of them.
SECONDS = 7200.0
_LEAST_SECONDS, _MOST_SECONDS = 60, 366 * 86_400
# PEXPIREAT NX and PEXPIRETIME came with it: by those an expiry of ours is told from anybody else's.
_FIRST_VERSION = 7
# Redis serves nobody while it writes a key into its answer, and we hold all of it: more is for its owner to trim.
MOST_KEY_BYTES = 256 * 1024 * 1024
MOST_BYTES = 1024 * 1024 * 1024
ALL = "*"
DAY_SECONDS = 86_400
# Keys a second: EXPIRE costs Redis a microsecond; a DUMP more, and the file is on the disk with each slice.
EXPIRE_RATE, TAKE_RATE = "5000", "2000"
_NAME_CHARACTERS = 60


class Expiring(Struct, frozen=True):
    """Keys without expiry that a word takes get one, ``after`` so many seconds; which, stands in the file before."""

    word: str
    after: int
    rate: float
    file: str
    # Kept as they are: what waits in a Celery broker's own.
    queues: tuple[str, ...] = ()


class Taking(Struct, frozen=True):
    """Keys that a word takes are written to the file, each as DUMP gives it, then unlinked."""

    word: str
    rate: float
    file: str
    bytes: int
    queues: tuple[str, ...] = ()


class OfFile(Struct, frozen=True):
    """What a file holds is given back."""

    file: str


def is_group(word: str) -> bool:
    """Return whether a word takes all keys that begin or end so, and not one of this name."""
    return word.startswith("*") or word.endswith("*")


def _codes(*of: object) -> tuple[str, ...]:
    return (selection.of(KEYS_OF, str(of[0])), "redis.memory.high")


def _chosen(snapshot: Snapshot, word: str) -> KeysOf:
    return known(facts(snapshot).chosen, _("which keys {word} takes").format(word=word))


def _looked_through(chosen: KeysOf) -> UnreadableError:
    text = _("there was no time to look through all keys; {count} of {word} were seen")
    return UnreadableError(text.format(count=chosen.matched, word=chosen.pattern))


@reading("redis.has_keys", codes=_codes)
def has_keys(snapshot: Snapshot, word: str) -> Scalar:
    """Return whether a word takes any key."""
    chosen = _chosen(snapshot, word)
    if not chosen.matched and not chosen.is_complete:
        raise _looked_through(chosen)
    return chosen.matched > 0


@reading("redis.has_keys_without_expiry", codes=_codes)
def has_keys_without_expiry(snapshot: Snapshot, word: str) -> Scalar:
    """Return whether a word takes any key that never expires."""
    chosen = _chosen(snapshot, word)
    if not chosen.no_expiry and not chosen.is_complete:
        raise _looked_through(chosen)
    return chosen.no_expiry > 0


def _queues(site: Site) -> tuple[str, ...]:
    return tuple(site.settings.rabbitmq.queues) if site.settings.rabbitmq else ()


def _require_nobody_waits_in(site: Site, word: str) -> None:
    """Raise RefusedError for what is Celery's own where Redis is its broker: tasks of customers, no cache."""
    if owner_of(word.strip("*"), _queues(site)) == BROKER:
        text = _("{word} are Celery's own keys of a broker: tasks wait in them. Start what consumes them")
        raise RefusedError(text.format(word=word), hint="samaops workers list")


def group(word: str) -> str:
    """Return a prefix as the word that takes its keys. Raises UsageError for what would take all."""
    if not word.strip("*"):
        text = _("Name how the keys begin; all of them have no verb but {command}")
        raise UsageError(text.format(command=chosen.same("samaops redis flush")))
    return word if is_group(word) else f"{word}*"


def _expire_looks(
    site: Site, word: str, after: str = str(DAY_SECONDS), _rate: str = EXPIRE_RATE
) -> tuple[str, ...]:
    configured(site)
    if not after.isdecimal() or not _LEAST_SECONDS <= int(after) <= _MOST_SECONDS:
        text = _("--after: {after} is not between {least} and {most} seconds")
        raise UsageError(text.format(after=after, least=_LEAST_SECONDS, most=_MOST_SECONDS))
    _require_nobody_waits_in(site, group(word))
    return _codes(group(word))


def _expire_typed(word: str, after: str = str(DAY_SECONDS), rate: str = EXPIRE_RATE) -> tuple[str, ...]:
    return (word, "--after", after, *(() if rate == EXPIRE_RATE else ("--rate", rate)))


@verb("redis expire", looks=_expire_looks, typed=_expire_typed)
def plan_expire(
    snapshot: Snapshot, site: Site, word: str, after: str = str(DAY_SECONDS), rate: str = EXPIRE_RATE
) -> Plan:
    """Plan that the keys without expiry that begin so get one, in slices; others keep theirs.

    Guards: nothing of Celery's broker; a Redis that tells our expiry from another's; the file is new.
    """
    taken = group(word)
    path = _new_file(snapshot, taken)
    seen, chosen = facts(snapshot), _chosen(snapshot, taken)
    title = _("Let the keys {word} that never expire do so after {after}").format(
        word=taken, after=duration(int(after))
    )
    plan = Plan("redis expire", (word, after, rate), title, target=taken)
    _require_version(seen.version)
    if not has_keys_without_expiry(snapshot, taken):
        return replace(plan, nothing_to_do=_("no key {word} is without expiry").format(word=taken))
    _require_new(path)
    expiring = Expiring(taken, int(after), float(rate), str(path), _queues(site))
    some = _("a key {word} is without expiry").format(word=taken)
    step = Step(
        "redis.expire",
        title,
        Risk.SAFE,
        operation=Operation(EXPIRE, to_builtins(expiring), configured(site).server, SECONDS),
        undo=Operation(PERSIST, to_builtins(OfFile(str(path))), configured(site).server, SECONDS),
        undo_restores=_("no expiry for the keys of {file}, where they still have ours").format(file=path),
        is_undo_final=True,
        before=(Condition("redis.has_keys_without_expiry", (taken,), True, some),),
        after=(),
        servers=site.servers_of("redis"),
    )
    return replace(plan, steps=(step,), notes=tuple(_expire_notes(chosen, expiring)))


def _expire_notes(chosen: KeysOf, expiring: Expiring) -> Iterator[str]:
    text = _("{count} keys, {without} of them without expiry, about {size}, at most {rate:g} a second")
    if not chosen.is_complete:
        text = _("At least {count} keys, {without} of them without expiry, at most {rate:g} a second")
    words = {"count": chosen.matched, "without": chosen.no_expiry, "size": size(chosen.estimated_bytes)}
    yield text.format(rate=expiring.rate, **words)
    text = _("They end spread over {spread} more, so that not all end in one moment")
    yield text.format(spread=duration(max(1, expiring.after // 10)))
    yield _("Whoever writes them goes on to write them without one: that is for its developers to set")


def _require_version(version: str) -> None:
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < _FIRST_VERSION:
        text = _(
            "Redis {version} cannot tell an expiry of ours from another's (Redis 7 can): it could not be taken back"
        )
        raise RefusedError(text.format(version=version))


def _new_file(snapshot: Snapshot, name: str) -> Path:
    """Return where the keys go: a file of the moment at which they were looked at."""
    plain = re.sub(r"[^\w.-]", "_", name)[:_NAME_CHARACTERS]
    return places.state() / "exports" / f"redis-{plain}-{snapshot.taken_at:%Y%m%dT%H%M%S.%fZ}.jsonl"


def _require_new(path: Path) -> None:
    if files.exists(path):
        raise RefusedError(_("{file} exists already: it is not overwritten").format(file=path))


def _unlink_looks(site: Site, word: str, _rate: str = TAKE_RATE) -> tuple[str, ...]:
    configured(site)
    if not word.strip("*"):
        group(word)
    _require_nobody_waits_in(site, word)
    return _codes(word)


def _taking_typed(*words: str) -> tuple[str, ...]:
    *named, rate = words
    return (*named, *(() if rate == TAKE_RATE else ("--rate", rate)))


@verb("redis unlink", looks=_unlink_looks, typed=_taking_typed)
def plan_unlink(snapshot: Snapshot, site: Site, word: str, rate: str = TAKE_RATE) -> Plan:
    """Plan that one key, or all that begin so (``cache:*``), are written to a file and then unlinked.

    Guards: nothing of Celery's broker; no key too large to be exported; the file is new.
    """
    title = _("Take the key {word} out of Redis, into {file}")
    if is_group(word):
        title = _("Take the keys {word} out of Redis, into {file}")
    plan = Plan("redis unlink", (word, rate), title, target=word)
    return _taking(snapshot, site, plan, word)


def _flush_looks(site: Site, _rate: str = TAKE_RATE) -> tuple[str, ...]:
    configured(site)
    return (*_codes(ALL), "redis.queue.backlog")


@verb("redis flush", looks=_flush_looks, typed=_taking_typed)
def plan_flush(snapshot: Snapshot, site: Site, rate: str = TAKE_RATE) -> Plan:
    """Plan that all keys of the configured database are written to a file and then unlinked.

    Guards: no task waits in Redis; no key too large to be exported; the file is new.
    """
    database = f"db{configured(site).database}"
    waiting = [tasks for tasks in known(facts(snapshot).backlog, _("what waits in Redis")) if tasks.count]
    if waiting:
        text = _("{count} tasks wait in Redis ({key}): they would be gone. Start what consumes them")
        words = {"count": waiting[0].count, "key": waiting[0].key}
        raise RefusedError(text.format(**words), hint="samaops workers list")
    title = _("Take all keys of database {word} out of Redis, into {file}")
    plan = Plan("redis flush", (rate,), title.replace("{word}", database), target=database)
    return _taking(snapshot, site, plan, ALL)


def _taking(snapshot: Snapshot, site: Site, plan: Plan, word: str) -> Plan:
    path = _new_file(snapshot, plan.target)
    title = plan.title.format(word=word, file=path)
    plan = replace(plan, title=title)
    if not has_keys(snapshot, word):
        return replace(plan, nothing_to_do=_("Redis has no key {word}").format(word=word))
    _require_new(path)
    chosen = _chosen(snapshot, word)
    if chosen.largest_bytes > MOST_KEY_BYTES:
        text = _("a key of {size} is among them: it could not be exported in one piece ({most} at most)")
        raise RefusedError(text.format(size=size(chosen.largest_bytes), most=size(MOST_KEY_BYTES)))
    if chosen.estimated_bytes > MOST_BYTES:
        text = _(
            "{size} are too much for one file ({most} at most): take them in parts, by longer beginnings"
        )
        raise RefusedError(text.format(size=size(chosen.estimated_bytes), most=size(MOST_BYTES)))
    taking = Taking(word, float(plan.arguments[-1]), str(path), chosen.estimated_bytes, _queues(site))
    there = _("Redis has a key {word}").format(word=word)
    gone = _("Redis has no key {word}").format(word=word)
    step = Step(
        plan.verb.replace(" ", "."),
        title,
        Risk.DESTRUCTIVE,
        operation=Operation(TAKE, to_builtins(taking), configured(site).server, SECONDS),
        undo=Operation(RESTORE, to_builtins(OfFile(str(path))), configured(site).server, SECONDS),
        destroys=_("{count} keys, about {size}, leave Redis; each is written to {file} before").format(
            count=_count(chosen), size=size(chosen.estimated_bytes), file=path
        ),
        undo_restores=_("each key of {file} that is not there again and not over meanwhile").format(
            file=path
        ),
        is_undo_final=True,
        before=(Condition("redis.has_keys", (word,), True, there),),
        # of many, the doer sees each go; to look through all names again takes its time
        after=() if is_group(word) else (Condition("redis.has_keys", (word,), False, gone),),
        servers=site.servers_of("redis"),
    )
    notes = (
        _("{count} keys, at most {rate:g} a second; the file takes about {size} here").format(
            count=_count(chosen), rate=taking.rate, size=size(1.4 * chosen.estimated_bytes)
        ),
    )
    return replace(plan, steps=(step,), notes=notes)


def _count(chosen: KeysOf) -> str:
    return str(chosen.matched) if chosen.is_complete else _("at least {count}").format(count=chosen.matched)
