"""Runbook api-down: a member that is stopped, killed or hung; a paused pool; a server that is gone."""

from __future__ import annotations

import psycopg
import requests

from samaops.i18n import N_, _
from samaops.lab import chains, engine, processes
from samaops.lab.incidents import broker, containers, looks, network, sessions
from samaops.lab.incidents.incident import Incident, Root
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


def _stop_member(site: Site) -> None:
    containers.stop(site, CONTAINER)


def _member_is_stopped(site: Site) -> str | None:
    stopped = containers.is_stopped(site, CONTAINER)
    refused = looks.refuses(*containers.endpoint(CONTAINER))
    return f"{stopped}; {refused}" if stopped and refused else None


def _start_member(site: Site) -> None:
    containers.start(site, CONTAINER)


def _kill_member_for_memory(site: Site) -> None:
    """Let the application grow past its limit; without a restart, so that how it ended can be seen."""
    containers.docker(site, CONTAINER, "update", "--restart=no", CONTAINER)
    url = f"http://{ADDRESSES['api']}:{API_PORTS[MEMBER]}/lab/allocate"
    with requests.Session() as session:
        session.trust_env = False
        try:
            session.post(url, params={"megabytes": ALLOCATED_MEGABYTES}, timeout=DEATH_SECONDS)
        except requests.ConnectionError:
            return  # it was killed while it allocated
    raise StartError(
        _("{name} took {size} MB and was not killed").format(name=CONTAINER, size=ALLOCATED_MEGABYTES)
    )


def _member_is_oom_killed(site: Site) -> str | None:
    found = containers.inspect(site, CONTAINER)
    state = found["State"] if found else {}
    if state.get("Status") != "exited" or not state.get("OOMKilled"):
        return None
    return _("docker inspect {name}: exited, code {code}, OOMKilled").format(
        name=CONTAINER, code=state["ExitCode"]
    )


def _make_member_anew(site: Site) -> None:
    """Start from the compose file again: a container that is only started still says OOMKilled."""
    containers.recreate(site, CONTAINER)


def _containers_only(site: Site) -> str | None:
    return None if site.has_containers else _("only a container has a memory limit of its own")


def _hang_member(site: Site) -> None:
    server = site.server("api")
    server.outer(server.opt / "switches" / f"hang-{MEMBER}").touch()


def _member_hangs(_site: Site) -> str | None:
    request = b"GET /health HTTP/1.0\r\n\r\n"
    return looks.accepts_and_is_silent(*containers.endpoint(CONTAINER), request)


def _unhang_member(site: Site) -> None:
    server = site.server("api")
    server.outer(server.opt / "switches" / f"hang-{MEMBER}").unlink(missing_ok=True)
    containers.start(site, CONTAINER)
    if site.has_containers:
        wait_until(lambda: not _is_unhealthy(site), HEALTH_SECONDS)


def _is_unhealthy(site: Site) -> bool:
    found = containers.inspect(site, CONTAINER)
    state = found["State"] if found else {}
    return bool(state.get("Health", {}).get("Status") == "unhealthy")


def _pause_pool(site: Site) -> None:
    with sessions.console(site) as console:
        console.execute(b"PAUSE " + DATABASE.encode())


def _pool_is_paused(site: Site) -> str | None:
    try:
        with sessions.console(site) as console:
            cursor = console.execute(b"SHOW DATABASES")
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except psycopg.Error:
        return None
    paused = any(row["name"] == DATABASE and str(row["paused"]) == "1" for row in rows)
    return _("SHOW DATABASES: {database} is paused").format(database=DATABASE) if paused else None


def _resume_pool(site: Site) -> None:
    if _pool_is_paused(site):
        with sessions.console(site) as console:
            console.execute(b"RESUME " + DATABASE.encode())
    sessions.await_pool(site)


def _take_server_away(site: Site) -> None:
    """Kill everything first: its peers are told, else the broker would keep its dead consumers for a minute."""
    record = site.states.state.server(SERVER)
    if record is not None and processes.is_alive(record):
        inside = [one for one in site.states.state.processes if one.server == SERVER]
        processes.kill_group(record)
        processes.wait_until_dead([record, *inside], DEATH_SECONDS)
        broker.await_desertion(site, tuple(QUEUE_PRIORITIES))
    network.take_away(ADDRESSES[SERVER])


def _server_is_gone(_site: Site) -> str | None:
    if not network.is_away(ADDRESSES[SERVER]):
        return None
    return looks.refuses(ADDRESSES[SERVER], SSH_PORT)


def _bring_server_back(site: Site) -> None:
    network.bring_back(ADDRESSES[SERVER])
    site.starting(lambda starter: chains.start_server(starter, SERVER))


def _network_only(site: Site) -> str | None:
    if site.states.state.server(SERVER) is None:
        return _("servers have no namespaces here: {reason}").format(
            reason=site.states.state.namespaces_reason
        )
    return network.missing()


def _stop_engine(site: Site) -> None:
    site.stop(ENGINE)
    broker.await_desertion(site, tuple(QUEUE_PRIORITIES))


def _engine_is_down(site: Site) -> str | None:
    """Look whether anybody accepts on the engine's socket."""
    server = site.server(SERVER)
    if (
        not site.has_containers
        or server.namespace is None
        or site.record(ENGINE) is not None
        or engine.answering(server)()
    ):
        return None
    return _("nobody answers on /run/docker.sock of {server}").format(server=SERVER)


def _start_engine(site: Site) -> None:
    site.starting(lambda starter: chains.start_server(starter, SERVER))


def _engines_only(site: Site) -> str | None:
    return None if site.has_containers else _("no container engine runs here")


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
        break_=_stop_member,
        is_live=_member_is_stopped,
        heal=_start_member,
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
        break_=_kill_member_for_memory,
        is_live=_member_is_oom_killed,
        heal=_make_member_anew,
        refuse=_containers_only,
    ),
    Incident(
        id="api-hung",
        runbook="api-down",
        title=N_("One API member hangs"),
        does=N_("Synchronous code blocks the event loop of samaconso_api_1: it accepts and never answers."),
        notice=N_("One request in two takes seconds before the balancer tries the other member."),
        root=Root("api-hung", f"api/{MEMBER}"),
        break_=_hang_member,
        is_live=_member_hangs,
        heal=_unhang_member,
    ),
    Incident(
        id="pgbouncer-paused",
        runbook="api-down",
        title=N_("The connection pool is paused"),
        does=N_("PAUSE samaconso on the console of PgBouncer, and nobody said RESUME."),
        notice=N_("/health is fine; whatever reads the database hangs, then fails."),
        root=Root("pgbouncer-paused", "pgbouncer/db"),
        break_=_pause_pool,
        is_live=_pool_is_paused,
        heal=_resume_pool,
    ),
    Incident(
        id="server-down",
        runbook="api-down",
        title=N_("A whole server is gone"),
        does=N_("Server workers: every process killed, its address answers nothing any more."),
        notice=N_("No notification is sent, the API answers slowly: cache and workers are gone."),
        root=Root("server-down", f"servers/{SERVER}"),
        break_=_take_server_away,
        is_live=_server_is_gone,
        heal=_bring_server_back,
        refuse=_network_only,
    ),
    Incident(
        id="docker-down",
        runbook="api-down",
        title=N_("A Docker engine is down"),
        does=N_("The engine of server workers is stopped, and with it Redis, both workers and Flower."),
        notice=N_("No notification is sent, the API answers slowly: cache and workers are gone."),
        root=Root("docker-down", f"docker/{SERVER}"),
        break_=_stop_engine,
        is_live=_engine_is_down,
        heal=_start_engine,
        refuse=_engines_only,
    ),
)
