"""Roots in the engines: Docker itself, and containers that do not run as they should."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.causes.candidate import OUTAGE, Candidate, View, any_of, codes
from samaops.causes.topology import effects_of_container
from samaops.i18n import _
from samaops.model.cause import Fix
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.site.commands import on_server, samaops

# Killed by signal 9 without the kernel's out-of-memory killer, or stopped on request.
_STOPPED_ON_REQUEST = (0, 137, 143)
# The guide's servers have one compose file each, of different names, and either of compose's two programs.
_CREATE_AGAIN = (
    "cd /opt/samaconso && f=$(grep -lw -- {name} docker-compose*.yml | head -n 1) && "
    '$(command -v docker-compose || echo docker compose) -f "$f" up -d --no-recreate'
)


def candidates(view: View) -> Iterator[Candidate]:
    """Yield engines that are down and containers that are not running."""
    yield from _engine_down(view)
    seen: set[str] = set()
    for code, make in (
        ("docker.container.oom_killed", _oom_killed),
        ("docker.container.paused", _paused),
        ("docker.container.restarting", _crash_loop),
        ("docker.container.stopped", _stopped),
        ("docker.container.missing", _missing),
    ):
        for finding in view.bad(code):
            if finding.subject not in seen:
                seen.add(finding.subject)
                yield make(view, finding)


def _engine_down(view: View) -> Iterator[Candidate]:
    for finding in view.kind("docker.engine.unreachable", *OUTAGE):
        containers = (
            view.site.settings.docker.containers.get(finding.server or "", ())
            if view.site.settings.docker
            else ()
        )
        yield Candidate(
            id="docker-down",
            rank=2,
            runbook="api-down",
            subject=finding.subject,
            title=_("The Docker engine of server {name} is down").format(name=finding.server),
            triggers=(finding,),
            effects=any_of(
                codes("docker.*", server=finding.server),
                *(effects_of_container(view.site, name) for name in containers),
            ),
            speaks_for=(finding.detail or finding.title,),
            fixes=(
                Fix(
                    "docker.start",
                    Risk.DISRUPTIVE,
                    _("Read why it stopped, then start it; containers with a restart policy come back"),
                    tuple(
                        on_server(view.site, finding.server, command)
                        for command in ("journalctl -u docker -n 50", "systemctl start docker")
                    ),
                ),
            ),
        )


def _name(finding: Finding) -> str:
    return finding.subject.partition("/")[2]


def _container(view: View, finding: Finding, cause_id: str, title: str, fixes: tuple[Fix, ...]) -> Candidate:
    name = _name(finding)
    witnesses = tuple(
        one.title
        for one in view.not_ok("*.unreachable")
        if one.key != finding.key and effects_of_container(view.site, name)(one)
    )
    return Candidate(
        id=cause_id,
        rank=3,
        runbook=_runbook(view, name),
        subject=finding.subject,
        title=title,
        triggers=(finding,),
        effects=effects_of_container(view.site, name),
        speaks_for=(finding.detail or finding.title, *witnesses[:3]),
        fixes=fixes,
    )


def _runbook(view: View, container: str) -> str:
    if view.site.settings.api and any(
        member.container == container for member in view.site.settings.api.instances
    ):
        return "api-down"
    redis = view.site.settings.redis
    return "redis-full" if redis and redis.container == container else "notifications"


def _command(view: View, finding: Finding, verb: str) -> str:
    return on_server(view.site, finding.server, f"docker {verb} {shlex.quote(_name(finding))}")


def _oom_killed(view: View, finding: Finding) -> Candidate:
    name = _name(finding)
    fix = Fix(
        "docker.restart",
        Risk.DISRUPTIVE,
        _("Start it again, then find what grew before raising its limit"),
        (
            _command(view, finding, "logs --tail 50"),
            samaops(view.site, f"docker restart {shlex.quote(_name(finding))}"),
        ),
    )
    title = _("Container {name} was killed: it reached its memory limit").format(name=name)
    return _container(view, finding, "container-oom-killed", title, (fix,))


def _paused(view: View, finding: Finding) -> Candidate:
    fix = Fix(
        "docker.unpause",
        Risk.SAFE,
        _("Let it go on"),
        (_command(view, finding, "unpause"),),
        (_command(view, finding, "pause"),),
    )
    title = _("Container {name} is paused: it accepts and never answers").format(name=_name(finding))
    return _container(view, finding, "container-paused", title, (fix,))


def _crash_loop(view: View, finding: Finding) -> Candidate:
    fix = Fix(
        "docker.logs",
        Risk.SAFE,
        _("Read why it ends: starting it once more changes nothing"),
        (_command(view, finding, "logs --tail 50"),),
    )
    title = _("Container {name} keeps crashing and restarting").format(name=_name(finding))
    return _container(view, finding, "container-crash-loop", title, (fix,))


def _stopped(view: View, finding: Finding) -> Candidate:
    exit_code = finding.evidence.get("exit_code")
    name = _name(finding)
    if exit_code in _STOPPED_ON_REQUEST:
        cause_id, title = "container-stopped", _("Container {name} is stopped").format(name=name)
    else:
        cause_id = "container-crashed"
        title = _("Container {name} crashed with exit code {code}").format(name=name, code=exit_code)
    fix = Fix(
        "docker.start",
        Risk.DISRUPTIVE,
        _("Start it"),
        (samaops(view.site, f"docker restart {shlex.quote(name)}"),),
        (samaops(view.site, "undo ID"),),
    )
    return _container(view, finding, cause_id, title, (fix,))


def _missing(view: View, finding: Finding) -> Candidate:
    fix = Fix(
        "compose.up",
        Risk.DISRUPTIVE,
        _("Create it again from the compose file of its server"),
        (on_server(view.site, finding.server, _CREATE_AGAIN.format(name=shlex.quote(_name(finding)))),),
    )
    title = _("Container {name} does not exist").format(name=_name(finding))
    return _container(view, finding, "container-missing", title, (fix,))
