"""Judge RabbitMQ: whether it serves, whom it blocks, what it drops, who may use it.

Its nodes are judged in ``nodes``, the queues in ``queues`` and ``limits``.
"""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.rabbitmq.statistics import why_absent
from samaops.checks.registry import Context, access, check
from samaops.facts.rabbitmq import AmqpFacts, RabbitMQFacts, RabbitMQProbe
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.site.commands import in_broker

SHOWN = 5
# Who of them is a worker is asked by the address.
SHOWN_CONNECTIONS = 50


access(
    "rabbitmq.service.unreachable",
    RabbitMQFacts,
    title=lambda broker: _("RabbitMQ {version} answers").format(version=broker.version),
    evidence=lambda broker: {
        "version": broker.version,
        "publish_rate": broker.publish_rate,
        "deliver_rate": broker.deliver_rate,
        "ack_rate": broker.ack_rate,
        "queues": broker.queue_count,
    },
)
access(
    "rabbitmq.amqp.unreachable",
    AmqpFacts,
    title=lambda amqp: _("RabbitMQ {version} greets on its AMQP port in {milliseconds:.0f} ms").format(
        version=amqp.version, milliseconds=amqp.milliseconds
    ),
    evidence=lambda amqp: {
        "product": amqp.product,
        "version": amqp.version,
        "milliseconds": amqp.milliseconds,
    },
)
access(
    "rabbitmq.publish.probe",
    RabbitMQProbe,
    title=lambda seen: _("RabbitMQ confirmed a marked message on {vhost} and gave it back in {ms} ms").format(
        vhost=seen.place, ms=seen.milliseconds
    ),
    value=lambda seen: seen.milliseconds,
)


@check("rabbitmq.connection.blocked", RabbitMQFacts, needs=("connections",))
def blocked(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    connections = broker.connections
    assert connections is not None
    evidence = {
        "total": connections.total,
        "blocked": list(connections.blocked[:SHOWN_CONNECTIONS]),
        "blocking": list(connections.blocking[:SHOWN]),
    }
    hint = in_broker(context.site, "rabbitmq-diagnostics -q alarms")
    about, count = context.about(unit="connections"), len(connections.blocked)
    if count:
        title = _("RabbitMQ holds {count} connections that want to publish").format(count=count)
        yield about.crit(title, value=count, evidence=evidence, hint=hint)
    elif connections.blocking:
        title = _("RabbitMQ will hold {count} connections at their next message").format(
            count=len(connections.blocking)
        )
        yield about.warn(title, value=0, evidence=evidence, hint=hint)
    elif connections.stateless:
        yield context.not_given("state", why=why_absent(broker))
    else:
        title = _("RabbitMQ blocks none of {total} connections").format(total=connections.total)
        yield context.ok(title, value=0, evidence=evidence)


@check(
    "rabbitmq.messages.unroutable",
    RabbitMQFacts,
    needs=("exchanges",),
    warning=1,
    critical=10,
    unit="messages",
)
def unroutable(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    losing = [exchange for exchange in broker.losses or () if exchange.lost]
    lost = sum(exchange.lost for exchange in losing)
    exchanges = {
        exchange.name or "(default)": {"published": exchange.published, "lost": exchange.lost}
        for exchange in losing[:SHOWN]
    }
    title = ngettext(
        "{count} message of the last ten minutes found no queue",
        "{count} messages of the last ten minutes found no queue",
        lost,
    ).format(count=lost)
    hint = in_broker(context.site, "rabbitmqctl -q list_bindings", of_vhost=True)
    yield context.above(lost, title, evidence={"exchanges": exchanges}, hint=hint)


@check("rabbitmq.credentials.default", RabbitMQFacts, needs=("users",))
def credentials(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    evidence = {"uses_default_password": broker.uses_default_password, "guest_exists": broker.guest_exists}
    hint = in_broker(context.site, "rabbitmqctl -q list_users")
    if broker.uses_default_password:
        title = _("RabbitMQ is used with the known password guest/guest")
        yield context.warn(title, evidence=evidence, hint=hint)
    elif broker.guest_exists:
        yield context.warn(_("The user guest still exists in RabbitMQ"), evidence=evidence, hint=hint)
    else:
        detail = _("Our user may not list users: whether guest exists was not seen.")
        detail = detail if broker.guest_exists is None else ""
        yield context.ok(_("RabbitMQ is not used as guest"), detail=detail, evidence=evidence)
