"""Put one notification on the queue of its priority, and wait a bounded moment for the broker's receipt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import KombuError

from .celery_app import EXCHANGE, QUEUE_PRIORITIES, TASK_OF_QUEUE

PUBLISH_TIMEOUT_SECONDS = 3
_BROKER_ERRORS = (OSError, AMQPError, KombuError)


class BrokerUnavailableError(Exception):
    """The broker did not take the message: unreachable, refusing, or silent (a memory or disk alarm)."""


class _StaleConnectionError(BrokerUnavailableError):
    """A connection kept from before had died meanwhile; a new one may do."""


def task_arguments(queue: str, user_id: int, message: str, validate_only: bool) -> dict[str, Any]:
    """Return the keyword arguments of the task that serves a queue."""
    arguments: dict[str, Any] = {"message": message, "validate_only": validate_only}
    if queue in ("urgent", "normal"):
        return {"user_id": user_id, **arguments}
    return {"user_ids": [user_id], **arguments}


def publish(producer_app: Celery, queue: str, arguments: dict[str, Any]) -> str:
    """Publish the task of a queue and return its id once the broker confirmed it.

    Raises:
        BrokerUnavailableError: no confirmation in time; a broker that was silent may still deliver it later.
    """
    task_id = str(uuid4())
    try:
        _publish_once(producer_app, queue, arguments, task_id)
    except _StaleConnectionError:
        _publish_once(producer_app, queue, arguments, task_id)
    return task_id


def _publish_once(producer_app: Celery, queue: str, arguments: dict[str, Any], task_id: str) -> None:
    with _producer(producer_app) as producer:
        producer_app.send_task(
            TASK_OF_QUEUE[queue],
            kwargs=arguments,
            task_id=task_id,
            producer=producer,
            queue=queue,
            exchange=EXCHANGE,
            routing_key=queue,
            priority=QUEUE_PRIORITIES[queue],
            retry=False,
            timeout=PUBLISH_TIMEOUT_SECONDS,
            confirm_timeout=PUBLISH_TIMEOUT_SECONDS,
        )


@contextlib.contextmanager
def _producer(producer_app: Celery) -> Iterator[Any]:
    """Lend a connected producer; after an error its connection is dropped, without a word to the broker."""
    with producer_app.producer_or_acquire() as producer:
        try:
            channel = producer.channel
        except _BROKER_ERRORS as error:
            raise BrokerUnavailableError(_words(error)) from error
        try:
            yield producer
        except _BROKER_ERRORS as error:
            # An orderly close would wait for ever on a broker in alarm, which reads nothing.
            if channel.connection is not None:
                channel.connection.collect()
            if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
                words = f"no receipt in {PUBLISH_TIMEOUT_SECONDS} s"
                raise BrokerUnavailableError(words) from error
            raise _StaleConnectionError(_words(error)) from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
