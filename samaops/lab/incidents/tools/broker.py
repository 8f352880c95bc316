"""What incidents ask of RabbitMQ: its management API, its own command, and Celery's control messages through it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from samaops.i18n import _
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import traffic
from samaops.lab.layout import (
    ADDRESSES,
    BROKER_EXCHANGE,
    BROKER_USER,
    QUEUE_PRIORITIES,
    RABBITMQ_MANAGEMENT_PORT,
    WORKER_QUEUES,
)
from samaops.lab.probes import basic_authorization, get_json
from samaops.lab.processes import StartError
from samaops.lab.requirements import rabbitmq_program
from samaops.lab.starting import wait_until

CONTAINER = "samaconso_rabbitmq"
CONTAINERS = {"worker1": "samaconso_celery_worker_1", "worker2": "samaconso_celery_worker_2"}
BACK_SECONDS = 40.0
DRAINED_SECONDS = 30.0
COMMAND_SECONDS = 30.0
SAMPLE_SECONDS = 12.0
# As in rabbitmq.conf.
MEMORY_WATERMARK, DISK_LIMIT = "0.7", "50MB"
NODE_NAMES = {name: f"{name}@celery_worker_{number}" for number, name in enumerate(WORKER_QUEUES, start=1)}
_API = f"http://{ADDRESSES['api']}:{RABBITMQ_MANAGEMENT_PORT}/api"


def look(site: Site, path: str) -> Any:
    """Return a document of the management API; None when there is none."""
    return get_json(f"{_API}/{path}", basic_authorization(BROKER_USER, site.secrets.rabbitmq_password))


def queue(site: Site, name: str) -> dict[str, Any]:
    """Return what the broker says of a queue; empty when it says nothing."""
    answer = look(site, f"queues/%2F/{name}")
    return answer if isinstance(answer, dict) else {}


def has_consumers(site: Site, names: tuple[str, ...]) -> bool:
    """Tell whether somebody consumes each of the queues."""
    return all(int(queue(site, name).get("consumers", 0)) > 0 for name in names)


def await_desertion(site: Site, names: tuple[str, ...]) -> None:
    """Wait until the management API knows that the queues have lost their consumers.

    It is some seconds behind: a consumer that it shows after this is a new one. A broker that is down, or a
    consumer of another worker, is no fault here.
    """
    wait_until(lambda: all(queue(site, name).get("consumers", 0) == 0 for name in names), SAMPLE_SECONDS)


def hears_control(site: Site, worker: str) -> bool:
    """Tell whether a worker's own control queue is consumed: its process is up and connected."""
    return int(queue(site, f"{NODE_NAMES[worker]}.celery.pidbox").get("consumers", 0)) > 0


def is_empty(site: Site, names: tuple[str, ...]) -> bool:
    """Tell whether nothing waits and nothing is unacknowledged in the queues."""
    return all(queue(site, name).get("messages") == 0 for name in names)


def history(site: Site, name: str) -> dict[str, Any]:
    """Return what the broker says of a queue, with samples of its counters from the last ten minutes."""
    return queue(site, f"{name}?msg_rates_age=600&msg_rates_incr=10")


def counts(history: Mapping[str, Any], counter: str) -> list[int]:
    """Return what a counter of a queue's history was, the newest first."""
    details = (history.get("message_stats") or {}).get(f"{counter}_details", {})
    return sorted((sample["sample"] for sample in details.get("samples", ())), reverse=True)


def await_workers(site: Site) -> None:
    """Wait until every queue is consumed. Raises StartError when the workers have not come back."""
    if not wait_until(lambda: has_consumers(site, tuple(QUEUE_PRIORITIES)), BACK_SECONDS):
        raise StartError(_("the workers have not come back to the broker"))


def await_consumption(site: Site, worker: str) -> None:
    """Wait until a worker consumes its queues and has emptied them. Raises StartError when it does not."""
    queues = WORKER_QUEUES[worker]
    if not wait_until(lambda: has_consumers(site, queues), BACK_SECONDS):
        raise StartError(_("{worker} does not consume its queues").format(worker=worker))
    await_drained(site, *queues)


def await_drained(site: Site, *names: str) -> None:
    """Wait until queues are empty, unless something else is broken. Raises StartError when messages are left."""
    if site.is_alone and not wait_until(lambda: is_empty(site, names), DRAINED_SECONDS):
        raise StartError(_("messages are left in the queue {queue}").format(queue=", ".join(names)))


def control(site: Site, worker: str, method: str, arguments: Mapping[str, Any]) -> None:
    """Send a command to one Celery worker, as ``celery control`` does; nobody waits for a reply."""
    body = {"method": method, "arguments": dict(arguments), "destination": [NODE_NAMES[worker]]}
    _publish(site, "celery.pidbox", "", {"clock": 1}, body)


def publish_task(
    site: Site, queue_name: str, task: str, task_id: str, arguments: Mapping[str, Any] | None = None
) -> None:
    """Publish a task by its name, whether a worker knows it or not."""
    _publish(
        site, BROKER_EXCHANGE, queue_name, {"task": task, "id": task_id}, [[], dict(arguments or {}), {}]
    )


def _publish(site: Site, exchange: str, key: str, headers: Mapping[str, Any], body: object) -> None:
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": dict(headers),
    }
    message = {
        "properties": properties,
        "routing_key": key,
        "payload": json.dumps(body),
        "payload_encoding": "string",
    }
    _send(site, "POST", f"exchanges/%2F/{exchange}/publish", message)


def set_policy(site: Site, name: str, policy: Mapping[str, Any] | None) -> None:
    """Declare a policy; None removes it, and does nothing when there is none."""
    path = f"policies/%2F/{name}"
    if policy is not None:
        _send(site, "PUT", path, policy)
    elif look(site, path) is not None:
        _send(site, "DELETE", path)


def _send(site: Site, method: str, path: str, body: object = None) -> None:
    login = (BROKER_USER, site.secrets.rabbitmq_password)
    traffic.request(method, f"{_API}/{path}", json=body, auth=login).raise_for_status()


def rabbitmqctl(site: Site, *arguments: str) -> None:
    """Run the broker's own command where the broker runs. Raises StartError with its last words."""
    if site.has_containers:
        command = ["docker", "exec", CONTAINER, "rabbitmqctl", "-q", *arguments]
    else:
        variables = [f"{name}={value}" for name, value in site.spec(CONTAINER).environment.items()]
        command = ["env", *variables, rabbitmq_program("rabbitmqctl"), "-q", *arguments]
    site.run("api", command, timeout_seconds=COMMAND_SECONDS)


def measure_disk(site: Site) -> None:
    """Let the broker look at its disk now, and wait until its management API knows what it saw.

    By itself it looks every ten seconds, and the management API takes a sample of the node every five.
    """
    rabbitmqctl(site, "set_disk_free_limit", DISK_LIMIT)
    sampled_at = _node(site).get("uptime")

    def is_known() -> bool:
        node = _node(site)
        return node.get("uptime") not in (None, sampled_at) and not node.get("disk_free_alarm")

    wait_until(is_known, SAMPLE_SECONDS)


def _node(site: Site) -> dict[str, Any]:
    nodes = look(site, "nodes")
    return nodes[0] if isinstance(nodes, list) and nodes else {}


def await_released(site: Site) -> None:
    """Wait until the management API knows of no connection any more that an alarm holds back; it is some seconds behind."""
    if site.is_alone and not wait_until(lambda: not _held_back(site), SAMPLE_SECONDS):
        raise StartError(_("RabbitMQ still holds connections back that want to publish"))


def _held_back(site: Site) -> bool:
    connections = look(site, "connections")
    return any(connection.get("state") == "blocked" for connection in connections or ())


def alarm(site: Site, name: str) -> bool:
    """Tell whether the broker has an alarm: ``mem_alarm`` or ``disk_free_alarm``."""
    return bool(_node(site).get(name))
