"""Real notifications, sent as the application's users send them: through an API member that answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import redis
import requests

from samaops.i18n import _
from samaops.lab.incidents.site import FAULTS, Site
from samaops.lab.layout import ADDRESSES, API_PORTS, FLOWER_PORT, FLOWER_USER, REDIS_PORT
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

ANSWER_SECONDS = 5.0
SENT = 10
# After so many that arrive, the last failures are history to whoever looks at the last hundred.
SENT_AGAIN = 30
# Of a machine that has other work too; the wait ends with the last task.
FAILED_SECONDS = 30.0
# Flower misses what ends before it listens again, such as after a restart of its engine: then more is sent.
HEARD_SECONDS = 4.0
ATTEMPTS = 8
HEARD_TASKS = 200
# Between two looks: Flower and Redis have other work too.
PAUSE_SECONDS = 0.1
RESULT_KEY = "celery-task-meta-{task_id}"


def request(method: str, url: str, **arguments: Any) -> requests.Response:
    """Ask one of the lab's servers, without any proxy of this machine's environment."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, **{"timeout": ANSWER_SECONDS, **arguments})


def notify(priority: str, message: str = "Essai du laboratoire", user_id: int = 1) -> str:
    """Publish one notification and return its task's id. Raises StartError when no member takes it."""
    body = {"user_id": user_id, "priority": priority, "message": message}
    reason = ""
    for port in reversed(API_PORTS.values()):
        try:
            answer = request("POST", f"http://{ADDRESSES['api']}:{port}/notifications", json=body)
        except requests.RequestException as error:
            reason = str(error)
            continue
        if answer.ok:
            return str(answer.json()["task_id"])
        reason = f"HTTP {answer.status_code} {answer.text[:200]}"
    raise StartError(_("no API member takes a notification: {reason}").format(reason=reason))


def notify_many(priority: str, count: int, message: str = "Essai du laboratoire") -> list[str]:
    """Publish some notifications, each to another customer."""
    return [notify(priority, message, user_id) for user_id in range(1, count + 1)]


def results(task_ids: Iterable[str]) -> dict[str, str]:
    """Return the state of the tasks that have a result in Redis."""
    known = list(task_ids)
    with redis_of() as client:
        values = client.mget([RESULT_KEY.format(task_id=task_id) for task_id in known]) if known else []
    return {
        task_id: str(json.loads(value)["status"])
        for task_id, value in zip(known, values, strict=True)
        if value
    }


def forget_results(task_ids: Iterable[str]) -> None:
    """Remove the results of tasks from Redis."""
    with redis_of() as client:
        for task_id in task_ids:
            client.delete(RESULT_KEY.format(task_id=task_id))


def await_results(task_ids: list[str], wanted: str, seconds: float) -> bool:
    """Wait until every task has the wanted state; return whether they had in time."""

    def are_there() -> bool:
        states = results(task_ids)
        return all(states.get(task_id) == wanted for task_id in task_ids)

    return wait_until(are_there, seconds, PAUSE_SECONDS)


def await_heard(site: Site, wanted: Mapping[str, str], seconds: float) -> bool:
    """Wait until Flower knows each task with its wanted state; return whether it did in time."""
    return wait_until(lambda: wanted.items() <= heard(site).items(), seconds, PAUSE_SECONDS)


def heard(site: Site) -> dict[str, str]:
    """Return the state of the last tasks that Flower heard of; none while it does not answer."""
    tasks = _flower(site, f"tasks?limit={HEARD_TASKS}")
    return {task_id: str(task.get("state")) for task_id, task in tasks.items()}


def heartbeats(site: Site) -> dict[str, bool]:
    """Return whether Flower hears each worker, by the part of its name before the @."""
    return {name.partition("@")[0]: bool(alive) for name, alive in _flower(site, "workers?status=1").items()}


def _flower(site: Site, path: str) -> dict[str, Any]:
    """Return an answer of Flower; empty while it does not answer."""
    url = f"http://{ADDRESSES['workers']}:{FLOWER_PORT}/api/{path}"
    try:
        answer = request("GET", url, auth=(FLOWER_USER, site.secrets.flower_password))
        answer.raise_for_status()
        return dict(answer.json())
    except requests.RequestException:
        return {}


def prove(site: Site, send: Callable[[], Mapping[str, str]], otherwise: str) -> None:
    """Send until tasks end as wanted and Flower has heard of it. Raises StartError when they do not.

    ``send`` returns the wanted state of each task it sent.
    """
    for _attempt in range(ATTEMPTS):
        wanted = send()
        for state in set(wanted.values()):
            some = [task_id for task_id, wanted_state in wanted.items() if wanted_state == state]
            if not await_results(some, state, FAILED_SECONDS):
                raise StartError(otherwise)
        if await_heard(site, wanted, HEARD_SECONDS):
            return
    raise StartError(_("Flower does not hear how tasks end"))


def fail_some(site: Site) -> None:
    """Send a few notifications, which fail: nobody has to wait for a customer's. Raises StartError when they do not."""
    if site.is_alone:
        prove(
            site,
            lambda: dict.fromkeys(notify_many("urgent", SENT), "FAILURE"),
            _("notifications are still sent"),
        )


def send_again(site: Site) -> None:
    """Send more than have failed, and see them arrive. Raises StartError when they do not.

    Beside another fault some may fail, and it may be that none can be sent: then nothing has to arrive.
    """
    if not site.is_alone:
        with contextlib.suppress(*FAULTS):
            sent = notify_many("urgent", 2 * SENT)
            wait_until(lambda: results(sent).keys() == set(sent) <= heard(site).keys(), HEARD_SECONDS)
    else:
        prove(
            site,
            lambda: dict.fromkeys(notify_many("urgent", SENT_AGAIN), "SUCCESS"),
            _("notifications are not sent yet"),
        )


def redis_of() -> redis.Redis:
    """Return a client of the lab's Redis."""
    return redis.Redis(
        ADDRESSES["workers"], REDIS_PORT, socket_timeout=5, socket_connect_timeout=2, decode_responses=True
    )
