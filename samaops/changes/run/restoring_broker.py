"""Make again in RabbitMQ what a backup knows of its definitions, and see that it is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import convert, to_builtins

from samaops.changes.restoring.broker import DEFINE, SECONDS, UNDEFINE, WORDS, Defining, Undefining
from samaops.changes.restoring.work import backup_of
from samaops.changes.run import broker_use
from samaops.changes.run.operations import runs
from samaops.changes.run.restoring_config import part_of
from samaops.changes.undo import MADE
from samaops.clients.backup_store import Store
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.clients.shells import ShellPool
from samaops.facts.broker_definitions import KEYS, Definition, Definitions, Row, defined
from samaops.i18n import _, joined
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site

STAGE = "rabbitmq"
_MOST_NAMED = 10


def definitions_of(store: Store, site: Site, identifier: str, part: str, sha256: str) -> Definitions:
    """Return the definitions in a backup. Raises ClientError."""
    try:
        raw = json.loads(part_of(store, site, identifier, part, sha256))
    except ValueError as error:
        raise ClientError(FailureKind.GARBAGE, _("the answer is not JSON"), part) from error
    if not isinstance(raw, dict):
        raise ClientError(FailureKind.GARBAGE, _("the answer is not JSON"), part)
    return raw


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Defining)
    place = f"{backup_of(site).directory.rstrip('/')}/samaops/{of.id}/{of.part}"
    kind = of.missing[0].kind if of.missing else ""
    text = _("# POST /api/definitions of RabbitMQ with {count} of {kind} in {place}")
    return (text.format(count=len(of.missing), kind=kind, place=place),)


@runs(DEFINE, lines=_lines)
def define(operation: Operation, site: Site) -> Outcome:
    """Send to RabbitMQ what it lacks, and nothing of what it has; say exactly what was made. Raises ClientError."""
    of = convert(operation.arguments, Defining)
    then = _then(site, of.id, of.part, of.sha256)
    with _api(site) as api:
        before = defined(api.definitions(KEYS))
        # Somebody may have made one since the look: that stays as it is.
        absent = [each for each in of.missing if each in then and each not in before]
        if absent:
            api.define({absent[0].kind: [then[each] for each in absent]})
        after = defined(api.definitions(KEYS))
    measured = {MADE: to_builtins([each for each in absent if each in after])}
    left = [each for each in of.missing if each not in after]
    if left:
        text = _("RabbitMQ took it and has not: {names}")
        return Outcome(False, text.format(names=_names(left)), measured=measured)
    text = _("made: {names}") if absent else _("somebody else has made it meanwhile")
    return Outcome(True, text.format(names=_names(absent)), is_seen=True, measured=measured)


def _undefine_lines(operation: Operation, _site: Site) -> tuple[str, ...]:
    of = convert(operation.arguments, Undefining)
    if of.made is None:
        return (_("# DELETE in RabbitMQ of what was made of {kind}").format(kind=of.kind),)
    return tuple(f"# DELETE /api/{of.kind}: {each.name}" for each in of.made)


@runs(UNDEFINE, lines=_undefine_lines)
def undefine(operation: Operation, site: Site) -> Outcome:
    """Remove what was made, all of it or none: only what is still as it was made and nobody uses. Raises ClientError."""
    of = convert(operation.arguments, Undefining)
    if of.made is None:
        text = _("what of {kind} was made is not known: it was interrupted meanwhile")
        return Outcome(False, text.format(kind=_(WORDS[of.kind])), is_seen=True)
    then = _then(site, of.id, of.part, of.sha256)
    with _api(site) as api:
        now = defined(api.definitions(KEYS))
        there = [each for each in of.made if each in now]
        reasons = [
            f"{each.name}: {reason}"
            for each in there
            if (
                reason := _("it was changed since")
                if dict(now[each]) != dict(then.get(each, {}))
                else broker_use.of(api, each, now, frozenset(of.made))
            )
        ]
        if reasons:
            return Outcome(False, joined(reasons[:_MOST_NAMED]), is_seen=True)
        for each in reversed(there):
            broker_use.remove(api, each)
        left = [each for each in there if each in defined(api.definitions(KEYS))]
    if left:
        text = _("RabbitMQ still has {names}")
        return Outcome(False, text.format(names=_names(left)))
    return Outcome(True, _("removed: {names}").format(names=_names(there) or "-"), is_seen=True)


def _names(definitions: Sequence[Definition]) -> str:
    return ", ".join(each.name for each in definitions[:_MOST_NAMED])


def _then(site: Site, identifier: str, part: str, sha256: str) -> dict[Definition, Row]:
    """Return what the backup has. Raises ClientError."""
    backup, shells = backup_of(site), ShellPool(site.settings)
    try:
        store = Store(shells.of(backup.server), backup, site.settings.site)
        return defined(definitions_of(store, site, identifier, part, sha256))
    finally:
        shells.close()


@contextmanager
def _api(site: Site) -> Iterator[ManagementApi]:
    settings = site.settings.rabbitmq
    if settings is None:
        raise ClientError(FailureKind.MISSING, _("[rabbitmq] is not configured"), STAGE)
    patient = settings.model_copy(update={"timeout": SECONDS / 4})
    with ManagementApi(site.host_of(settings), patient) as api:
        api.log_in()
        yield api
