"""The engine of a server that is down."""

from __future__ import annotations

from samaops.i18n import N_, _
from samaops.lab import engine
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.servers import SERVER, start_server
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import broker
from samaops.lab.layout import QUEUE_PRIORITIES

ENGINE = f"docker_{SERVER}"


def _engine_is_down(site: Site) -> str | None:
    """Look whether anybody accepts on the engine's socket."""
    server = site.server(SERVER)
    is_server_up = site.has_containers and server.namespace is not None
    if not is_server_up or site.record(ENGINE) is not None or engine.answering(server)():
        return None
    return _("nobody answers on /run/docker.sock of {server}").format(server=SERVER)


INCIDENTS = (
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
            heal=start_server,
            refuse=lambda site: None if site.has_containers else _("no container engine runs here"),
        ).then(break_=lambda site: broker.await_desertion(site, tuple(QUEUE_PRIORITIES))),
    ),
)
