"""Changes of RabbitMQ's queues, policies and messages: importing this registers their readings."""

from samaops.changes.rabbitmq import parking, policies, queues  # noqa: F401 - they register their readings
