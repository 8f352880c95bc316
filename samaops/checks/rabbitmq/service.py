"""Judge RabbitMQ: whether it serves, whom it blocks, what it drops, who may use it.

Its nodes are judged in ``rabbitmq_nodes``, the queues in ``rabbitmq_queues`` and ``rabbitmq_limits``.
"""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.rabbitmq.commands import DIAGNOSTICS, in_broker
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.rabbitmq import AmqpFacts, RabbitMQFacts
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding

SHOWN = 5


@check(
    "rabbitmq.service.unreachable",
    title=N_("The management API of RabbitMQ answers"),
    facts=RabbitMQFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "The management API does not answer: the broker is down, or only its management plugin is."
        ),
        confirm=(
            "curl -si http://<serveur api>:15672/api/overview",
            "docker ps -a --filter name=samaconso_rabbitmq",
        ),
        fix=N_("See whether port 5672 still answers; read docker logs; start the container again."),
        avoid=N_("Do not delete the rabbitmq_data volume: it holds every message that waits."),
    ),
)
def management_answers(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    evidence = {
        "version": broker.version,
        "publish_rate": broker.publish_rate,
        "deliver_rate": broker.deliver_rate,
        "ack_rate": broker.ack_rate,
        "queues": broker.queue_count,
    }
    yield context.ok(_("RabbitMQ {version} answers").format(version=broker.version), evidence=evidence)


@check(
    "rabbitmq.amqp.unreachable",
    title=N_("RabbitMQ takes AMQP connections"),
    facts=AmqpFacts,
    access=True,
    explain=Explanation(
        meaning=N_("Port 5672 does not greet as AMQP: the API cannot publish and no worker gets a task."),
        confirm=(f"{DIAGNOSTICS} listeners", "docker logs --tail 100 samaconso_rabbitmq"),
        fix=N_(
            "Read the log of the broker; when the management API answers, look at its alarms and descriptors."
        ),
        avoid=N_("Do not restart the workers: they reconnect by themselves."),
    ),
)
def amqp_answers(amqp: AmqpFacts, context: Context) -> Iterator[Finding]:
    title = _("RabbitMQ {version} greets on its AMQP port in {milliseconds:.0f} ms").format(
        version=amqp.version, milliseconds=amqp.milliseconds
    )
    evidence = {"product": amqp.product, "version": amqp.version, "milliseconds": amqp.milliseconds}
    yield context.ok(title, evidence=evidence)


@check(
    "rabbitmq.connection.blocked",
    title=N_("RabbitMQ blocks no publisher"),
    facts=RabbitMQFacts,
    needs=("connections",),
    explain=Explanation(
        meaning=N_(
            "Connections that tried to publish are held by an alarm: the API's notification calls hang."
        ),
        confirm=("rabbitmqctl -q list_connections name state user", f"{DIAGNOSTICS} alarms"),
        fix=N_("Remove the alarm (memory or disk); the connections go on by themselves."),
        avoid=N_("Do not close the connections: their messages are lost."),
    ),
)
def blocked(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    connections = broker.connections
    assert connections is not None
    evidence = {
        "total": connections.total,
        "blocked": list(connections.blocked[:SHOWN]),
        "blocking": list(connections.blocking[:SHOWN]),
    }
    hint = in_broker(context.site, "rabbitmq-diagnostics -q alarms")
    count = len(connections.blocked)
    if count:
        title = _("RabbitMQ holds {count} connections that want to publish").format(count=count)
        yield context.crit(title, value=count, unit="connections", evidence=evidence, hint=hint)
    elif connections.blocking:
        title = _("RabbitMQ will hold {count} connections at their next message").format(
            count=len(connections.blocking)
        )
        yield context.warn(title, value=0, unit="connections", evidence=evidence, hint=hint)
    else:
        title = _("RabbitMQ blocks none of {total} connections").format(total=connections.total)
        yield context.ok(title, value=0, evidence=evidence)


@check(
    "rabbitmq.messages.unroutable",
    title=N_("RabbitMQ finds a queue for every message"),
    facts=RabbitMQFacts,
    needs=("exchanges",),
    warning=1,
    critical=10,
    unit="messages",
    explain=Explanation(
        meaning=N_(
            "Messages were published in the last ten minutes that no queue took: a binding is missing."
        ),
        confirm=("rabbitmqctl -q list_bindings", "rabbitmqctl -q list_exchanges name type"),
        fix=N_(
            "Restart one worker so that it declares queue and binding again; publish the lost ones again."
        ),
        avoid=N_("Do not delete exchanges or queues to make them anew."),
    ),
)
def unroutable(broker: RabbitMQFacts, context: Context) -> Iterator[Finding]:
    losing = [one for one in broker.losses or () if one.lost]
    lost = sum(one.lost for one in losing)
    evidence = {
        one.name or "(default)": {"published": one.published, "lost": one.lost} for one in losing[:SHOWN]
    }
    title = ngettext(
        "{count} message of the last ten minutes found no queue",
        "{count} messages of the last ten minutes found no queue",
        lost,
    ).format(count=lost)
    more = {"hint": in_broker(context.site, "rabbitmqctl -q list_bindings")} if lost else {}
    yield context.above(lost, title, evidence={"exchanges": evidence}, **more)


@check(
    "rabbitmq.credentials.default",
    title=N_("RabbitMQ does not use guest/guest"),
    facts=RabbitMQFacts,
    explain=Explanation(
        meaning=N_(
            "The user guest exists or is used with its known password: anybody may read and purge queues."
        ),
        confirm=("rabbitmqctl -q list_users",),
        fix=N_(
            "Give the application a user of its own, change its configuration, then delete the user guest."
        ),
        avoid=N_("Do not delete guest while something still logs in with it."),
    ),
)
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
