"""Publish one marked message to a queue of our own, and take it back: only with ``diagnose --probe``."""

from __future__ import annotations

from samaops.clients import footprint
from samaops.clients.amqp import AmqpSession
from samaops.collect.engine import Probe
from samaops.collect.probing import compare, marked_name, writing
from samaops.collect.registry import collects
from samaops.config.settings import RabbitMQ
from samaops.facts.rabbitmq import RabbitMQProbe
from samaops.site.site import Site


@collects("rabbitmq", RabbitMQProbe, feeds=("rabbitmq.publish.probe",), writes=True)
def write(rabbitmq: RabbitMQ, site: Site, probe: Probe) -> RabbitMQProbe:
    """Publish with a confirmation, on the configured virtual host; queue and message end with this connection."""
    queue = marked_name()
    with (
        writing(probe, rabbitmq.timeout) as milliseconds,
        AmqpSession(site.host_of(rabbitmq), rabbitmq) as session,
    ):
        footprint.count(writes=1)
        compare(queue.encode(), session.pass_through_own_queue(queue, queue.encode()))
        return RabbitMQProbe(rabbitmq.vhost, milliseconds())
