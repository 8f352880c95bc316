"""Roots in services that do not serve, whatever runs them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial

from samaops.causes.candidate import OUTAGE, Candidate, View, any_of, codes, letter
from samaops.causes.topology import (
    effects_of_api_member,
    effects_of_system,
)
from samaops.i18n import N_, _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.model.status import Status
from samaops.site.commands import as_superuser, on_server, samaops

# system -> (runbook, name for the title, what to look at on its server)
_SERVICES = {
    "postgresql": ("db-slow", "PostgreSQL", "systemctl status postgresql"),
    "pgbouncer": ("api-down", "PgBouncer", "systemctl status pgbouncer"),
    "redis": ("redis-full", "Redis", "docker logs --tail 50 samaconso_redis"),
    "rabbitmq": ("notifications", "RabbitMQ", "docker logs --tail 50 samaconso_rabbitmq"),
    "minio": ("api-down", "MinIO", "systemctl status minio"),
    "flower": ("notifications", "Flower", "docker logs --tail 50 samaconso_flower"),
    "proxy": ("notifications", N_("The Senelec proxy"), ""),
}

_WITNESSES_OF_CELERY = ("rabbitmq", "flower")

_TITLES = {
    "refused": N_("{name} is down: nothing listens on its port"),
    "silent": N_("{name} does not answer at all"),
    "no_answer": N_("{name} hangs: it accepts connections and never answers"),
    "closed": N_("{name} hangs up on every connection"),
    "garbage": N_("Something that is not {name} listens on its port"),
    "tls": N_("{name}: the TLS connection fails"),
    "unavailable": N_("{name} answers that it cannot serve now"),
}


def candidates(view: View) -> Iterator[Candidate]:
    """Yield services that are down or hang."""
    for system in _SERVICES:
        for finding in view.kind(f"{system}.service.unreachable", *OUTAGE):
            if system == "postgresql" and finding.evidence.get("stage") == "slot":
                yield _no_connection_left(view, finding)
            else:
                yield _service_down(view, system, finding)
        for finding in view.kind(f"{system}.service.unreachable", "authentication"):
            yield _log_in_refused(system, finding)
    for finding in view.kind("postgresql.service.unreachable", "missing"):
        if finding.evidence.get("stage") == "login":  # the only thing a log-in can miss
            yield _database_missing(view, finding)
    for finding in view.kind("api.member.unreachable", *OUTAGE):
        yield _member_down(view, finding)
    yield from _members_failing(view)
    for finding in view.kind("loadbalancer.vip.unreachable", *OUTAGE):
        yield _vip(view, finding)
    for finding in view.bad("loadbalancer.vip.failing"):
        yield _vip(view, finding)


def _cause_id(system: str, kind: str) -> str:
    return f"{system}-hung" if kind == "no_answer" else f"{system}-down"


def _service_down(view: View, system: str, finding: Finding) -> Candidate:
    runbook, name, look = _SERVICES[system]
    kind = str(finding.evidence.get("kind"))
    on = partial(on_server, view.site)
    commands = (on(finding.server, look),) if look else ()
    if kind == "silent" and view.ok("servers.ssh.unreachable", finding.server):
        return _port_dropped(view, system, finding)
    return Candidate(
        id=_cause_id(system, kind),
        rank=4,
        runbook=runbook,
        subject=finding.subject,
        title=_(_TITLES[kind]).format(name=_(name)),
        triggers=(finding,),
        effects=effects_of_system(system),
        speaks_for=(finding.detail or finding.title, *_running_container(view, system)),
        speaks_against=(),
        fixes=_service_fixes(view, system, finding, commands),
    )


def _port_dropped(view: View, system: str, finding: Finding) -> Candidate:
    """Return why a service is silent on a server that answers: a process that hangs still accepts connections."""
    runbook, name, _look = _SERVICES[system]
    section = view.site.section(system)
    port, host = getattr(section, "port", None), view.site.host_of(section)
    attempt = f"timeout 3 bash -c '</dev/tcp/{host}/{port}' && echo open"
    return Candidate(
        id=f"{system}-port-dropped",
        rank=4,
        runbook=runbook,
        subject=finding.subject,
        title=_(
            "{name} does not answer though its server does: a firewall or the network drops its port"
        ).format(name=_(name)),
        triggers=(finding,),
        effects=effects_of_system(system),
        verdict=Verdict.PROBABLE,
        speaks_for=(finding.detail or finding.title, *_running_container(view, system)),
        fixes=(
            Fix(
                "network.port",
                Risk.SAFE,
                _(
                    "Try its port on its own server: when it is open there, ask who filters it; a restart cures nothing"
                ),
                (on_server(view.site, finding.server, attempt),) if port else (),
            ),
        ),
    )


def _log_in_refused(system: str, finding: Finding) -> Candidate:
    """Return why we see nothing: our own log-in. That breaks nothing else, so only unknowns follow from it."""
    unseen = codes(f"{system}.*", *(("celery.*",) if system in _WITNESSES_OF_CELERY else ()))
    return Candidate(
        id="login-refused",
        rank=4,
        runbook=None,
        subject=finding.subject,
        title=_("{name} refuses our user or password: what only it can tell is unknown").format(
            name=_(_SERVICES[system][1])
        ),
        triggers=(finding,),
        effects=lambda one: one.status is Status.UNKNOWN and unseen(one),
        speaks_for=(finding.detail or finding.title,),
        fixes=(
            Fix(
                "config.secret",
                Risk.SAFE,
                _("Correct the user or password of [{section}] in the configuration").format(section=system),
                ("samaops config show", "samaops config check"),
            ),
        ),
    )


def _database_missing(view: View, finding: Finding) -> Candidate:
    name = view.site.settings.postgresql.database if view.site.settings.postgresql else "samaconso"
    sql = "SELECT datname, pg_size_pretty(pg_database_size(oid)) FROM pg_database"
    return Candidate(
        id="postgresql-database-missing",
        rank=4,
        runbook="api-down",
        subject=finding.subject,
        title=_("PostgreSQL serves and has no database {name}: renamed, dropped, or not yet restored").format(
            name=name
        ),
        triggers=(finding,),
        effects=effects_of_system("postgresql"),
        speaks_for=(finding.detail or finding.title, _("PostgreSQL itself answers")),
        fixes=(
            Fix(
                "db.databases",
                Risk.SAFE,
                _(
                    "See which databases there are: one of its size under another name needs only its name back"
                ),
                (as_superuser(view.site, sql, "postgres"),),
            ),
        ),
    )


def _no_connection_left(view: View, finding: Finding) -> Candidate:
    sql = "SELECT usename, application_name, client_addr, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC"
    return Candidate(
        id="postgresql-connections-exhausted",
        rank=4,
        runbook="db-slow",
        subject=finding.subject,
        title=_("PostgreSQL has no connection left: it reached max_connections"),
        triggers=(finding,),
        effects=effects_of_system("postgresql"),
        speaks_for=(finding.detail or finding.title, _("PostgreSQL itself answers")),
        fixes=(
            Fix(
                "db.connections",
                Risk.SAFE,
                _("See who holds them, with a superuser's reserved connection; do not raise max_connections"),
                (as_superuser(view.site, sql, "postgres"),),
            ),
        ),
    )


def _running_container(view: View, system: str) -> tuple[str, ...]:
    section = view.site.section(system)
    container = getattr(section, "container", None)
    running = [
        one
        for one in view.ok("docker.container.stopped")
        if container and one.subject == f"docker/{container}"
    ]
    return tuple(_("its container {name} is running").format(name=container) for _one in running)


def _service_fixes(view: View, system: str, finding: Finding, look: tuple[str, ...]) -> tuple[Fix, ...]:
    on = partial(on_server, view.site)
    if system == "proxy":
        text = _("Send this to the network team: the proxy {url} answers «{words}» since we looked")
        url = view.site.settings.proxy.url if view.site.settings.proxy else "?"
        host_port = url.rpartition("//")[2].rstrip("/")
        title = text.format(url=url, words=finding.detail)
        return (
            Fix(
                "proxy.team",
                Risk.SAFE,
                title,
                (
                    letter(view),
                    f"curl -sv -x {shlex.quote('http://' + host_port)} https://oauth2.googleapis.com/",
                ),
            ),
        )
    section = view.site.section(system)
    container = getattr(section, "container", None)
    restart = (
        samaops(view.site, f"docker restart {shlex.quote(container)}")
        if container
        else on(finding.server, f"systemctl restart {system}")
    )
    return (
        Fix(f"{system}.look", Risk.SAFE, _("Read why before you restart it"), look),
        Fix(f"{system}.restart", Risk.DISRUPTIVE, _("Restart it"), (restart,)),
    )


def _member_down(view: View, finding: Finding) -> Candidate:
    name = finding.subject.partition("/")[2]
    kind = str(finding.evidence.get("kind"))
    healthy = [one.subject.partition("/")[2] for one in view.ok("api.member.unreachable")]
    on = partial(on_server, view.site)
    members = view.site.settings.api.instances if view.site.settings.api else ()
    container = next((one.container for one in members if one.name == name and one.container), name)
    serving = _("{names} still serves: take {name} out of the balancer while you look").format(
        names=", ".join(healthy), name=name
    )
    return Candidate(
        id=_cause_id("api", kind),
        rank=4,
        runbook="api-down",
        subject=finding.subject,
        title=_(_TITLES[kind]).format(name=name),
        triggers=(finding,),
        effects=effects_of_api_member(view.site, name),
        speaks_for=(finding.detail or finding.title, *((serving,) if healthy else ())),
        fixes=(
            Fix(
                "api.logs",
                Risk.SAFE,
                _("Keep what it says before restarting"),
                (on(finding.server, f"docker logs --tail 100 {shlex.quote(container)}"),),
            ),
            Fix(
                "docker.restart",
                Risk.DISRUPTIVE,
                _("Restart this member only"),
                (samaops(view.site, f"docker restart {shlex.quote(container)}"),),
            ),
        ),
    )


def _members_failing(view: View) -> Iterator[Candidate]:
    for finding in view.bad("api.health.*"):
        name = finding.subject.partition("/")[2]
        yield Candidate(
            id="api-unhealthy",
            rank=6,
            runbook="api-down",
            subject=finding.subject,
            title=finding.title,
            triggers=(finding,),
            effects=effects_of_api_member(view.site, name),
            speaks_for=(finding.detail or finding.title,),
        )


def _vip(view: View, finding: Finding) -> Candidate:
    healthy = view.ok("api.member.unreachable")
    members = tuple(
        _("{name} answers directly").format(name=one.subject.partition("/")[2]) for one in healthy
    )
    return Candidate(
        id="loadbalancer-fault",
        rank=7,
        runbook="api-down",
        subject=finding.subject,
        title=finding.title,
        triggers=(finding,),
        effects=any_of(effects_of_system("loadbalancer")),
        speaks_for=(finding.detail or finding.title, *members),
        fixes=(
            Fix(
                "loadbalancer.members",
                Risk.SAFE,
                _(
                    "Ask the network team for the state of the pool members: down by monitor, or forced offline?"
                ),
                ("tmsh show ltm pool samaconso_api_pool members",),
            ),
        ),
    )
