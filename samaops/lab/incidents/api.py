"""Members of the API: stopped, killed for memory, hung."""

from __future__ import annotations

import socket

import requests

from samaops.i18n import N_, _
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import CONNECT_SECONDS, stopped, switched
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import traffic
from samaops.lab.layout import ADDRESSES, API_PORTS
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

MEMBER = "api_1"
CONTAINER = f"samaconso_{MEMBER}"
# More than the container's limit and as much swap again.
ALLOCATED_MEGABYTES = 1024
DEATH_SECONDS = 20.0
ATTEMPTS = 3
HEALTH_SECONDS = 20.0


def _grow_until_killed(site: Site) -> None:
    """Let the application grow past its limit; without a restart, so that how it ended can be seen."""
    site.docker(CONTAINER, "update", "--restart=no", CONTAINER)
    for _attempt in range(ATTEMPTS):
        _allocate()
        wait_until(lambda: site.inspect(CONTAINER).get("Status") == "exited", DEATH_SECONDS)
        if site.inspect(CONTAINER).get("OOMKilled"):
            return
        site.start(CONTAINER)  # killed, and Docker missed why: on a busy machine it does now and then
    raise StartError(_("Docker does not know that {name} was killed for its memory").format(name=CONTAINER))


def _allocate() -> None:
    url = f"http://{ADDRESSES['api']}:{API_PORTS[MEMBER]}/lab/allocate?megabytes={ALLOCATED_MEGABYTES}"
    try:
        traffic.request("POST", url, timeout=DEATH_SECONDS)
    except requests.ConnectionError:
        return  # it was killed while it allocated
    raise StartError(
        _("{name} took {size} MB and was not killed").format(name=CONTAINER, size=ALLOCATED_MEGABYTES)
    )


def _is_oom_killed(site: Site) -> str | None:
    state = site.inspect(CONTAINER)
    if state.get("Status") != "exited" or not state.get("OOMKilled"):
        return None
    return _("docker inspect {name}: exited, code {code}, OOMKilled").format(
        name=CONTAINER, code=state["ExitCode"]
    )


def _containers_only(site: Site) -> str | None:
    return None if site.has_containers else _("only a container has a memory limit of its own")


def _accepts_and_is_silent(site: Site) -> str | None:
    address, port = site.endpoint(CONTAINER)
    with socket.create_connection((address, port), timeout=CONNECT_SECONDS) as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        try:
            connection.recv(1)
        except TimeoutError:
            return _("{address}:{port} accepts, and sends nothing for {seconds} s").format(
                address=address, port=port, seconds=CONNECT_SECONDS
            )
    return None


def _await_health(site: Site) -> None:
    site.start(CONTAINER)
    wait_until(lambda: site.inspect(CONTAINER).get("Health", {}).get("Status") != "unhealthy", HEALTH_SECONDS)


INCIDENTS = (
    Incident(
        id="api-container-stopped",
        runbook="api-down",
        title=N_("One API container is stopped"),
        does=N_("docker stop of samaconso_api_1 on server api."),
        notice=N_(
            "Nothing at first: the balancer sends everybody to the other member, which has double work."
        ),
        root=Root("container-stopped", f"docker/{CONTAINER}"),
        root_of_processes=Root("api-down", f"api/{MEMBER}"),
        fault=stopped(CONTAINER),
    ),
    Incident(
        id="api-container-oom-killed",
        runbook="api-down",
        title=N_("One API container is killed for its memory"),
        does=N_(
            "samaconso_api_1 takes memory until the kernel kills it at its container's limit; no restart."
        ),
        notice=N_("Requests in flight fail, then the other member serves alone; it will happen again."),
        root=Root("container-oom-killed", f"docker/{CONTAINER}"),
        fault=Fault(
            break_=_grow_until_killed,
            evidence=_is_oom_killed,
            heal=lambda site: site.recreate(CONTAINER),  # one that is only started still says OOMKilled
            refuse=_containers_only,
        ),
    ),
    Incident(
        id="api-hung",
        runbook="api-down",
        title=N_("One API member hangs"),
        does=N_("Synchronous code blocks the event loop of samaconso_api_1: it accepts and never answers."),
        notice=N_("One request in two takes seconds before the balancer tries the other member."),
        root=Root("api-hung", f"api/{MEMBER}"),
        fault=switched(
            "api",
            {f"hang-{MEMBER}": ""},
            evidence=_accepts_and_is_silent,
        ).then(heal=_await_health),
    ),
)
