"""How rabbitmq is looked at."""

from samaops.collect.rabbitmq.broker import collectors as collectors
