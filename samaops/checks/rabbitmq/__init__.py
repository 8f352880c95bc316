"""The checks of rabbitmq: importing this registers them."""

from samaops.checks.rabbitmq import commands, nodes, publishing, queue_arguments, queues, service, statistics  # noqa: F401 - they register their checks
