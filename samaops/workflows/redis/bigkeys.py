"""The largest keys by bytes, in one pass over all of them."""

from __future__ import annotations

import heapq
import time
from typing import Any

from msgspec import Struct

from samaops.clients import redis_keys
from samaops.clients.redis import RedisClient
from samaops.clients.redis_keys import Pace
from samaops.collect.redis.keys import prefix_of, shown
from samaops.i18n import _
from samaops.model.quantities import duration, size
from samaops.model.table import Column, Table
from samaops.site.site import Site
from samaops.workflows.lists import table
from samaops.workflows.redis import look

# How many elements a key of each type has.
_LENGTHS = {
    "string": "STRLEN",
    "list": "LLEN",
    "hash": "HLEN",
    "set": "SCARD",
    "zset": "ZCARD",
    "stream": "XLEN",
}
_SHOWN_CHARACTERS = 200


class Wanted(Struct, frozen=True):
    """How many keys are shown, how many a second are looked at, and for how many seconds at most."""

    limit: int = 10
    rate: float = 400_000
    within: float = 300.0


class Passed(Struct):
    """How far the pass has come."""

    keys: int = 0
    seen: int = 0
    bytes: int = 0
    is_whole: bool = False

    def words(self) -> str:
        """Return it as a sentence, for whoever waits."""
        return _("{seen} of {keys} keys").format(seen=self.seen, keys=self.keys) if self.keys else ""


def bigkeys(site: Site, wanted: Wanted, passed: Passed) -> Table:
    """Return the largest keys, the largest first; ``passed`` says meanwhile how far it has come."""
    began = time.monotonic()
    with look.connected(site, wanted.within + look.LOOK_SECONDS) as client:
        used = int(client.info("memory")["used_memory"])
        largest = _largest(client, wanted, passed, began + wanted.within)
        seconds = time.monotonic() - began
        rows = [_row(client, site, key, size_bytes, used) for size_bytes, key in largest]
        notes = look.elsewhere(client, site)
    columns = (
        Column("key", _("key"), is_copied=True),
        Column("size", _("size"), True),
        Column("share", _("of used"), True),
        Column("type", _("type")),
        Column("elements", _("elements"), True),
        Column("expires", _("expires in"), True),
        Column("owner", _("whose")),
    )
    if not passed.is_whole:
        text = _("the time was over ({seconds:g} s, --within) before all keys were seen: {seen} of {keys}")
        notes.insert(0, text.format(seconds=wanted.within, seen=passed.seen, keys=passed.keys))
    rate = _("{seen} keys in {seconds:.1f} s, at most {rate:.0f} a second (--rate)")
    notes.append(rate.format(seen=passed.seen, seconds=seconds, rate=wanted.rate))
    answer = _answer(rows, passed)
    return table(site, "bigkeys", columns, rows, answer, notes, is_whole=passed.is_whole)


def _largest(client: RedisClient, wanted: Wanted, passed: Passed, ends_at: float) -> list[tuple[int, bytes]]:
    pace, passed.keys = Pace(wanted.rate), int(client.dbsize())
    found: list[tuple[int, bytes]] = []
    least = -1
    for keys in redis_keys.names(client):
        pace.keep(len(keys))
        sizes = [size_bytes or 0 for (size_bytes,) in redis_keys.ask(client, keys, redis_keys.SIZE)]
        passed.seen += len(keys)
        passed.bytes += sum(sizes)
        if sizes and max(sizes) > least:
            # a key may be named twice while the table is resized
            larger = {key: each for each, key in zip(sizes, keys, strict=True) if each > least}
            known = {key: each for each, key in found}
            found = heapq.nlargest(wanted.limit, ((each, key) for key, each in (known | larger).items()))
            least = found[-1][0] if len(found) == wanted.limit else -1
        if time.monotonic() >= ends_at:
            return found
    passed.is_whole = True
    return found


def _row(client: RedisClient, site: Site, key: bytes, size_bytes: int, used: int) -> look.Row:
    kind: Any = client.type(key)
    name = kind.decode() if isinstance(kind, bytes) else str(kind)
    length = _LENGTHS.get(name)
    ((milliseconds,),) = redis_keys.ask(client, [key], redis_keys.EXPIRY)
    text = shown(key)
    expires = None if milliseconds is None or milliseconds < 0 else milliseconds / 1000
    return {
        "key": text[:_SHOWN_CHARACTERS],
        "bytes": size_bytes,
        "size": size(size_bytes),
        "share_percent": round(100 * size_bytes / used, 1) if used else None,
        "share": f"{100 * size_bytes / used:.1f} %" if used else None,
        "type": name,
        "elements": client.execute_command(length, key) if length else None,
        "expires_seconds": expires,
        "expires": _("never") if milliseconds == redis_keys.NEVER else None if expires is None else duration(expires),
        "owner": look.owner(prefix_of(text), site),
    }  # fmt: skip


def _answer(rows: list[look.Row], passed: Passed) -> str:
    if not rows:
        return _("This database has no keys")
    first = rows[0]
    text = _("The largest of {keys} keys is {key}: {size}, {share} of what Redis uses")
    return text.format(keys=passed.seen, key=first["key"], size=first["size"], share=first["share"])
