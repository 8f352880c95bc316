"""Why RabbitMQ does not give a number."""

from __future__ import annotations

from samaops.facts.rabbitmq import RabbitMQFacts
from samaops.i18n import _


def why_absent(broker: RabbitMQFacts) -> str:
    """Return the reason that is known for all of a broker's numbers, "" without one."""
    return "" if broker.keeps_statistics else _("this broker keeps no statistics (disable_stats)")
