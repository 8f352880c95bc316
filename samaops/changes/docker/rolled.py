"""What is restarted by turns: the API's members, which the balancer spares meanwhile, or the workers, which end their tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.balancer import members as balancer
from samaops.changes.balancer import sparing
from samaops.changes.celery import control, draining
from samaops.changes.docker import restart as docker
from samaops.changes.readings import UnreadableError, facts_in
from samaops.changes.release.keeping import NOTHING_REPLACED
from samaops.errors import RefusedError, UsageError
from samaops.facts.docker import Container, DockerFacts
from samaops.facts.loadbalancer import ENABLED, BigIpFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _, joined
from samaops.model.plan import Condition, Scalar, Step
from samaops.site.shell_words import operands
from samaops.site.site import Site


class Part(Struct, frozen=True):
    """One that is restarted. ``name`` is the member's or worker's, ``container`` what the configuration calls it."""

    name: str
    server: str
    container: str | None


class Turn(Struct, frozen=True):
    """Those that are restarted together, those that stay meanwhile, and how many of these must be well.

    ``first`` is what must hold before the first of its steps.
    """

    parts: tuple[Part, ...]
    others: tuple[Part, ...]
    least: int
    first: tuple[Condition, ...] = ()


def container_of(snapshot: Snapshot, part: Part) -> Container:
    """Return the container of one, as it is now. Raises UnreadableError."""
    found = facts_in(snapshot, DockerFacts, part.server).named(str(part.container))
    if found is None:
        text = _("there is no container {name} on {server}")
        raise UnreadableError(text.format(name=part.container, server=part.server))
    return found


def _unhealthy(snapshot: Snapshot, part: Part) -> str:
    """Return how a container is that is not well as far as Docker tells; "" where it is."""
    container = container_of(snapshot, part)
    state = container.state if container.health in (None, "healthy") else str(container.health)
    return "" if state == "running" else state


def _restart_step(snapshot: Snapshot, part: Part, grace_seconds: int, needs: tuple[Condition, ...]) -> Step:
    """Return the step that restarts one; whether it is back is seen when all of its turn have begun again."""
    name = str(part.container)
    life = str(docker.life_of(snapshot, part.server, name))
    return replace(docker.restart_step(part.server, name, life, grace_seconds), needs=needs, servers=())


class Members:
    """The API's members."""

    only = "api,loadbalancer,docker"

    def __init__(self, snapshot: Snapshot, site: Site, within: float | None) -> None:
        self._snapshot, self._site = snapshot, site
        self._within = balancer.WITHIN_SECONDS if within is None else within
        section = site.settings.loadbalancer
        self.least = section.least_serving if section else 1

    @staticmethod
    def codes(site: Site) -> tuple[str, ...]:
        """Return what must be observed."""
        return ("api", *(balancer.POOL if sparing.is_controlled(site) else ()))

    @staticmethod
    def parts(site: Site) -> tuple[Part, ...]:
        """Return all members."""
        return tuple(Part(member.name, member.server, member.container) for member in site.members())

    def is_well(self, part: Part) -> bool:
        """Return whether a member serves, by its own word and by the balancer's."""
        return self._serves(part) and not self._not_given(part)[0]

    def sickness(self, part: Part) -> tuple[str, str]:
        """Return why a member is not restarted by turns, and what to type then."""
        state = _unhealthy(self._snapshot, part)
        if state:
            text = _("the container of {name} is {state}").format(name=part.name, state=state)
            return text, f"docker restart {operands(str(part.container))}"
        if not self._serves(part):
            text = _("{name} does not serve on its own health path")
            return text.format(name=part.name), "diagnose --only api,docker"
        return self._not_given(part)

    def _serves(self, part: Part) -> bool:
        return bool(docker.api_serves(self._snapshot, self._site.healthy_status(), part.name))

    def _not_given(self, part: Part) -> tuple[str, str]:
        """Return why the balancer gives a member no connections, and what to type then. Raises UnreadableError."""
        if not sparing.is_controlled(self._site):
            return "", ""
        try:
            member = balancer.member_named(self._snapshot, self._site, part.name)
        except UsageError as error:
            return error.message, "balancer list"
        if balancer.setting_of(self._snapshot, member.name) != ENABLED:
            text = _(
                "{name} is out of the balancer's pool: somebody has taken it out, or a change that was killed"
            )
            return text.format(name=part.name), f"balancer enable {operands(part.name)}"
        if member.is_serving:
            return "", ""
        text = _("the balancer gives {name} no connections: {state}")
        return text.format(name=part.name, state=member.state or "?"), "balancer list"

    def require_possible(self) -> None:
        """Raise RefusedError where nothing can spare a member."""
        if not sparing.is_controlled(self._site):
            raise RefusedError(
                _("The balancer cannot be told to spare a member: requests would fail while it restarts"),
                hint=_("[loadbalancer.bigip] or [loadbalancer.commands]"),
            )
        facts_in(self._snapshot, BigIpFacts)

    def steps(self, turn: Turn) -> Iterator[Step]:
        """Yield how the members of a turn leave the pool, are restarted, and come back once all of them serve."""
        snapshot, site = self._snapshot, self._site
        names = tuple(part.name for part in turn.parts)
        guard = docker.guard_seconds(site, self._within, len(names))
        spared = sparing.Spared(names, turn.least, self._within, guard)
        drains = [sparing.drain_step(snapshot, site, part.name, spared) for part in turn.parts]
        drains[0] = _with_first(drains[0], turn, site)
        yield from drains
        restarts = [
            replace(
                _restart_step(
                    snapshot, part, docker.GRACE_SECONDS,
                    (self._enough(turn), sparing.is_out(snapshot, site, part.name)),
                ),
                servers=site.servers_of("api"),
            )
            for part in turn.parts
        ]  # fmt: skip
        after = [condition for part in turn.parts for condition in self._after(part)]
        yield from restarts[:-1]
        yield replace(restarts[-1], after=tuple(after))
        for part in turn.parts:
            yield sparing.enable_step(snapshot, site, part.name, ends_part=part is turn.parts[-1])

    def _enough(self, turn: Turn) -> Condition:
        text = _("at least {least} other members serve").format(least=turn.least)
        if turn.least == 1:
            text = _("another API member serves meanwhile")
        names = (part.name for part in turn.others)
        of: tuple[Scalar, ...] = (self._site.healthy_status(), turn.least, *names)
        return Condition("docker.enough_serve", of, True, text)

    def _after(self, part: Part) -> Iterator[Condition]:
        yield _anew(self._snapshot, part)
        serves = _("{member} serves").format(member=part.name)
        yield Condition("docker.api_serves", (self._site.healthy_status(), part.name), True, serves)

    def notes(self, _parts: Sequence[Part]) -> Iterator[str]:
        """Yield what people should know besides."""
        text = _("Requests under way are waited for, at most {seconds} s; new ones go to the others at once")
        yield text.format(seconds=f"{self._within:g}")
        yield docker.evidence_note()


class Workers:
    """The Celery workers."""

    only = "celery,rabbitmq,docker"
    least = 1

    def __init__(self, snapshot: Snapshot, site: Site, within: float | None) -> None:
        self._snapshot, self._site = snapshot, site
        self._grace = site.settings.release.worker_stop_seconds
        self._within = float(self._grace) if within is None else within

    @staticmethod
    def codes(_site: Site) -> tuple[str, ...]:
        """Return what must be observed."""
        return ("celery.worker",)

    @staticmethod
    def parts(site: Site) -> tuple[Part, ...]:
        """Return all workers."""
        return tuple(Part(name, worker.server, worker.container) for name, worker in site.workers().items())

    def is_well(self, part: Part) -> bool:
        """Return whether a worker consumes its queues."""
        return draining.works(self._snapshot, part.name, self._queues(part))

    def sickness(self, part: Part) -> tuple[str, str]:
        """Return why a worker is not restarted by turns, and what to type then."""
        restart = f"workers restart {operands(part.name)}"
        state = _unhealthy(self._snapshot, part)
        if state:
            return _("the container of {name} is {state}").format(name=part.name, state=state), restart
        nodes = control.nodes(self._snapshot, part.name)
        if len(nodes) > 1:
            text = _("{count} nodes are connected as {worker}, not one")
            return text.format(count=len(nodes), worker=part.name), "workers list"
        if not self.is_well(part):
            text = _("{worker} does not consume all of its queues ({queues})")
            return text.format(worker=part.name, queues=", ".join(self._queues(part))), restart
        return "", ""

    def require_possible(self) -> None:
        """Raise nothing: a worker needs nobody else to be spared."""

    def _queues(self, part: Part) -> tuple[str, ...]:
        return tuple(self._site.workers()[part.name].queues)

    def _draining(self, part: Part, guard_seconds: float) -> draining.Draining | None:
        """Return how a worker is drained; None for one that cannot be told anything."""
        nodes = control.nodes(self._snapshot, part.name)
        if not nodes:
            return None
        name = container_of(self._snapshot, part).name
        node = nodes[0]
        return draining.Draining(part.name, node.name, name, node.queues, self._within, guard_seconds)

    def steps(self, turn: Turn) -> Iterator[Step]:
        """Yield how the workers of a turn end their tasks, are restarted, and consume again."""
        site, enough = self._site, self._enough(turn)
        guard = site.settings.release.member_seconds + len(turn.parts) * (self._within + self._grace)
        drained = [of for of in (self._draining(part, guard) for part in turn.parts) if of and of.queues]
        steps = [draining.drain_step(site, of, (enough,)) for of in drained]
        steps += [
            replace(_restart_step(self._snapshot, part, self._grace, (enough,)), servers=site.servers_of("rabbitmq"))
            for part in turn.parts
        ]  # fmt: skip
        after = [condition for part in turn.parts for condition in self._after(part)]
        steps[-1] = replace(steps[-1], after=tuple(after), ends_part=not drained)
        steps += [draining.take_up_step(site, of, ends_part=of is drained[-1]) for of in drained]
        steps[0] = _with_first(steps[0], turn, site)
        yield from steps

    def _enough(self, turn: Turn) -> Condition:
        words = (draining.as_word(part.name, self._queues(part)) for part in turn.others)
        text = _("at least {least} other workers consume their queues").format(least=turn.least)
        if turn.least == 1:
            text = _("another worker consumes its queues meanwhile")
        return Condition("celery.enough_work", (turn.least, *words), True, text)

    def _after(self, part: Part) -> Iterator[Condition]:
        yield _anew(self._snapshot, part)
        queues = self._queues(part)
        if not control.nodes(self._snapshot, part.name):
            text = _("the queues of worker {worker} are consumed").format(worker=part.name)
            yield Condition("celery.are_consumed", queues, True, text)
            return
        connected = _("the worker {worker} is connected to the broker").format(worker=part.name)
        yield Condition("celery.is_connected", (part.name,), True, connected)
        for queue in queues:
            text = _("{worker} consumes {queue}").format(worker=part.name, queue=queue)
            yield Condition("celery.consumes", (part.name, queue), True, text)

    def notes(self, parts: Sequence[Part]) -> Iterator[str]:
        """Yield what people should know besides."""
        text = _(
            "Tasks under way are waited for, at most {seconds:g} s: one that takes longer ends the change, not the task"
        )
        yield text.format(seconds=self._within)
        alone = [queue for part in parts for queue in self._queues(part) if self._only_of(part, queue)]
        if alone:
            text = _("Nobody else consumes {queues}: what comes meanwhile waits in the queue")
            yield text.format(queues=", ".join(alone))
        mute = [part.name for part in parts if not control.nodes(self._snapshot, part.name)]
        if mute:
            text = _(
                "{workers} cannot be told anything: their tasks have {seconds} s to end, and come back only with acks_late"
            )
            yield text.format(workers=joined(mute), seconds=self._grace)
        yield docker.evidence_note()

    def _only_of(self, part: Part, queue: str) -> bool:
        others = (worker for name, worker in self._site.workers().items() if name != part.name)
        return all(queue not in worker.queues for worker in others)


def _with_first(step: Step, turn: Turn, site: Site) -> Step:
    """Return the first step of a turn with what must hold before it, and the servers of which that is read."""
    read_from = (name for condition in turn.first for name in _read_from(condition, site))
    servers = dict.fromkeys((*(step.servers or ()), *read_from))
    return replace(
        step, needs=(*turn.first, *step.needs), servers=tuple(servers) if turn.first else step.servers
    )


def _read_from(condition: Condition, site: Site) -> tuple[str, ...]:
    if condition.reading == NOTHING_REPLACED:
        return tuple(map(str, condition.of))
    return site.servers_of("postgresql")


def _anew(snapshot: Snapshot, part: Part) -> Condition:
    name = str(part.container)
    life = str(docker.life_of(snapshot, part.server, name))
    text = _("{name} runs anew, and its health check passes if it has one").format(name=name)
    return Condition("docker.runs_anew", (part.server, name, life), True, text)
