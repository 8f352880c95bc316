"""What the servers tell of a time: log-ins and new keys, from their own logs, and the containers that were made in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timezone
from itertools import groupby

from msgspec import Struct

from samaops.collect import engine, registry
from samaops.facts import selection
from samaops.facts.night import ACCEPTED, NIGHT, REFUSED, Logged, MadeContainer, NightFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.selection import Selection
from samaops.i18n import _, ngettext
from samaops.model.history import local
from samaops.site import redaction
from samaops.site.site import Site
from samaops.workflows.reports.happening import LOGIN, OK, WARNING, Event

_LOOK_SECONDS = 45.0
# Of one server; whoever tries passwords comes from thousands of addresses.
_MOST_EVENTS = 60
_SHOWN_USERS = 3


class Night(Struct, frozen=True):
    """What was read: the log-ins as lines of a timeline, the containers by server, and what of it nobody knows.

    ``unread`` are the servers whose logs could not be read, or not as far back. ``silent`` are those whose containers could not.
    """

    events: tuple[Event, ...] = ()
    containers: Mapping[str, tuple[MadeContainer, ...]] = {}
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


def look(site: Site, since: datetime, until: datetime) -> Night:
    """Read the logs of all servers, side by side, for a time. What could not be read is said, and not taken for nothing."""
    asked = Selection(only=(selection.of(NIGHT, f"{since.timestamp():.0f}-{until.timestamp():.0f}"),))
    collectors = registry.collectors(site, asked)
    if not collectors:
        return Night(notes=(_("No server can be logged in to: nobody knows who logged in"),))
    snapshot: Snapshot = redaction.redacted(engine.observe(collectors, site, asked, _LOOK_SECONDS), site)
    docker = site.settings.docker
    return of(snapshot, tuple(docker.containers) if docker else ())


def of(snapshot: Snapshot, engines: Collection[str]) -> Night:
    """Return what servers told of a time; ``engines`` are those on which containers are expected. Pure."""
    seen = [each for each in snapshot.observations if each.facts_type == NightFacts.__name__]
    notes = [note for each in seen for note in _unknown(each, engines)]
    events = [event for each in seen for event in _events(each)]
    return Night(
        tuple(events),
        {
            each.server: each.facts.containers
            for each in seen
            if each.server and each.facts is not None and each.facts.containers is not None
        },
        tuple(notes),
        tuple(each.server for each in seen if each.server and not _is_whole(each)),
        tuple(
            str(each.server)
            for each in seen
            if each.server in engines and (each.facts is None or each.facts.containers is None)
        ),
    )


def _is_whole(each: Observation) -> bool:
    facts: NightFacts | None = each.facts
    if facts is None or facts.logged is None or facts.is_cut:
        return False
    return facts.oldest is None or facts.oldest <= facts.since


def _unknown(each: Observation, engines: Collection[str]) -> Iterator[str]:
    """Say what of a server's log-ins is not known, and why."""
    facts: NightFacts | None = each.facts
    if facts is None:
        text = _("{server}: who logged in is not known: {reason}")
        yield text.format(server=each.server, reason=each.failure.message if each.failure else "?")
        return
    texts = {
        "logged": _("{server}: who logged in is not known: {reason}"),
        "key_files": _("{server}: whether keys were changed is not known: {reason}"),
        "containers": _("{server}: which containers were made is not known: {reason}"),
    }
    for part, text in texts.items():
        if part in each.missing and (part != "containers" or each.server in engines):
            yield text.format(server=each.server, reason=each.missing[part].message)
    if facts.logged is None:
        return
    if facts.oldest is not None and facts.oldest > facts.since:
        text = _("{server}: its {source} begins at {moment}: who logged in before is not known")
        yield text.format(server=each.server, source=facts.source, moment=_clock(facts.oldest))
    if facts.is_cut:
        yield _("{server}: more was logged than is shown").format(server=each.server)


def _events(each: Observation) -> Iterator[Event]:
    facts: NightFacts | None = each.facts
    if facts is None:
        return
    server = each.server or ""
    lines = facts.logged or ()
    found = [_entered(server, line) for line in lines if line.kind != REFUSED]
    found += _refused(server, [line for line in lines if line.kind == REFUSED])
    yield from sorted(found, key=lambda event: (event.level != WARNING, event.at))[:_MOST_EVENTS]
    for file in facts.key_files or ():
        text = ngettext(
            "{server}: the keys that let {user} in were written, there is {count} now",
            "{server}: the keys that let {user} in were written, there are {count} now",
            file.keys,
        )
        yield Event(
            _moment(file.at), LOGIN, f"servers/{server}",
            text.format(server=server, user=file.user, count=file.keys), WARNING, command="maintain run access",
        )  # fmt: skip


def _entered(server: str, line: Logged) -> Event:
    if line.kind == ACCEPTED:
        text = ngettext(
            "{server}: {user} logs in from {address} ({method})",
            "{server}: {user} logs in from {address} ({method}), {count} times until {last}",
            line.count,
        )
    else:
        text = ngettext(
            "{server}: {user} does a command as root",
            "{server}: {user} does {count} commands as root, until {last}",
            line.count,
        )
    words = text.format(
        server=server, user=line.user, address=line.address, method=line.method, count=line.count,
        last=_clock(line.last)[11:16],
    )  # fmt: skip
    return Event(_moment(line.first), LOGIN, f"servers/{server}", words, OK, line.user)


def _refused(server: str, lines: list[Logged]) -> list[Event]:
    """Return one line for each address: how often it was refused, and as whom it came."""
    found = []
    for address, each in groupby(sorted(lines, key=lambda line: line.address), key=lambda line: line.address):
        of_address = sorted(each, key=lambda line: line.first)
        users = list(dict.fromkeys(line.user for line in of_address if line.user))
        shown = ", ".join([*users[:_SHOWN_USERS], *(["…"] if len(users) > _SHOWN_USERS else [])]) or "?"
        count = sum(line.count for line in of_address)
        text = ngettext(
            "{server}: a log-in from {address} is refused, as {users}",
            "{server}: {count} log-ins from {address} are refused, as {users}",
            count,
        )
        words = text.format(server=server, address=address, users=shown, count=count)
        found.append(Event(_moment(of_address[0].first), LOGIN, f"servers/{server}", words, WARNING))
    return found


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, timezone.utc)


def _clock(epoch: float) -> str:
    return local(_moment(epoch).isoformat())[:19]
