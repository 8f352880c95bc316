"""Put one notification on the queue of its priority, and wait a bounded moment for the broker's receipt."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from amqp.exceptions import AMQPError  # type: ignore[import-untyped]
from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from .celery_app import EXCHANGE, QUEUE_PRIORITIES, TASK_OF_QUEUE

PUBLISH_TIMEOUT_SECONDS = 3


class BrokerUnavailableError(Exception):
    """The broker did not take the message: unreachable, refusing, or silent (a memory or disk alarm)."""


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
        producer_app.send_task(
            TASK_OF_QUEUE[queue],
            kwargs=arguments,
            task_id=task_id,
            queue=queue,
            exchange=EXCHANGE,
            routing_key=queue,
            priority=QUEUE_PRIORITIES[queue],
            retry=False,
            timeout=PUBLISH_TIMEOUT_SECONDS,
            confirm_timeout=PUBLISH_TIMEOUT_SECONDS,
        )
    except (OSError, AMQPError, KombuError, OperationalError) as error:
        # A channel that still waits for a receipt would take the next message's receipt for this one's.
        producer_app.pool.force_close_all()
        raise BrokerUnavailableError(str(error) or type(error).__name__) from error
    return task_id
