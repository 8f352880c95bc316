"""The Celery application: broker, four queues with priorities, results in Redis.

``app`` is for workers and Flower. The API publishes with ``create_producer``: it never waits for a result, so it
opens no subscription in Redis and works while Redis is down.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu.entity import Exchange, Queue

from . import log
from .environment import Environment

QUEUE_PRIORITIES = {"urgent": 9, "high_priority": 7, "normal": 5, "low_priority": 3}
TASK_OF_QUEUE = {
    "urgent": "send_urgent_notification",
    "high_priority": "send_batch_notifications",
    "normal": "send_single_notification",
    "low_priority": "send_broadcast_notifications",
}
EXCHANGE = "samaconso"
QUEUE_ARGUMENTS = {"x-max-priority": 10}
BROKER_TIMEOUT_SECONDS = 3
REDIS_TIMEOUT_SECONDS = 5


def queues() -> tuple[Queue, ...]:
    """Return the four durable queues, each bound by its own name to the application's exchange."""
    exchange: Exchange = Exchange(EXCHANGE, type="direct", durable=True)  # type: ignore[no-untyped-call]
    return tuple(
        Queue(  # type: ignore[no-untyped-call]
            name, exchange, routing_key=name, durable=True, queue_arguments=dict(QUEUE_ARGUMENTS)
        )
        for name in QUEUE_PRIORITIES
    )


def create_worker(environment: Environment) -> Celery:
    """Make the Celery application of a worker, or of Flower."""
    celery = Celery("samaconso", broker=environment.broker_url)
    celery.conf.update(_broker_settings())
    celery.conf.update(_worker_settings(environment))
    celery.conf.update(_result_settings(environment))
    celery.conf.imports = (f"{__package__}.tasks",)
    return celery


def create_producer(environment: Environment) -> Celery:
    """Make the Celery application of a process that only publishes: it fails at once where a worker waits."""
    celery = Celery("samaconso", broker=environment.broker_url, set_as_current=False)
    celery.backend_cls = "disabled://"  # the one thing that CELERY_RESULT_BACKEND does not override
    celery.conf.update(_broker_settings())
    celery.conf.broker_transport_options = {"confirm_publish": True, "max_retries": 0}
    celery.conf.broker_heartbeat = 0  # an idle producer sends none, and the broker would hang up on it
    return celery


def _broker_settings() -> dict[str, Any]:
    return {
        "task_queues": queues(),
        "task_default_queue": "normal",
        "task_default_exchange": EXCHANGE,
        "task_default_routing_key": "normal",
        "task_create_missing_queues": False,
        "broker_connection_timeout": BROKER_TIMEOUT_SECONDS,
        "broker_connection_retry_on_startup": True,
        "broker_heartbeat": 30,
        "broker_transport_options": {"confirm_publish": True},
        "task_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        # Replies of `inspect` and `control` that nobody fetched must not pile up.
        "control_queue_ttl": 60.0,
        "control_queue_expires": 120.0,
    }


def _worker_settings(environment: Environment) -> dict[str, Any]:
    return {
        # A message is acknowledged when its task ended, and comes back when its process was killed.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "task_track_started": True,
        "task_time_limit": environment.task_time_limit,
        "worker_cancel_long_running_tasks_on_connection_loss": True,
    }


def _result_settings(environment: Environment) -> dict[str, Any]:
    return {
        "result_backend": environment.result_backend,
        "result_expires": environment.result_expires,
        "result_serializer": "json",
        "redis_socket_timeout": REDIS_TIMEOUT_SECONDS,
        "redis_socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
        "redis_backend_health_check_interval": 30,
    }


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_arguments: Any) -> None:
    log.configure(Environment.read())


app = create_worker(Environment.read())
