"""Changes of RabbitMQ's queues, policies and messages."""

from samaops.changes.rabbitmq import parking, policies, queues  # noqa: F401 - they register their verbs and readings
