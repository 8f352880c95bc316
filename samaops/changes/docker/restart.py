"""Changes of containers, through the ``docker`` command on their server."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import asdict, replace

from samaops.changes.balancer import members as balancer
from samaops.changes.balancer import sparing
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.config import consistency, places
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.api import ApiFacts
from samaops.facts.celery import CeleryFacts
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step, shell
from samaops.site.site import Site

_CONTAINERS = ("docker.container",)
# How long the container may take to end by itself before it is killed, and how long the whole command may take.
GRACE_SECONDS = 30
RESTART_SECONDS = 60.0
_ENDED = ("exited", "created", "dead")
RESTART = "docker.restart"
# How long what it shows is looked at before, at most.
EVIDENCE_SECONDS = 10.0


class Restarting(Struct, frozen=True):
    """Which container is restarted and by which command line, once what it shows is kept in a file here."""

    container: str
    command: str


def evidence_directory() -> str:
    """Return where on this machine is kept what containers showed before their restarts."""
    return str(places.state() / "evidence")


@reading("docker.life", codes=_CONTAINERS)
def life_of(snapshot: Snapshot, server: str, name: str) -> Scalar:
    """Return what changes when somebody restarts, stops or replaces the container."""
    container = _container(snapshot, server, name)
    return f"{container.id[:12]} {container.state} {container.started_at}"


@reading("docker.state", codes=_CONTAINERS)
def state_of(snapshot: Snapshot, server: str, name: str) -> Scalar:
    """Return ``running``, ``exited``, ..."""
    return _container(snapshot, server, name).state


@reading("docker.runs_anew", codes=_CONTAINERS)
def runs_anew(snapshot: Snapshot, server: str, name: str, earlier_life: str) -> Scalar:
    """Return whether the container runs in another life than then, and is well as far as its health check says."""
    container = _container(snapshot, server, name)
    is_up = container.state == "running" and container.health in (None, "healthy")
    return is_up and life_of(snapshot, server, name) != earlier_life


@reading("docker.api_serves", codes=("api",))
def api_serves(snapshot: Snapshot, expected_status: str, *members: str) -> Scalar:
    """Return whether at least one of these API members serves."""
    return _serving(snapshot, expected_status, members) > 0


@reading("docker.enough_serve", codes=("api",))
def enough_serve(snapshot: Snapshot, expected_status: str, least: int, *members: str) -> Scalar:
    """Return whether at least so many of these API members serve."""
    return _serving(snapshot, expected_status, members) >= least


def _serving(snapshot: Snapshot, expected_status: str, members: Sequence[str]) -> int:
    return len(
        {
            facts.name
            for _observation, facts in snapshot.facts_of(ApiFacts)
            if facts.name in members and facts.answer.serves(expected_status)
        }
    )


def _container(snapshot: Snapshot, server: str, name: str) -> Container:
    container = facts_in(snapshot, DockerFacts, server).named(name)
    if container is None:
        raise UnreadableError(_("there is no container {name} on {server}").format(name=name, server=server))
    return container


def looks(site: Site, name: str) -> tuple[str, ...]:
    """Return what must be observed before a container is restarted. Raises UsageError and RefusedError."""
    server_of(site, name)
    pool = balancer.POOL if _may_be_spared(site) else ()
    more = ("api", *pool) if _api_member(site, name) else ()
    worker = _worker_in(site, name)
    return (*_CONTAINERS, *more, *(("celery.worker", "rabbitmq.queue") if worker else ()))


def server_of(site: Site, name: str) -> str:
    """Return the server of a container. Raises UsageError when the configuration knows none, RefusedError for several."""
    expected = site.containers() if site.settings.docker else {}
    servers = [server for server, names in expected.items() if name in names]
    if not servers:
        known = sorted({container for names in expected.values() for container in names})
        raise UsageError(
            _("The configuration knows no container {name!r}").format(name=name),
            hint=consistency.not_one_of(name, known),
        )
    if len(servers) > 1:
        text = _("{name} is on several servers: {servers}")
        raise RefusedError(text.format(name=name, servers=", ".join(servers)))
    return servers[0]


@verb("docker restart", looks=looks)
def plan_restart(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan the restart of one container, or the start of one that has ended.

    Guards: the last API member that serves is never restarted, nor one without which fewer than ``least_serving`` others
    would; a paused container is not either. A member that serves is taken out of the balancer's pool meanwhile.
    """
    server = server_of(site, name)
    try:
        life, state = str(life_of(snapshot, server, name)), str(state_of(snapshot, server, name))
    except UnreadableError as error:
        raise UnavailableError(_("Could not look at the container: {reason}").format(reason=error)) from error
    if state == "paused":
        text = _("{name} is paused; a restart would lose what it was doing")
        raise RefusedError(text.format(name=name), hint=f"docker unpause {name}")
    _refuse_last_member(snapshot, site, name)
    step = _step(site, server, name, life, state)
    step = replace(
        step,
        needs=tuple(_api_needs(snapshot, site, name)),
        after=(*step.after, *_works(snapshot, site, name)),
        servers=_read_servers(site, name),
    )
    steps, notes = _spared(snapshot, site, name, step)
    return Plan(
        "docker restart",
        (name,),
        step.title,
        target=name,
        steps=steps,
        cures=_cures(site, name),
        notes=(evidence_note(), *notes),
    )


def evidence_note() -> str:
    """Say what is done before each restart."""
    return _(
        "What it shows now is kept first, for at most {seconds:g} s: {directory}; without it, no restart"
    ).format(seconds=EVIDENCE_SECONDS, directory=evidence_directory())


def _may_be_spared(site: Site) -> bool:
    return len(site.members()) > 1 and sparing.is_controlled(site)


def _spared(
    snapshot: Snapshot, site: Site, name: str, step: Step
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Return the steps of a restart for which the balancer spares a member that serves, and what is to be said of it."""
    member = _api_member(site, name)
    if member is None or not _may_be_spared(site) or not api_serves(snapshot, site.healthy_status(), member):
        return (step,), ()
    reason = sparing.obstacle(snapshot, site, member)
    if reason:
        text = _("{member} is not taken out of the balancer's pool first: {reason}")
        return (step,), (text.format(member=member, reason=reason),)
    within = balancer.WITHIN_SECONDS
    spared = sparing.Spared((member,), _least_serving(site), within, guard_seconds(site, within))
    drain = sparing.drain_step(snapshot, site, member, spared)
    step = replace(step, needs=(*step.needs, sparing.is_out(snapshot, site, member)))
    enable = sparing.enable_step(snapshot, site, member, ends_part=True)
    text = _("{member} leaves the balancer's pool first: its requests have {seconds:g} s to end")
    return (drain, step, enable), (text.format(member=member, seconds=within),)


def guard_seconds(site: Site, within: float, count: int = 1) -> float:
    """Return after how long a watchdog puts back what is out while so many are restarted, whatever has become of us."""
    return site.settings.release.member_seconds + count * (within + RESTART_SECONDS)


def _refuse_last_member(snapshot: Snapshot, site: Site, name: str) -> None:
    member = _api_member(site, name)
    if site.settings.api is None or member is None:
        return
    expected, others = site.settings.api.expected_status, _other_members(site, member)
    if not api_serves(snapshot, expected, member):
        return
    serving, least = _serving(snapshot, expected, others), _least_serving(site)
    if not serving:
        text = _("{name} is the last API member that serves: restarting it would take the API down")
        raise RefusedError(text.format(name=name), hint="samaops diagnose --only api")
    if serving < least:
        text = _("Without {name} {count} of {all} other members would serve; at least {least} must")
        words = {"name": name, "count": serving, "all": len(others), "least": least}
        raise RefusedError(text.format(**words), hint="samaops diagnose --only api")


def _least_serving(site: Site) -> int:
    """Return how many members must serve beside one that is taken away: what the balancer's section says."""
    balancer = site.settings.loadbalancer
    return balancer.least_serving if balancer else 1


def _step(site: Site, server: str, name: str, life: str, state: str) -> Step:
    has_ended = state in _ENDED
    title = _("Start the container {name}") if has_ended else _("Restart the container {name}")
    quoted = shlex.quote(name)
    step = restart_step(server, name, life)
    step = replace(step, title=title.format(name=name), after=tuple(_after(site, server, name, life)))
    if not has_ended:
        return step
    stopped = _("{name} is not running ({state})").format(name=name, state=state)
    return replace(
        step,
        undo=shell(f"docker stop -t {GRACE_SECONDS} {quoted}", server, RESTART_SECONDS),
        no_undo="",
        before=(Condition("docker.state", (server, name), state, stopped),),
    )


def restart_step(server: str, name: str, life: str, grace_seconds: int = GRACE_SECONDS) -> Step:
    """Return the step that restarts a container that runs; ``after`` is still to be said."""
    return Step(
        id="docker.restart",
        title=_("Restart the container {name}").format(name=name),
        risk=Risk.DISRUPTIVE,
        operation=restarting(server, name, grace_seconds),
        before=(_life(server, name, life),),
        after=(),
        no_undo=_("what its processes were doing has ended with them"),
    )


def restarting(server: str, name: str, grace_seconds: int = GRACE_SECONDS) -> Operation:
    """Return the operation that restarts a container, whose processes have so long to end by themselves."""
    command = f"docker restart -t {grace_seconds} {shlex.quote(name)}"
    seconds = RESTART_SECONDS - GRACE_SECONDS + grace_seconds + EVIDENCE_SECONDS
    return Operation(RESTART, asdict(Restarting(name, command)), server, seconds)


def _life(server: str, name: str, life: str) -> Condition:
    text = _("nobody else has restarted, stopped or replaced {name} meanwhile").format(name=name)
    return Condition("docker.life", (server, name), life, text)


def _api_needs(snapshot: Snapshot, site: Site, name: str) -> Iterator[Condition]:
    """Yield what keeps the API up meanwhile: another member serves, or this one does not either."""
    member = _api_member(site, name)
    if site.settings.api is None or member is None:
        return
    expected, others = site.settings.api.expected_status, _other_members(site, member)
    least = _least_serving(site)
    if enough_serve(snapshot, expected, least, *others):
        if least == 1:
            text = _("another API member serves meanwhile")
            yield Condition("docker.api_serves", (expected, *others), True, text)
        else:
            text = _("at least {least} other members serve").format(least=least)
            yield Condition("docker.enough_serve", (expected, least, *others), True, text)
    else:
        text = _("{member} does not serve anyway").format(member=member)
        yield Condition("docker.api_serves", (expected, member), False, text)


def _after(site: Site, server: str, name: str, life: str) -> Iterator[Condition]:
    text = _("{name} runs anew, and its health check passes if it has one").format(name=name)
    yield Condition("docker.runs_anew", (server, name, life), True, text)
    member = _api_member(site, name)
    if site.settings.api is not None and member is not None:
        serves = _("{member} serves").format(member=member)
        yield Condition("docker.api_serves", (site.settings.api.expected_status, member), True, serves)


def _works(snapshot: Snapshot, site: Site, name: str) -> Iterator[Condition]:
    """Yield how a worker shows that it is back: by its name, where it has a control queue, else by its queues."""
    worker = _worker_in(site, name)
    if worker is None:
        return
    queues = site.workers()[worker].queues
    if any(facts.without_control(queues) for _observation, facts in snapshot.facts_of(CeleryFacts)):
        text = _("the queues of worker {worker} are consumed").format(worker=worker)
        yield Condition("celery.are_consumed", queues, True, text)
    else:
        connected = _("the worker {worker} is connected to the broker").format(worker=worker)
        yield Condition("celery.is_connected", (worker,), True, connected)


def _read_servers(site: Site, name: str) -> tuple[str, ...]:
    """Return the servers whose state its conditions read: of the API's members, or of the broker that knows a worker."""
    systems = ("api",) if _api_member(site, name) else ()
    return site.servers_of(*systems, *(("rabbitmq",) if _worker_in(site, name) else ()))


def _cures(site: Site, name: str) -> tuple[str, ...]:
    worker = _worker_in(site, name)
    if site.settings.celery is None or worker is None:
        return ()
    queues = site.settings.celery.workers[worker].queues
    return (
        f"celery.worker.missing@celery/{worker}",
        f"celery.worker.not_consuming@celery/{worker}",
        *(f"rabbitmq.queue.no_consumer@rabbitmq/{queue}" for queue in queues),
    )


def _api_member(site: Site, container: str) -> str | None:
    members = site.settings.api.instances if site.settings.api else ()
    return next((member.name for member in members if member.container == container), None)


def _other_members(site: Site, member: str) -> tuple[str, ...]:
    members = site.settings.api.instances if site.settings.api else ()
    return tuple(other.name for other in members if other.name != member)


def _worker_in(site: Site, container: str) -> str | None:
    workers = site.settings.celery.workers if site.settings.celery and site.settings.rabbitmq else {}
    return next((key for key, worker in workers.items() if worker.container == container), None)
