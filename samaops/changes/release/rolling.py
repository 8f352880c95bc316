"""Back to an earlier release, the code alone: member after member behind the balancer, then the workers, warm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.balancer import members as balancer
from samaops.changes.docker.restart import api_serves
from samaops.changes.readings import facts_in, reading
from samaops.changes.release.keeping import (
    CODES,
    is_ours,
    keep_steps,
    ran_last_of,
    repository_of_part,
    require_observed,
    seen_step,
)
from samaops.changes.release.keeping import looks as release_looks
from samaops.changes.verbs import verb
from samaops.errors import RefusedError
from samaops.facts.docker import DockerFacts
from samaops.facts.loadbalancer import OFFLINE
from samaops.facts.observation import Snapshot
from samaops.facts.release import ReleaseFacts, keep_tag
from samaops.i18n import _
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step, shell
from samaops.site import in_flight
from samaops.site.commands import samaops
from samaops.site.releases import Part, Releases, observed
from samaops.site.site import Site
from samaops.site.way_back import Verdict, WayBack, seconds_of, way_back

RECREATE, BAKE = "release.recreate", "release.bake"
# What stopping, making and starting a container may take besides the time that its tasks have to end.
RECREATE_SECONDS = 120.0
MEMBER_STOP_SECONDS = 30
# How long requests that are under way are waited for.
DRAIN_SECONDS = 30.0


class Recreating(Struct, frozen=True):
    """Which container is replaced, by one of which image, and how compose has made it."""

    container: str
    image: str
    repository: str
    project: str
    directory: str
    files: tuple[str, ...]
    service: str
    stop_seconds: int


class Baking(Struct, frozen=True):
    """Which member must serve without a break, and for how many seconds."""

    member: str
    seconds: float


@reading("release.runs", codes=("docker.container",))
def runs(snapshot: Snapshot, server: str, name: str, image: str) -> Scalar:
    """Return whether a container runs an image, and is well as far as its health check says."""
    container = facts_in(snapshot, DockerFacts, server).named(name)
    if container is None:
        return False  # between the old one and the new one there is none
    is_up = container.state == "running" and container.health in (None, "healthy")
    return is_up and container.image_id == image


@reading("release.image_of", codes=("docker.container",))
def image_of(snapshot: Snapshot, server: str, name: str) -> Scalar:
    """Return the image of a container; "" where there is none of this name."""
    container = facts_in(snapshot, DockerFacts, server).named(name)
    return container.image_id if container else ""


@reading("release.named", codes=CODES)
def named(snapshot: Snapshot, server: str, tag: str) -> Scalar:
    """Return which image a name stands for on a server; "" where it stands for none."""
    images = facts_in(snapshot, ReleaseFacts, server).images
    return next((image.id for image in images if tag in image.tags), "")


def _looks(site: Site, *_arguments: str) -> tuple[str, ...]:
    codes = (*release_looks(site), "release.rollback.impossible", "backup.newest", "backup.run", "api")
    codes = (*codes, *in_flight.codes(site))
    workers = ("celery.worker",) if site.workers() else ()
    pool = balancer.POOL if _has_balancer(site) else ()
    return (*codes, *workers, *pool)


def _has_balancer(site: Site) -> bool:
    section = site.settings.loadbalancer
    return section is not None and (section.bigip is not None or section.commands is not None)


def _typed(name: str) -> tuple[str, ...]:
    return ("--to", name) if name else ()


@verb("rollback app", looks=_looks, typed=_typed)
def plan_app(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan that every part of the application runs an earlier release, without touching the database.

    Guards: the release knows the database's revision, its image is on every server, the balancer can be told, and
    enough other members serve while one is replaced; one that does not serve takes nothing away.
    """
    releases = observed(snapshot, site)
    require_observed(releases)
    way = way_back(releases, releases.named(name) if name else "")
    _require_open(site, releases, way)
    target = releases.title(way.target)
    plan = Plan(
        verb="rollback app",
        arguments=(name,),
        title=_("Go back to the release {release}, the code alone").format(release=target),
        target=releases.version(way.target) or way.target,
    )
    wrong = [part for part in releases.parts if part.image != way.target]
    if not wrong:
        text = _("every part of the application runs {release}").format(release=target)
        return replace(plan, nothing_to_do=text)
    _require_balancer(site)
    rolling = _Rolling(snapshot, releases, way)
    return replace(
        plan,
        steps=tuple(rolling.steps(wrong)),
        cures=("release.running.differs@release/application",),
        notes=tuple(rolling.notes()),
        # A member whose container is taken back is spared by the balancer as well: not by steps alone.
        taken_back_by=("rollback app", releases.running[0]),
    )


def _require_open(site: Site, releases: Releases, way: WayBack) -> None:
    if way.verdict is Verdict.CODE_ONLY:
        return
    is_of_database = way.verdict in (Verdict.NEEDS_DOWNGRADE, Verdict.NEEDS_RESTORE)
    hint = samaops(site, "rollback db --dry-run" if is_of_database else "rollback check")
    if not way.target and way.verdict is Verdict.UNKNOWN:
        text = _("Whether there is a way back is not known: {reason}")
        raise RefusedError(text.format(reason=way.reason), hint=hint)
    if not way.target:
        raise RefusedError(_("There is nothing to go back to: {reason}").format(reason=way.reason), hint=hint)
    text = {
        Verdict.NEEDS_DOWNGRADE: _("The way back to {release} needs a downgrade of the database: {reason}"),
        Verdict.NEEDS_RESTORE: _("The way back to {release} needs a restore of the database: {reason}"),
        Verdict.UNKNOWN: _("Whether there is a way back to {release} is not known: {reason}"),
    }.get(way.verdict, _("There is no way back to {release}: {reason}"))
    raise RefusedError(text.format(release=releases.title(way.target), reason=way.reason), hint=hint)


def _require_balancer(site: Site) -> None:
    if len(site.members()) > 1 and not _has_balancer(site):
        raise RefusedError(
            _("The balancer cannot be told to spare a member: requests would fail while it is replaced"),
            hint=_("[loadbalancer.bigip] or [loadbalancer.commands]"),
        )


class _Rolling:
    """The steps of one way back."""

    def __init__(self, snapshot: Snapshot, releases: Releases, way: WayBack) -> None:
        self._snapshot = snapshot
        self._site = releases.site
        self._releases = releases
        self._way = way
        self._rules = releases.site.settings.release

    def steps(self, wrong: list[Part]) -> Iterator[Step]:
        """Yield all steps: first what is needed to come forward again, then part after part, then the names."""
        yield from keep_steps(self._releases)
        for part in sorted(wrong, key=_order):
            yield from self._member(part) if part.system == "api" else [self._recreate(part)]
        yield from self._names(wrong)
        for server, facts in self._releases.facts.items():
            if facts.entry(self._way.target) and ran_last_of(self._releases, server) != self._way.target:
                step = seen_step(self._releases, server, self._way.target)
                # what was recorded on the way ran last until then
                yield replace(step, before=())

    def notes(self) -> Iterator[str]:
        """Yield what people should know besides."""
        yield self._way.reason
        yield from in_flight.sentences(self._snapshot, self._site)
        yield _("about {minutes} min in all; each new container has --wait seconds to be well").format(
            minutes=max(1, round(seconds_of(self._releases) / 60))
        )

    def _member(self, part: Part) -> Iterator[Step]:
        """Yield how a member is replaced: spared by the balancer meanwhile, where it serves."""
        expected = self._site.healthy_status()
        recreate = self._recreate(part)
        text = _("{member} serves").format(member=part.name)
        serves = Condition("docker.api_serves", (expected, part.name), True, text)
        recreate = replace(recreate, after=(*recreate.after, serves), servers=self._site.servers_of("api"))
        if not api_serves(self._snapshot, expected, part.name):
            yield recreate
        elif len(self._site.members()) < 2:
            yield replace(recreate, before=(*recreate.before, serves))
        else:
            member = balancer.member_named(self._snapshot, self._site, part.name)
            guard = self._rules.member_seconds
            yield balancer.drain_step(self._snapshot, self._site, member, DRAIN_SECONDS, guard)
            # Taken back, it serves again before it is put into the pool.
            yield replace(recreate, before=(*recreate.before, serves))
            yield balancer.enable_step(self._site, member, OFFLINE, guard)
        if self._rules.bake_seconds:
            yield self._bake(part)

    def _recreate(self, part: Part) -> Step:
        title = _("Replace {name} by a container of {release}")
        stop = MEMBER_STOP_SECONDS if part.system == "api" else self._rules.worker_stop_seconds
        image, earlier = self._way.target, part.image
        what = {"name": part.known_as, "server": part.server}
        runs_new = _("{name} on {server} runs {release}, and its health check passes if it has one").format(
            **what, release=self._releases.title(image)
        )
        runs_old = _("{name} on {server} is of {release}").format(
            **what, release=self._releases.title(earlier)
        )
        after = [Condition("release.runs", (part.server, part.known_as, image), True, runs_new)]
        after += self._consumes(part)
        return Step(
            id="release.recreate",
            title=title.format(name=part.known_as, release=self._releases.title(image)),
            risk=Risk.DISRUPTIVE,
            operation=self._operation(part, image, stop),
            undo=self._operation(part, earlier, stop),
            before=(Condition("release.image_of", (part.server, part.known_as), earlier, runs_old),),
            after=tuple(after),
            servers=self._site.servers_of("rabbitmq") if part.system == "celery" else (),
            about=f"docker/{part.known_as}",
        )

    def _consumes(self, part: Part) -> Iterator[Condition]:
        """Yield that a worker is back, before the next one is touched: each of its queues is consumed by it."""
        worker = self._site.worker(part.name) if part.system == "celery" else None
        for queue in worker.queues if worker else ():
            text = _("{worker} consumes {queue}").format(worker=part.name, queue=queue)
            yield Condition("celery.consumes", (part.name, queue), True, text)

    def _operation(self, part: Part, image: str, stop_seconds: int) -> Operation:
        container = part.container
        recreating = Recreating(
            container=part.known_as,
            image=image,
            repository=repository_of_part(self._releases, image),
            project=container.project or "",
            directory=container.directory,
            files=_own_files(container.files),
            service=container.service or "",
            stop_seconds=stop_seconds,
        )
        if any(" " in word for word in (*recreating.files, recreating.directory)):
            text = _("compose made {name} from a file with a blank in its name")
            raise RefusedError(text.format(name=part.known_as))
        seconds = RECREATE_SECONDS + stop_seconds
        return Operation(RECREATE, to_builtins(recreating), part.server, seconds)

    def _bake(self, part: Part) -> Step:
        seconds, expected = self._rules.bake_seconds, self._site.healthy_status()
        title = _("See that {member} serves for {seconds:g} s").format(member=part.name, seconds=seconds)
        runs_new = _("{name} runs {release}").format(
            name=part.known_as, release=self._releases.title(self._way.target)
        )
        serves = _("{member} serves").format(member=part.name)
        return Step(
            id="release.bake",
            title=title,
            risk=Risk.SAFE,
            operation=Operation(BAKE, to_builtins(Baking(part.name, seconds)), None, seconds + 30.0),
            before=(Condition("docker.api_serves", (expected, part.name), True, serves),),
            after=(
                Condition("release.runs", (part.server, part.known_as, self._way.target), True, runs_new),
            ),
            no_undo=_("it only looks"),
            servers=self._site.servers_of("api"),
            about=f"api/{part.name}",
        )

    def _names(self, wrong: Iterable[Part]) -> Iterator[Step]:
        """Yield that the names in the compose files stand for the release too: the next `up` would bring back the other."""
        for server, facts in self._releases.facts.items():
            for name in sorted(self._names_in_use(server, wrong)):
                image = next((image for image in facts.images if name in image.tags), None)
                earlier = image.id if image else ""
                if earlier != self._way.target:
                    yield self._name(server, name, earlier)

    def _names_in_use(self, server: str, wrong: Iterable[Part]) -> set[str]:
        """Return how the compose files of a server call the image, as far as its containers or their records tell."""
        facts = self._releases.facts[server]
        parts = [part for part in wrong if part.server == server]
        entries = [facts.entry(image) for image in {part.image for part in parts}]
        names = {part.container.image for part in parts} | {entry.recorded.name for entry in entries if entry}
        return {name for name in names if name and not is_ours(name) and not name.startswith("sha256:")}

    def _name(self, server: str, name: str, earlier: str) -> Step:
        tag = keep_tag(repository_of_part(self._releases, self._way.target), self._way.target)
        words = {"name": name, "server": server}
        stands = _("{name} stands for {release} on {server}")
        # A prune takes the names of images too, also of those that are in use.
        back = f"docker tag {earlier} {name}" if earlier else f"docker image rm {name}"
        before = stands.format(**words, release=self._releases.title(earlier))
        if not earlier:
            before = _("{name} stands for nothing on {server}").format(**words)
        return Step(
            id="release.name",
            title=_("Let {name} stand for {release} on {server}").format(
                **words, release=self._releases.title(self._way.target)
            ),
            risk=Risk.SAFE,
            operation=shell(f"docker tag {tag} {name}", server),
            undo=shell(back, server),
            before=(Condition("release.named", (server, name), earlier, before),),
            after=(
                Condition(
                    "release.named",
                    (server, name),
                    self._way.target,
                    stands.format(**words, release=self._releases.title(self._way.target)),
                ),
            ),
            servers=(),
            about=f"release/{server}",
        )


def _order(part: Part) -> tuple[int, str]:
    """Return in which order parts are replaced: members, workers, then what only watches."""
    return ({"api": 0, "celery": 1}.get(part.system, 2), part.name)


def _own_files(files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the compose files without the one that an earlier way back has added, which is gone."""
    return tuple(name for name in files if "/samaops-release." not in name)
