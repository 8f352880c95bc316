"""Compare RabbitMQ's definitions in a backup with those of now, and plan which are made again."""

from __future__ import annotations

import time

from samaops.changes import verbs
from samaops.changes.backup.work import section
from samaops.changes.restoring.broker import NAME
from samaops.changes.run.restoring_broker import definitions_of
from samaops.clients import shells
from samaops.clients.errors import ClientError
from samaops.clients.rabbitmq import ManagementApi
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.backup_run import epoch_of
from samaops.facts.broker_definitions import KEYS, BrokerFacts, defined
from samaops.facts.observation import Observation
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.model.plan import Plan
from samaops.site.commands import typed
from samaops.site.site import Site
from samaops.workflows import change
from samaops.workflows.backup import store_of
from samaops.workflows.restoring_config import manifest_of

_PART = "rabbitmq"


def plan(site: Site, wanted: str, kinds: tuple[str, ...] = ()) -> Plan:
    """Look and plan. Raises UsageError, RefusedError, UnavailableError."""
    verb, arguments = verbs.find(NAME), (wanted, *kinds)
    verb.codes(site, arguments)
    with shells.kept():
        seen = _seen(site, wanted)
        where = section(site).server
        observed = Observation("restore", f"restore/{where}", where, BrokerFacts.__name__, seen)
        return change.prepare_verb(site, verb, arguments, recalled=(observed,))


def _seen(site: Site, wanted: str) -> BrokerFacts:
    settings = site.settings.rabbitmq
    if settings is None:
        raise UsageError(_("[rabbitmq] is not configured"), hint="samaops config show")
    with store_of(site) as store:
        run, manifest = manifest_of(site, store, wanted)
        part = next((part for part in manifest.parts if part.name == _PART), None)
        if part is None or not part.paths:
            text = _("{id} holds no definitions of RabbitMQ: {reason}")
            reason = part.left_out if part and part.left_out else _("they were not asked for")
            raise RefusedError(text.format(id=run.id, reason=reason), hint=typed(site, "backup list"))
        path = part.paths[0]
        sha256 = next((file.sha256 for file in manifest.files if file.path == path), "")
        try:
            then = defined(definitions_of(store, site, run.id, path, sha256))
        except ClientError as error:
            raise RefusedError(
                f"{path}: {error.message}", hint=typed(site, f"backup show {run.id}")
            ) from error
    try:
        with ManagementApi(site.host_of(settings), settings) as api:
            api.log_in()
            now = defined(api.definitions(KEYS))
    except ClientError as error:
        if error.kind is FailureKind.PERMISSION:
            text = _("RabbitMQ shows its definitions to administrators alone, and our user {user} is none")
            hint = typed(site, "config check --connect")
            raise RefusedError(text.format(user=settings.username), hint=hint) from error
        raise UnavailableError(f"rabbitmq: {error.message}") from error
    known = [each for each in then if each in now]
    different = tuple(each for each in known if dict(then[each]) != dict(now[each]))
    return BrokerFacts(
        run.id,
        epoch_of(run.started_at),
        time.time(),
        path,
        sha256,
        tuple(each for each in then if each not in now),
        different,
        len(known) - len(different),
    )
