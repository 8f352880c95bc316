"""Runbook api-down: a member that is stopped, killed or hung; a paused pool; a server that is gone."""

from __future__ import annotations

import socket

import requests

from samaops.i18n import N_, _
from samaops.lab import chains, engine, processes
from samaops.lab.incidents import broker, network, sessions, traffic
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import CONNECT_SECONDS, refuses, stopped, switched
from samaops.lab.incidents.site import Site
from samaops.lab.layout import ADDRESSES, API_PORTS, DATABASE, QUEUE_PRIORITIES, SSH_PORT
from samaops.lab.processes import StartError
from samaops.lab.starting import wait_until

MEMBER = "api_1"
CONTAINER = f"samaconso_{MEMBER}"
# More than the container's limit and as much swap again.
ALLOCATED_MEGABYTES = 1024
DEATH_SECONDS = 20.0
HEALTH_SECONDS = 20.0
SERVER = "workers"
ENGINE = f"docker_{SERVER}"


def _grow_until_killed(site: Site) -> None:
    """Let the application grow past its limit; without a restart, so that how it ended can be seen."""
    site.docker(CONTAINER, "update", "--restart=no", CONTAINER)
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


def _is_paused(site: Site) -> str | None:
    pools = sessions.show(site, "DATABASES")
    if not any(pool["name"] == DATABASE and str(pool["paused"]) == "1" for pool in pools):
        return None
    return _("SHOW DATABASES: {database} is paused").format(database=DATABASE)


def _resume(site: Site) -> None:
    if _is_paused(site):
        sessions.command(site, f"RESUME {DATABASE}")
    sessions.await_pool(site)


def _take_server_away(site: Site) -> None:
    """Kill everything first: its peers are told, else the broker would keep its dead consumers for a minute."""
    record = site.states.state.server(SERVER)
    if record is not None and processes.is_alive(record):
        inside = [process for process in site.states.state.processes if process.server == SERVER]
        processes.kill_group(record)
        processes.wait_until_dead([record, *inside], DEATH_SECONDS)
        broker.await_desertion(site, tuple(QUEUE_PRIORITIES))
    network.take_away(ADDRESSES[SERVER])


def _is_away(_site: Site) -> str | None:
    return refuses(ADDRESSES[SERVER], SSH_PORT) if network.is_away(ADDRESSES[SERVER]) else None


def _bring_server_back(site: Site) -> None:
    network.bring_back(ADDRESSES[SERVER])
    _start_server(site)


def _start_server(site: Site) -> None:
    site.starting(lambda starter: chains.start_server(starter, SERVER))


def _namespaces_only(site: Site) -> str | None:
    state = site.states.state
    if state.server(SERVER) is None:
        return _("servers have no namespaces here: {reason}").format(reason=state.namespaces_reason)
    return network.missing()


def _engine_is_down(site: Site) -> str | None:
    """Look whether anybody accepts on the engine's socket."""
    server = site.server(SERVER)
    is_server_up = site.has_containers and server.namespace is not None
    if not is_server_up or site.record(ENGINE) is not None or engine.answering(server)():
        return None
    return _("nobody answers on /run/docker.sock of {server}").format(server=SERVER)


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
    Incident(
        id="pgbouncer-paused",
        runbook="api-down",
        title=N_("The connection pool is paused"),
        does=N_("PAUSE samaconso on the console of PgBouncer, and nobody said RESUME."),
        notice=N_("/health is fine; whatever reads the database hangs, then fails."),
        root=Root("pgbouncer-paused", "pgbouncer/db"),
        fault=Fault(
            break_=lambda site: sessions.command(site, f"PAUSE {DATABASE}"), evidence=_is_paused, heal=_resume
        ),
    ),
    Incident(
        id="server-down",
        runbook="api-down",
        title=N_("A whole server is gone"),
        does=N_("Server workers: every process killed, its address answers nothing any more."),
        notice=N_("No notification is sent, the API answers slowly: cache and workers are gone."),
        root=Root("server-down", f"servers/{SERVER}"),
        fault=Fault(
            break_=_take_server_away, evidence=_is_away, heal=_bring_server_back, refuse=_namespaces_only
        ),
    ),
    Incident(
        id="docker-down",
        runbook="api-down",
        title=N_("A Docker engine is down"),
        does=N_("The engine of server workers is stopped, and with it Redis, both workers and Flower."),
        notice=N_("No notification is sent, the API answers slowly: cache and workers are gone."),
        root=Root("docker-down", f"docker/{SERVER}"),
        fault=Fault(
            break_=lambda site: site.stop(ENGINE),
            evidence=_engine_is_down,
            heal=_start_server,
            refuse=lambda site: None if site.has_containers else _("no container engine runs here"),
        ).then(break_=lambda site: broker.await_desertion(site, tuple(QUEUE_PRIORITIES))),
    ),
)
