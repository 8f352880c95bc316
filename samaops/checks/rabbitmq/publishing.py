"""Judge whether RabbitMQ takes what the application publishes: its virtual host, limits, exchanges, bindings, rights.

Nothing is published to know it: the state is read that decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from samaops.checks.rabbitmq.statistics import why_absent
from samaops.checks.registry import Context, check
from samaops.facts.rabbitmq import AmqpFacts, Exchange, Limit, RabbitMQFacts, Rights, Routing
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import in_broker

SHOWN = 5
DEFAULT_EXCHANGE = "amq.default"  # what rights call the exchange without a name
# AMQP's reply codes (https://www.rabbitmq.com/amqp-0-9-1-reference).
ACCESS_REFUSED, NOT_ALLOWED = 403, 530


def _not_in_this_look(context: Context) -> Finding:
    return context.skipped(_("this look was saved by a samaops that did not look at it"))


@check("rabbitmq.vhost.down", RabbitMQFacts, needs=("vhost",))
def vhost(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    if broker.vhost_states is None:
        yield _not_in_this_look(context)
        return
    stopped = sorted(node for node, state in broker.vhost_states.items() if state != "running")
    evidence = {"vhost": broker.vhost, "nodes": dict(broker.vhost_states)}
    if stopped:
        title = _("The virtual host {vhost} of RabbitMQ is stopped on {nodes}: it refuses every client")
        title = title.format(vhost=broker.vhost, nodes=", ".join(stopped[:SHOWN]))
        hint = in_broker(context.site, "rabbitmq-diagnostics -q check_virtual_hosts")
        yield context.crit(title, value=len(stopped), evidence=evidence, hint=hint)
    else:
        yield context.ok(_("The virtual host {vhost} runs").format(vhost=broker.vhost), evidence=evidence)


@check("rabbitmq.amqp.refused", AmqpFacts)
def log_in(amqp: AmqpFacts, context: Context) -> Iterator[Finding]:
    rabbitmq, refusal = context.site.settings.rabbitmq, amqp.refusal
    user, vhost_name = (rabbitmq.username, rabbitmq.vhost) if rabbitmq else ("", "/")
    if refusal is None and amqp.stage != "channel":
        yield context.skipped(
            _("nobody tried to log in: [rabbitmq] has no password, or this look is an older one")
        )
    elif refusal is None:
        title = _("RabbitMQ lets {user} into the virtual host {vhost}")
        yield context.ok(title.format(user=user, vhost=vhost_name))
    else:
        title = _("RabbitMQ refuses {user} on the virtual host {vhost}: {words}")
        is_only_ours = refusal.code == ACCESS_REFUSED or _lacks_rights(refusal.message)
        is_only_ours &= (
            rabbitmq is None or refusal.code == ACCESS_REFUSED or rabbitmq.application_user is not None
        )
        yield context.finding(
            Status.UNKNOWN if is_only_ours else Status.CRITICAL,
            title.format(user=user, vhost=vhost_name, words=refusal.message),
            evidence={"stage": refusal.stage, "code": refusal.code, "words": refusal.message},
            hint=in_broker(context.site, "rabbitmqctl -q list_permissions", of_vhost=True),
        )


def _lacks_rights(words: str) -> bool:
    """Return whether a user is refused because it has no right on the virtual host, which others may have."""
    return "refused for user" in words and "down" not in words and "limit" not in words


@check(
    "rabbitmq.limit.reached",
    RabbitMQFacts,
    needs=("connections", "limits"),
    warning=90,
    critical=100,
    unit="%",
)
def limits(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    if broker.limits is None:
        yield _not_in_this_look(context)
        return
    known = [(_percent(limit), limit) for limit in broker.limits if limit.used is not None]
    percent, worst = max(known, key=lambda pair: pair[0], default=(0.0, None))
    if len(known) < len(broker.limits) and context.status_above(percent) is Status.OK:
        yield context.not_given("vhost", "user", "channels", why=why_absent(broker))
    elif worst is None:
        yield context.ok(
            _("No limit is set on the virtual host {vhost} or its users").format(vhost=broker.vhost)
        )
    else:
        title = _("{used} of {limit} are used of the limit {what} of {kind} {name}").format(
            used=worst.used, limit=worst.limit, what=worst.what, kind=worst.kind, name=worst.name
        )
        command = "list_vhost_limits" if worst.kind == "vhost" else "list_user_limits --global"
        hint = in_broker(context.site, f"rabbitmqctl -q {command}", of_vhost=worst.kind == "vhost")
        yield context.above(percent, title, evidence=_limit(worst), hint=hint)


def _percent(limit: Limit) -> float:
    return round(100 * (limit.used or 0) / limit.limit, 1) if limit.limit else 100.0


def _limit(limit: Limit) -> dict[str, object]:
    return {
        "kind": limit.kind, "name": limit.name, "limit": limit.what, "most": limit.limit, "used": limit.used,
    }  # fmt: skip


def used_exchanges(routing: Routing, context: Context) -> tuple[Exchange, ...]:
    """Return the exchanges that the application publishes to.

    The configured one; without it those that have taken messages for our queues, else those that lead to them. Celery
    publishes to the default exchange where its queues have none of their own.
    """
    rabbitmq = context.site.settings.rabbitmq
    if rabbitmq is not None and rabbitmq.exchange is not None:
        return tuple(exchange for exchange in routing.exchanges if exchange.name == rabbitmq.exchange)
    ours = set(context.site.queues())
    leading = [
        exchange for exchange in routing.exchanges if exchange.name and ours.intersection(exchange.queues)
    ]
    default = [exchange for exchange in routing.exchanges if not exchange.name]
    published = [exchange for exchange in (*leading, *default) if exchange.published]
    return tuple(published or leading or default)


@check("rabbitmq.exchange.missing", RabbitMQFacts, needs=("exchanges", "routing"))
def exchange_missing(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    if broker.routing is None:
        yield _not_in_this_look(context)
        return
    used = used_exchanges(broker.routing, context)
    present = [exchange.name or DEFAULT_EXCHANGE for exchange in broker.routing.exchanges]
    evidence = {"vhost": broker.vhost, "exchanges": present[:SHOWN]}
    if used:
        names = ", ".join(exchange.name or DEFAULT_EXCHANGE for exchange in used[:SHOWN])
        title = _("The exchange that is published to exists: {names}").format(names=names)
        yield context.ok(title, evidence=evidence)
    elif broker.routing.exchanges:
        rabbitmq = context.site.settings.rabbitmq
        name = rabbitmq.exchange if rabbitmq else ""
        title = _("The exchange {exchange} does not exist: RabbitMQ refuses what is published to it")
        hint = in_broker(context.site, "rabbitmqctl -q list_exchanges name type", of_vhost=True)
        yield context.crit(title.format(exchange=name), evidence=evidence, hint=hint)
    else:
        yield context.not_given("exchanges", why=why_absent(broker))


@check("rabbitmq.exchange.unbound", RabbitMQFacts, needs=("exchanges", "routing"), unit="queues")
def unbound(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    if broker.routing is None:
        yield _not_in_this_look(context)
        return
    rabbitmq = context.site.settings.rabbitmq
    is_configured = rabbitmq is not None and bool(rabbitmq.exchange)
    ours = [queue for queue in context.site.queues() if broker.queues is None or broker.queue(queue)]
    # One that leads to a single queue is that queue's own, as Celery makes them: no other is missing from it.
    shared = [
        exchange
        for exchange in used_exchanges(broker.routing, context)
        if exchange.name and (is_configured or len(set(ours) & set(exchange.queues)) > 1)
    ]
    reached = {queue for exchange in shared for queue in exchange.queues}
    lacking = [queue for queue in ours if queue not in reached] if shared else []
    names = [exchange.name for exchange in shared]
    evidence = {"exchanges": names, "unbound": lacking, "bound": sorted(reached & set(ours))}
    if not lacking:
        yield context.ok(
            _("Every queue is reached from the exchange that is published to"), evidence=evidence
        )
        return
    is_losing = any(loss.lost for loss in broker.losses or () if loss.name in names)
    title = _("No binding leads from the exchange {exchange} to {queues}: what is published for them is lost")
    yield context.finding(
        Status.CRITICAL if is_configured or is_losing else Status.WARNING,
        title.format(exchange=", ".join(names), queues=", ".join(lacking)),
        value=len(lacking),
        evidence=evidence,
        hint=in_broker(context.site, "rabbitmqctl -q list_bindings", of_vhost=True),
    )


@check("rabbitmq.rights.missing", RabbitMQFacts, needs=("connections", "exchanges", "routing"))
def rights(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    if broker.routing is None:
        yield _not_in_this_look(context)
        return
    if broker.routing.rights is None:
        yield context.skipped(_("our user may not list rights: it lacks the tag administrator"))
        return
    users = _users(broker, context)
    granted = {row.user: row for row in broker.routing.rights}
    rows = [granted.get(user, Rights(user, "", "", "")) for user in users]
    exchanges = [exchange.name or DEFAULT_EXCHANGE for exchange in used_exchanges(broker.routing, context)]
    queues = list(context.site.queues())
    evidence = {
        "exchanges": exchanges,
        "rights": {
            row.user: {"configure": row.configure, "write": row.write, "read": row.read} for row in rows
        },
    }
    try:
        refused = list(_refused(rows, exchanges, queues))
    except re.error as error:
        yield context.unknown(
            _("A pattern of rights cannot be read: {error}").format(error=error), evidence=evidence
        )
        return
    if refused:
        status, title = min(refused, key=lambda pair: pair[0] is not Status.CRITICAL)
        hint = in_broker(context.site, "rabbitmqctl -q list_permissions", of_vhost=True)
        yield context.finding(status, title, evidence=evidence, hint=hint)
    else:
        title = _("RabbitMQ lets {users} publish and consume").format(users=", ".join(users))
        yield context.ok(title, evidence=evidence)


def _users(broker: RabbitMQFacts, context: Context) -> list[str]:
    """Return whom the application logs in as: who is configured, and who is connected as Celery; else ourselves."""
    rabbitmq = context.site.settings.rabbitmq
    connected = broker.connections.users if broker.connections else ()
    named = (rabbitmq.application_user,) if rabbitmq and rabbitmq.application_user else ()
    ours = (rabbitmq.username,) if rabbitmq else ()
    return list(dict.fromkeys((*named, *connected))) or list(ours)


def _refused(
    rows: Sequence[Rights], exchanges: Sequence[str], queues: Sequence[str]
) -> Iterator[tuple[Status, str]]:
    """Yield what is refused to whom. Where one of several users may, the others need not be who publishes or consumes."""
    for row in rows:
        lacking = [name for name in exchanges if not _matches(row.write, name)]
        others = any(_matches(other.write, name) for other in rows for name in lacking)
        if lacking:
            title = _(
                "RabbitMQ refuses what {user} publishes to {names}: its permission to write is {pattern!r}"
            )
            words = title.format(user=row.user, names=", ".join(lacking[:SHOWN]), pattern=row.write)
            yield (Status.WARNING if others else Status.CRITICAL), words
        declared = [name for name in (*exchanges, *queues) if not _matches(row.configure, name)]
        declared = [name for name in declared if name != DEFAULT_EXCHANGE]
        if declared and not lacking:
            title = _(
                "RabbitMQ refuses {user} when it declares {names}: its permission to configure is {pattern!r}"
            )
            words = title.format(user=row.user, names=", ".join(declared[:SHOWN]), pattern=row.configure)
            yield Status.WARNING, words
    unread = [queue for queue in queues if not any(_matches(row.read, queue) for row in rows)]
    if unread and rows:
        title = _("RabbitMQ refuses {user} when it consumes {names}: its permission to read is {pattern!r}")
        words = title.format(user=rows[0].user, names=", ".join(unread[:SHOWN]), pattern=rows[0].read)
        yield Status.CRITICAL, words


def _matches(pattern: str, name: str) -> bool:
    """Return whether a right covers a name, as RabbitMQ decides it: found anywhere; no pattern covers nothing."""
    return bool(pattern) and re.search(pattern, name) is not None
