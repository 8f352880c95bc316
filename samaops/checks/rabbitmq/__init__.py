"""The checks of rabbitmq: importing this registers them."""

from samaops.checks.rabbitmq import commands, limits, nodes, publishing, queues, service, statistics  # noqa: F401 - they register their checks
