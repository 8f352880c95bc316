"""Make again in RabbitMQ what a backup knows of its definitions, and see that it is there."""

from __future__ import annotations

import json

from msgspec import convert

from samaops.changes.restoring.broker import DEFINE, SECONDS, Defining
from samaops.changes.restoring.work import backup_of
from samaops.changes.run.operations import runs
from samaops.changes.run.restoring_config import part_of
from samaops.clients.backup_store import Store
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.clients.shells import ShellPool
from samaops.facts.broker_definitions import KEYS, Definitions, defined
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site

STAGE = "rabbitmq"


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
    """Send to RabbitMQ what it lacks, and nothing of what it has. Raises ClientError."""
    of, backup, settings = convert(operation.arguments, Defining), backup_of(site), site.settings.rabbitmq
    if settings is None:
        raise ClientError(FailureKind.MISSING, _("[rabbitmq] is not configured"), STAGE)
    shells = ShellPool(site.settings)
    try:
        store = Store(shells.of(backup.server), backup, site.settings.site)
        then = defined(definitions_of(store, site, of.id, of.part, of.sha256))
    finally:
        shells.close()
    patient = settings.model_copy(update={"timeout": SECONDS / 4})
    with ManagementApi(site.host_of(settings), patient) as api:
        api.log_in()
        before = defined(api.definitions(KEYS))
        # Somebody may have made one since the look: that stays as it is.
        absent = [each for each in of.missing if each in then and each not in before]
        if absent:
            api.define({absent[0].kind: [then[each] for each in absent]})
        after = defined(api.definitions(KEYS))
    left = [each for each in of.missing if each not in after]
    if left:
        text = _("RabbitMQ took it and has not: {names}")
        return Outcome(False, text.format(names=", ".join(each.name for each in left[:10])), is_seen=True)
    return Outcome(True, is_seen=True, measured={"made": len(absent)})
