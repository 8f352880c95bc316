"""Restart the API's members or the workers by turns, so that enough of them serve all the time.

Its steps are those of other verbs, and so are their doers: ``changes/run/docker.py``, ``balancer.py``, ``celery.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from msgspec import Struct
from msgspec.structs import replace

from samaops.changes.balancer.members import LEAST_SECONDS, MOST_SECONDS
from samaops.changes.beside import Work, work_of
from samaops.changes.docker.rolled import Members, Part, Turn, Workers, container_of
from samaops.changes.postgresql.sessions import BACKENDS, about, backends_in
from samaops.changes.readings import facts_in, reading
from samaops.changes.release.keeping import require_not_replacing, still
from samaops.changes.verbs import verb
from samaops.config import consistency
from samaops.errors import RefusedError, UsageError
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql_changes import Backend
from samaops.facts.release import ReleaseFacts
from samaops.i18n import _, joined
from samaops.model.plan import Condition, Plan, Scalar
from samaops.site.commands import typed
from samaops.site.releases import Releases, observed, servers
from samaops.site.shell_words import quoted
from samaops.site.site import Site

API, WORKERS = "api", "workers"
_KINDS: dict[str, type[Members] | type[Workers]] = {API: Members, WORKERS: Workers}
# Beside which work on the database the application is left as it is.
_WAITED_FOR = (Work.DUMP, Work.BACKUP, Work.RESTORE, Work.MIGRATION, Work.ROLLBACK)


class Asked(Struct, frozen=True):
    """What is to be restarted, as the command line says it.

    ``limit`` names servers, all where it is empty. ``serial`` is how many at once, ``healthy`` how many must stay well,
    ``within`` how long is waited for what is under way, in seconds. What began to run at ``before`` or later is left.
    """

    what: str
    limit: tuple[str, ...] = ()
    serial: int = 1
    healthy: int | None = None
    within: float | None = None
    before: datetime | None = None

    @classmethod
    def of(
        cls,
        what: str,
        limit: str = "",
        serial: str = "1",
        healthy: str = "",
        within: str = "",
        before: str = "",
    ) -> Asked:
        """Return what the words of a plan ask for. Raises UsageError."""
        if what not in _KINDS:
            raise UsageError(
                _("{what!r} cannot be restarted by turns").format(what=what),
                hint=consistency.not_one_of(what, _KINDS),
            )
        seconds = float(within) if within else None
        if seconds is not None and not LEAST_SECONDS <= seconds <= MOST_SECONDS:
            text = _("{seconds:g} is not between {least:g} and {most:g} seconds")
            words = {"seconds": seconds, "least": LEAST_SECONDS, "most": MOST_SECONDS}
            raise UsageError(text.format(**words))
        for option, number in (("--serial", serial), ("--healthy", healthy)):
            if number and int(number) < 1:
                raise UsageError(_("{option}: at least 1").format(option=option))
        names = tuple(dict.fromkeys(filter(None, (name.strip() for name in limit.split(",")))))
        moment = datetime.fromisoformat(before) if before else None
        return cls(what, names, int(serial), int(healthy) if healthy else None, seconds, moment)

    def words(self, before: datetime | None) -> tuple[str, ...]:
        """Return what a person types behind ``docker roll`` to restart what runs since before a moment."""
        options = (
            ("--limit", ",".join(self.limit)),
            ("--serial", str(self.serial) if self.serial > 1 else ""),
            ("--healthy", str(self.healthy or "")),
            ("--within", f"{self.within:g}" if self.within is not None else ""),
            ("--started-before", before.isoformat() if before else ""),
        )
        return (self.what, *(word for option, value in options if value for word in (option, value)))


def _typed(*arguments: str) -> tuple[str, ...]:
    asked = Asked.of(*arguments)
    return asked.words(asked.before)


def _looks(site: Site, *arguments: str) -> tuple[str, ...]:
    asked = Asked.of(*arguments)
    _chosen(site, asked)
    backends = BACKENDS if site.settings.postgresql is not None else ()
    return ("docker.container", "release.server", *_KINDS[asked.what].codes(site), *backends)


def _chosen(site: Site, asked: Asked) -> tuple[Part, ...]:
    """Return those that are asked for, on the servers that are named. Raises UsageError, RefusedError."""
    if site.settings.docker is None or site.settings.docker.engine == "none":
        text = _("The configuration names no container of the application")
        raise UsageError(text, hint="samaops config show")
    parts = _KINDS[asked.what].parts(site)
    places = tuple(dict.fromkeys(part.server for part in parts))
    if not parts:
        text = (
            _("The configuration knows no member of the API")
            if asked.what == API
            else _("The configuration knows no worker")
        )
        raise UsageError(text, hint="samaops config show")
    for name in asked.limit:
        if name not in site.settings.servers and name not in places:
            text = _("--limit: the configuration knows no server {name!r}").format(name=name)
            raise UsageError(text, hint=consistency.not_one_of(name, places))
        if name not in places:
            text = _("--limit: none of them is on {name}").format(name=name)
            raise UsageError(text, hint=_("known: {names}").format(names=", ".join(places)))
    chosen_parts = tuple(part for part in parts if not asked.limit or part.server in asked.limit)
    for part in chosen_parts:
        if part.container is None:
            text = _("The configuration names no container of {name}: it cannot be restarted")
            raise RefusedError(text.format(name=part.name), hint="samaops config show")
    return chosen_parts


@reading("postgresql.nothing_waited_for", codes=BACKENDS)
def nothing_waited_for(snapshot: Snapshot, database: str) -> Scalar:
    """Return whether nobody dumps, backs up, restores, migrates or takes back this database."""
    return _at_work(snapshot, database) is None


def _at_work(snapshot: Snapshot, database: str) -> tuple[Backend, Work] | None:
    for backend in backends_in(snapshot):
        work = work_of(backend)
        if work in _WAITED_FOR and not backend.is_ours and backend.database in ("", database):
            return backend, work
    return None


@verb("docker roll", looks=_looks, typed=_typed)
def plan_roll(snapshot: Snapshot, site: Site, *arguments: str) -> Plan:
    """Plan that members or workers are restarted by turns; each turn that has ended well stays.

    Guards: all of them are well, so many stay well meanwhile as must, none is the last one, they run one release, and
    nobody dumps, restores or migrates the database.
    """
    asked = Asked.of(*arguments)
    kind = _KINDS[asked.what](snapshot, site, asked.within)
    parts = _chosen(site, asked)
    title = (
        _("Restart the API's members by turns") if asked.what == API else _("Restart the workers by turns")
    )
    plan = Plan("docker roll", arguments, title, target=asked.what)
    releases = observed(snapshot, site)
    for server in servers(site):
        facts_in(snapshot, ReleaseFacts, server)
    require_not_replacing(releases)
    due = tuple(part for part in parts if _is_due(snapshot, part, asked.before))
    if not due:
        text = _("all of them began to run at {moment} or later")
        return replace(plan, nothing_to_do=text.format(moment=arguments[-1]))
    kind.require_possible()
    _refuse_meanwhile(snapshot, site, releases)
    _refuse_sick(site, kind, due)
    least = _least(site, kind, asked, due)
    first = tuple(_meanwhile(site, releases))
    since = asked.before or snapshot.taken_at.astimezone(timezone.utc).replace(microsecond=0)
    rest = " ".join(("docker roll", *map(quoted, asked.words(since))))
    stop = _("It stops where one does not come back; then this goes on with the rest: {command}")
    return replace(
        plan,
        steps=tuple(
            step
            for turn in _turns(kind.parts(site), due, asked.serial, least, first)
            for step in kind.steps(turn)
        ),
        notes=(
            _order(due, asked.serial),
            *kind.notes(due),
            stop.format(command=typed(site, rest)),
        ),
        rest=rest,
    )


def _is_due(snapshot: Snapshot, part: Part, before: datetime | None) -> bool:
    """Return whether a container runs since before a moment of our clock; its server's may be another. Raises UnreadableError."""
    started_at = container_of(snapshot, part).started_at
    if before is None or started_at is None:
        return True
    age = facts_in(snapshot, DockerFacts, part.server).epoch - started_at
    return snapshot.taken_at.timestamp() - age < before.timestamp()


def _refuse_meanwhile(snapshot: Snapshot, site: Site, releases: Releases) -> None:
    """Raise RefusedError while the application or its database is being changed."""
    if len(releases.running) > 1:
        names = joined(releases.title(image) for image in releases.running)
        text = _(
            "Members and workers run different releases ({names}): a release or a way back is under way, or stopped"
        )
        raise RefusedError(text.format(names=names), hint=typed(site, "release list"))
    if site.settings.postgresql is None:
        return
    busy = _at_work(snapshot, site.settings.postgresql.database)
    if busy:
        text = _("Nothing is restarted beside a {work} of the database: {session}")
        raise RefusedError(text.format(work=busy[1], session=about(busy[0])), hint=typed(site, "db progress"))


def _refuse_sick(site: Site, kind: Members | Workers, due: tuple[Part, ...]) -> None:
    for part in due:
        reason, words = kind.sickness(part)
        if reason:
            text = _("{reason}: only what is well is restarted by turns").format(reason=reason)
            raise RefusedError(text, hint=typed(site, words))


def _least(site: Site, kind: Members | Workers, asked: Asked, due: tuple[Part, ...]) -> int:
    """Return how many must stay well. Raises RefusedError where fewer would."""
    parts = kind.parts(site)
    away = min(asked.serial, len(due))
    least = max(kind.least, asked.healthy if asked.healthy is not None else len(parts) - away)
    well = [part.name for part in parts if kind.is_well(part)]
    if len(well) - away >= least:
        return least
    text = _(
        "{well} of {all} are well: while {away} restart, {left} would be left, and at least {least} must be"
    )
    words = {"well": len(well), "all": len(parts), "away": away, "left": len(well) - away, "least": least}
    raise RefusedError(text.format(**words), hint=typed(site, f"diagnose --only {kind.only}"))


def _meanwhile(site: Site, releases: Releases) -> Iterator[Condition]:
    """Yield what must hold again before each turn: nobody changes the database, or the application, meanwhile."""
    if site.settings.postgresql is not None:
        text = _("nobody dumps, restores or migrates the database")
        of = (site.settings.postgresql.database,)
        yield Condition("postgresql.nothing_waited_for", of, True, text)
    if condition := still(releases):
        yield condition


def _turns(
    everyone: tuple[Part, ...], due: tuple[Part, ...], serial: int, least: int, first: tuple[Condition, ...]
) -> Iterator[Turn]:
    for begin in range(0, len(due), serial):
        turn = due[begin : begin + serial]
        others = tuple(part for part in everyone if part not in turn)
        yield Turn(turn, others, least, first)


def _order(due: tuple[Part, ...], serial: int) -> str:
    """Say who follows whom."""
    turns = [due[begin : begin + serial] for begin in range(0, len(due), serial)]
    names = " > ".join(" + ".join(part.name for part in turn) for turn in turns)
    return _("One turn after the other: {names}").format(names=names)
