"""Roots in the engines: Docker itself, and containers that do not run as they should."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from msgspec.structs import replace

from samaops.causes import reasons
from samaops.causes.effects import Effects, OfSite, codes, name_of
from samaops.causes.mechanism import SIGKILL
from samaops.causes.root import Rank, Root, disruptive, each, root, safe, words_of
from samaops.causes.task_exceptions import log_speaks_of
from samaops.causes.topology import CONTAINER_GONE, effects_of_container
from samaops.causes.view import View, failed
from samaops.facts.docker import ON_REQUEST
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.quantities import duration
from samaops.site.commands import on_server, samaops
from samaops.site.shell_words import operands, quoted
from samaops.site.site import Site

_RESTARTED_LATELY_SECONDS = 600
# So long up, and answering: it is no longer ending again and again, though it did lately.
_UP_AGAIN_SECONDS = 30
# The guide's servers have one compose file each, of different names, and either of compose's two programs.
_CREATE_AGAIN = (
    "cd /opt/samaconso && f=$(grep -lw -- {name} docker-compose*.yml | head -n 1) && "
    '$(command -v docker-compose || echo docker compose) -f "$f" up -d --no-recreate'
)
# A container is shown by the first of these that holds: one that was killed is stopped too.
_STATES = (
    "docker.container.oom_killed",
    "docker.container.paused",
    "docker.container.restarting",
    "docker.container.stopped",
    "docker.container.missing",
)


# What is read of the engine itself: the daily maintenance asks it for images too.
_OF_ENGINE = ("docker.*", "release.*", "maintenance.images.unused")
# Without the engine of one server nobody knows whether there is a way back.
_WAY_BACK = codes("release.rollback.impossible")


def _of_engine(finding: Finding, site: Site) -> Effects:
    docker = site.settings.docker
    containers = docker.containers.get(finding.server or "", ()) if docker else ()
    inside = [effect for container in containers for effect in effects_of_container(site, container)]
    return (*codes(*_OF_ENGINE, server=finding.server), *_WAY_BACK, *inside)


@root(
    "docker-down",
    on=failed("docker.engine.unreachable"),
    rank=Rank.ENGINE,
    runbook="api-down",
    effects=OfSite(_of_engine, (*codes(*_OF_ENGINE, server="SERVER"), *_WAY_BACK, *CONTAINER_GONE.shown)),
)
def docker_down(finding: Finding, view: View) -> Root:
    """The engine does not answer."""
    title = _("The Docker engine of server {name} is down").format(name=finding.server)
    text = _("Read why it stopped, then start it; containers with a restart policy come back")
    commands = ("journalctl -u docker -n 50", "systemctl start docker")
    start = [on_server(view.site, finding.server, command) for command in commands]
    return Root(title, (disruptive("docker.start", text, *start),))


def _container(
    finding: Finding, view: View, title: str, fix: Fix, cause_id: str | None = None
) -> Root | None:
    """Return the root of a container, with the services that do not answer because of it."""
    before = _STATES[: _STATES.index(finding.code)]
    if any(other.subject == finding.subject for code in before for other in view.bad(code)):
        return None
    effects = effects_of_container(view.site, name_of(finding))
    witnesses = [
        access.title
        for access in view.not_ok("*.unreachable")
        if access.key != finding.key and any(effect.holds(access) for effect in effects)
    ]
    return Root(
        title.format(name=name_of(finding), code=finding.evidence.get("exit_code")),
        (fix,),
        id=cause_id,
        runbook=_runbook(view.site, name_of(finding)),
        speaks_for=(words_of(finding), *reasons.suspects(view, name_of(finding)), *witnesses[:3]),
    )


def _with_reason(finding: Finding, view: View, root_: Root | None) -> Root | None:
    """Return the root of a container that ended by itself with the reason of its log; without one, why is open."""
    if root_ is None:
        return None
    reason = reasons.of_finding(finding)
    if reason is None or not reason.kind:
        against = _("nobody knows yet why: its log has no known reason")
        root_ = replace(root_, verdict=Verdict.INCONCLUSIVE, speaks_against=(against,))
    name = name_of(finding)
    return replace(
        root_,
        title=reasons.with_reason(root_.title or "", reason),
        fixes=(*reasons.advice(view, finding, name, reason), *root_.fixes),
    )


def _runbook(site: Site, container: str) -> str:
    systems = {service.system for service in site.services_in(container)}
    if "api" in systems:
        return "api-down"
    return "redis-full" if "redis" in systems else "notifications"


def _docker(view: View, finding: Finding, verb: str) -> str:
    return on_server(view.site, finding.server, f"docker {verb} {operands(name_of(finding))}")


def _restart(view: View, finding: Finding) -> str:
    return samaops(view.site, f"docker restart {operands(name_of(finding))}")


@root(
    "container-oom-killed",
    on="docker.container.oom_killed",
    rank=Rank.CONTAINER,
    runbook="notifications",
    effects=CONTAINER_GONE,
    distinguished_from=("container-crashed", "host-out-of-memory"),
)
def container_oom_killed(finding: Finding, view: View) -> Root | None:
    """It reached its own limit; the server has memory."""
    text = _("Start it again, then find what grew before raising its limit")
    fix = disruptive(
        "docker.restart", text, _docker(view, finding, "logs --tail 50"), _restart(view, finding)
    )
    return _container(finding, view, _("Container {name} was killed: it reached its memory limit"), fix)


@root(
    "container-paused",
    on="docker.container.paused",
    rank=Rank.CONTAINER,
    runbook="notifications",
    effects=CONTAINER_GONE,
)
def container_paused(finding: Finding, view: View) -> Root | None:
    """Its processes are frozen by Docker."""
    pause, unpause = (_docker(view, finding, verb) for verb in ("pause", "unpause"))
    fix = safe("docker.unpause", _("Let it go on"), unpause, undo=pause)
    return _container(finding, view, _("Container {name} is paused: it accepts and never answers"), fix)


# Why RabbitMQ refuses a client, where it says so itself.
_REFUSED_BY_BROKER = ("rabbitmq.rights.missing", "rabbitmq.vhost.down", "rabbitmq.limit.reached")


@root(
    "container-crash-loop",
    on="docker.container.restarting",
    rank=Rank.CONTAINER,
    runbook="notifications",
    effects=CONTAINER_GONE,
)
def container_crash_loop(finding: Finding, view: View) -> Root | None:
    """It is started again and again, and ends each time."""
    if log_speaks_of("rabbitmq")(finding) and any(view.bad(code) for code in _REFUSED_BY_BROKER):
        return None  # the broker is there and refuses it: restarting is what it does about that
    text = _("Read why it ends: starting it once more changes nothing")
    fix = safe("docker.logs", text, _docker(view, finding, "logs --tail 50"))
    if _port_is_taken(finding):
        return None  # container-port-taken
    root_ = _container(finding, view, _("Container {name} keeps crashing and restarting"), fix)
    up_seconds = finding.evidence.get("up_seconds")
    if (
        root_ is not None
        and isinstance(up_seconds, (int, float))
        and _serves_again(finding, view, up_seconds)
    ):
        return _up_again(finding, root_, up_seconds)
    root_ = _with_reason(finding, view, root_)
    if root_ is None or not isinstance(up_seconds, (int, float)) or up_seconds < _RESTARTED_LATELY_SECONDS:
        return root_
    # It has run for a while again: what is broken now has another reason.
    own = codes("docker.container.*", subject=finding.subject)
    return replace(root_, effects=own, speaks_for=(words_of(finding),))


def _serves_again(finding: Finding, view: View, up_seconds: float) -> bool:
    """Return whether it has run for a while, says nothing that ends it, and all that is in it answers."""
    reason = reasons.of_finding(finding)
    if (
        finding.evidence.get("state") != "running"
        or not _UP_AGAIN_SECONDS <= up_seconds < _RESTARTED_LATELY_SECONDS
    ):
        return False
    effects = effects_of_container(view.site, name_of(finding))
    is_silent = any(effect.holds(access) for access in view.not_ok("*.unreachable") for effect in effects)
    return not (is_silent or (reason is not None and reason.kind))


def _up_again(finding: Finding, root_: Root, up_seconds: float) -> Root:
    """It ended several times a moment ago, and that is over: whatever it was, its last words are those of one that runs."""
    text = _("Container {name} has run again for {time}, after {count} restarts")
    return replace(
        root_,
        title=text.format(
            name=name_of(finding), time=duration(up_seconds), count=finding.evidence.get("restart_count")
        ),
        speaks_for=(finding.title,),
        verdict=Verdict.INCONCLUSIVE,
        speaks_against=(_("what is in it answers: nothing has to be done now"),),
        effects=codes("docker.container.*", subject=finding.subject),
    )


@root(
    "container-stopped",
    "container-crashed",
    on="docker.container.stopped",
    rank=Rank.CONTAINER,
    runbook="notifications",
    effects=CONTAINER_GONE,
    distinguished_from=("disk-full", "host-out-of-memory"),
)
def container_stopped(finding: Finding, view: View) -> Root | None:
    """Somebody stopped it, or it ended by itself with an error."""
    fix = disruptive(
        "docker.start", _("Start it"), _restart(view, finding), undo=samaops(view.site, "undo ID")
    )
    if finding.evidence.get("state") == "created":
        return _container(finding, view, _("Container {name} was made and never started"), fix)
    if finding.evidence.get("exit_code") in ON_REQUEST:
        return _on_request(finding, view, _container(finding, view, _("Container {name} is stopped"), fix))
    if _port_is_taken(finding):
        return None  # container-port-taken
    title = _("Container {name} crashed with exit code {code}")
    return _with_reason(finding, view, _container(finding, view, title, fix, "container-crashed"))


def _port_is_taken(finding: Finding) -> bool:
    """Return whether it ended because somebody else listens where it wants to: in its own words."""
    reason = reasons.of_finding(finding)
    return reason is not None and reason.kind == "port"


@root(
    "container-port-taken",
    on=each("docker.container.restarting", "docker.container.stopped"),
    rank=Rank.CONTAINER,
    runbook="api-down",
    effects=CONTAINER_GONE,
)
def container_port_taken(finding: Finding, view: View) -> Root | None:
    """Somebody else has its port: starting it again changes nothing."""
    reason = reasons.of_finding(finding)
    if reason is None or not _port_is_taken(finding):
        return None
    text = _("See who listens on its port; end that, or ask whose it is. It starts by itself then")
    fix = safe("system.port", text, on_server(view.site, finding.server, _listeners(finding, view)))
    root_ = _container(finding, view, _("Container {name} cannot start: another process has its port"), fix)
    return root_ and replace(root_, speaks_for=(*(root_.speaks_for or ()), *reason.spoken))


def _listeners(finding: Finding, view: View) -> str:
    """Return the command that shows who listens: on its own port where it is a member of the API, else on every one."""
    for member in view.site.members():
        if member.container == name_of(finding) and (port := urlsplit(str(member.url)).port):
            return f"ss -ltnp 'sport = :{port}'"
    return "ss -ltnp"


@root("container-renamed", on="docker.container.renamed", rank=Rank.PART, runbook="api-down")
def container_renamed(finding: Finding, view: View) -> Root | None:
    """It does its work under a name that nobody asks for: a recreate was interrupted, or somebody renamed it."""
    name, real = (str(finding.evidence.get(key) or "NAME") for key in ("name", "runs_as"))
    site = replace(view.site, renamed={})  # here both names are meant
    there = f"docker rename {operands(real, name)}"
    undo = on_server(site, finding.server, f"docker rename {operands(name, real)}")
    if finding.evidence.get("in_the_way"):
        text = _("Remove the container that has taken its name and does not run, then rename this one back")
        remove = on_server(site, finding.server, f"docker rm {operands(name)}")
        fix = disruptive("docker.rename", text, remove, on_server(site, finding.server, there), undo=undo)
    else:
        text = _("Rename it back: it goes on running; or make it anew from its compose file in a quiet hour")
        fix = safe("docker.rename", text, on_server(site, finding.server, there), undo=undo)
    return Root(fixes=(fix,))


def _on_request(finding: Finding, view: View, stopped: Root | None) -> Root | None:
    """Return the root; the kernel kills with the same signal as Docker does once its patience is over."""
    if stopped is None or finding.evidence.get("exit_code") != SIGKILL or finding.server is None:
        return stopped
    if view.ok("servers.oom.killed", finding.server):
        return stopped
    against = _("it was killed (signal 9), and whether the kernel did it for want of memory was not seen")
    return replace(stopped, verdict=Verdict.PROBABLE, speaks_against=(against,))


@root(
    "container-missing",
    on="docker.container.missing",
    rank=Rank.CONTAINER,
    runbook="notifications",
    effects=CONTAINER_GONE,
)
def container_missing(finding: Finding, view: View) -> Root | None:
    """It was removed, or never made."""
    create = _CREATE_AGAIN.format(name=quoted(name_of(finding)))
    text = _("Create it again from the compose file of its server")
    fix = disruptive("compose.up", text, on_server(view.site, finding.server, create))
    return _container(finding, view, _("Container {name} does not exist"), fix)


def _of_member(finding: Finding, site: Site) -> Effects:
    """Return what a wrong address, user or password produces; other variables explain nothing by themselves."""
    return effects_of_container(site, name_of(finding)) if finding.evidence.get("points") else ()


# It could produce all that its container's failure does; nobody knows from its name what else a variable does.
@root(
    "environment-differs",
    on="docker.container.environment",
    rank=Rank.SERVICE,
    runbook="api-down",
    effects=OfSite(_of_member, CONTAINER_GONE.shown),
)
def environment_differs(finding: Finding, view: View) -> Root:
    """A member or a worker was started with another environment than its peers."""
    name = name_of(finding)
    reason = reasons.of_container(view, name)
    text = _("Put it right in its environment file or compose file, and create only this container again")
    look = on_server(
        view.site,
        finding.server,
        "grep -nE 'env_file|environment|extra_hosts' /opt/samaconso/docker-compose*.yml",
    )
    return Root(
        fixes=(safe("environment.look", text, look),),
        verdict=Verdict.CONFIRMED if reason and finding.evidence.get("points") else Verdict.PROBABLE,
        runbook=_runbook(view.site, name),
        speaks_for=(words_of(finding), *(reason.spoken if reason else ())),
    )


@root(
    "container-cut-off",
    on="docker.container.reach",
    rank=Rank.SERVICE,
    runbook="api-down",
    effects=CONTAINER_GONE,
)
def container_cut_off(finding: Finding, view: View) -> Iterator[Root]:
    """Others reach what it does not: the way from there is cut, or leads elsewhere."""
    alike = [
        other
        for other in view.bad("docker.container.reach", finding.server)
        if other.evidence.get("listed") == finding.evidence.get("listed")
    ]
    if alike[0].key != finding.key:
        return  # one cause of all containers of this server that miss the same places
    names = [name_of(other) for other in alike]
    text = _("See how it resolves and routes that address; ask the network team which rule is on the way")
    look = f"ip route; iptables -S; cat $(docker inspect -f '{{{{.HostsPath}}}}' {operands(names[0])})"
    title = _("{names} cannot reach {listed}").format(
        names=", ".join(names), listed=finding.evidence.get("listed")
    )
    yield Root(
        title,
        (safe("network.way", text, on_server(view.site, finding.server, look)),),
        runbook=_runbook(view.site, names[0]),
        speaks_for=tuple(words_of(other) for other in alike),
        triggers=tuple(alike),
        effects=tuple(effect for name in names for effect in effects_of_container(view.site, name)),
    )


@root(
    "trouble-in-log",
    on=each("docker.log.trouble", "servers.log.trouble"),
    rank=Rank.REMAINDER,
    runbook="api-down",
)
def trouble_in_log(finding: Finding, view: View) -> Root | None:
    """It writes of trouble that no other check looks at. What PostgreSQL refuses, PgBouncer writes too."""
    same = [
        log
        for log in view.bad("servers.log.trouble")
        if log.evidence.get("reason") == finding.evidence.get("reason")
    ]
    database = next((log for log in same if log.subject.startswith("postgresql/")), None)
    if finding in same and database is not None:
        if finding is not database:
            return None
        return Root(
            verdict=Verdict.PROBABLE, triggers=(finding, *(log for log in same if log is not finding))
        )
    is_container = finding.subject.startswith("docker/")
    reason = reasons.of_finding(finding)
    fixes = reasons.advice(view, finding, name_of(finding), reason) if is_container else ()
    return Root(fixes=fixes, verdict=Verdict.PROBABLE)
