"""How RabbitMQ is looked at: importing this registers the looks."""

from samaops.collect.rabbitmq import broker  # noqa: F401 - it registers its looks
