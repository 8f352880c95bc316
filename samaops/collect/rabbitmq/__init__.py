"""How RabbitMQ is looked at: importing this registers the looks."""

from samaops.collect.rabbitmq import broker, publishing  # noqa: F401 - they register their looks
