"""A server that is gone; its disk filled by a big file, or by a deleted one that is still open."""

from __future__ import annotations

from pathlib import Path

from samaops.i18n import N_, _, joined
from samaops.lab import chains, processes
from samaops.lab.incidents.incident import Fault, Incident, Root
from samaops.lab.incidents.mechanisms import (
    bytes_to_fill,
    filled,
    fullness,
    own_disk,
    refuses,
)
from samaops.lab.incidents.site import Site
from samaops.lab.incidents.tools import broker, network
from samaops.lab.layout import ADDRESSES, QUEUE_PRIORITIES, SSH_PORT

DEATH_SECONDS = 20.0
SERVER = "workers"
DELETED = "deleted-open-file"
DELETED_LOG = Path("/data/logs/passerelle_sms.log")
HOLDING_SECONDS = 3600


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
    start_server(site)


def start_server(site: Site) -> None:
    """Start the server with all that is in it."""
    site.starting(lambda starter: chains.start_server(starter, SERVER))


def _namespaces_only(site: Site) -> str | None:
    state = site.states.state
    if state.server(SERVER) is None:
        return _("servers have no namespaces here: {reason}").format(reason=state.namespaces_reason)
    return network.missing()


def _measure_broker_disk(site: Site) -> None:
    if site.has_own_disk("api") and site.stopped(broker.CONTAINER) is None:
        broker.measure_disk(site)


def _delete_open_log(site: Site) -> None:
    """Let a program keep a big log open that is then removed, as a careless clean-up does."""
    logs = site.server("workers").outer(DELETED_LOG.parent)
    logs.mkdir(exist_ok=True)
    script = (
        f"exec 3>>{DELETED_LOG} && fallocate -l {bytes_to_fill(logs)} {DELETED_LOG} && rm {DELETED_LOG} && "
        f"exec sleep {HOLDING_SECONDS}"
    )
    site.spawn("workers", ["/bin/sh", "-c", script])


def _deleted_log_is_open(site: Site) -> str | None:
    full = fullness(site, "workers")
    for program in site.programs(DELETED):
        descriptor = Path(f"/proc/{program.pid}/fd/3")
        target = str(descriptor.readlink())
        if full and target.endswith("(deleted)"):
            return joined((f"{descriptor} -> {target}", full))
    return None


INCIDENTS = (
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
        id="disk-filled",
        runbook="disk-full",
        title=N_("A big file fills the disk"),
        does=N_("A complete export of all customers is left in /data/exports of server api."),
        notice=N_("The broker stops taking messages, logs and uploads cannot be written."),
        root=Root("disk-full", "servers/api:/data"),
        fault=filled("api", Path("/data/exports/export_clients_complet.csv")).then(heal=_measure_broker_disk),
    ),
    Incident(
        id=DELETED,
        runbook="disk-full",
        title=N_("A deleted log is still open"),
        does=N_("A program of server workers has a big log under /data open; the file was removed with rm."),
        notice=N_("The disk stays full although the big file is gone; du finds nothing."),
        root=Root("deleted-file-still-open", "servers/workers:/data"),
        fault=Fault(
            break_=_delete_open_log,
            evidence=_deleted_log_is_open,
            heal=lambda site: site.end(DELETED),
            refuse=own_disk("workers"),
        ),
    ),
)
