"""What is done to messages of RabbitMQ, over its API and over AMQP."""

from samaops.changes.run.rabbitmq import messages, parking  # noqa: F401 - they register their kinds
