"""The way back of the database to what an earlier release wants: a downgrade that was proved on a copy, else a restore.

Either way a backup is made first. A downgrade is SQL that the application's own migration tool has written; the same
bytes are run on a copy of the database, and only then on the live one, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.release import migration_sql
from samaops.changes.release.begin import BACKUP
from samaops.changes.release.keeping import require_not_replacing, still
from samaops.changes.restoring import database as restores
from samaops.changes.restoring import swap as swaps
from samaops.changes.restoring.work import LOCK, SPACE_FACTOR, backup_of, configured, facts
from samaops.changes.verbs import verb
from samaops.errors import RefusedError
from samaops.facts.downgrade import DowngradeFacts, Loss
from samaops.facts.observation import Snapshot
from samaops.facts.postgresql import PostgresFacts
from samaops.facts.release import short
from samaops.facts.restoring import DRILL, RestoringFacts
from samaops.i18n import _, joined, ngettext
from samaops.model.plan import Condition, Operation, Plan, Risk, Scalar, Step
from samaops.model.quantities import size
from samaops.site import in_flight
from samaops.site.commands import typed
from samaops.site.releases import Releases, observed
from samaops.site.site import Site
from samaops.site.way_back import Verdict, WayBack, way_back

NAME = "rollback db"
REHEARSE, MIGRATE = "rollback.rehearse", "rollback.migrate"
# A lock that is not had at once is asked for again, so often; meanwhile nobody else waits behind us for longer than it.
TRIES, LOCK_SECONDS, BETWEEN_SECONDS = 10, 2.0, 3.0
MIGRATE_SECONDS = 300.0
_REVISION = ("postgresql.migration",)
_MOST_SHOWN = 12


class Migrating(Struct, frozen=True):
    """The statements that lead a database from one revision to another, in one transaction; ``table`` has the revision."""

    came_from: str
    to: str
    statements: tuple[str, ...]
    table: str


class Rehearsing(Struct, frozen=True):
    """Both ways are gone on a copy of the name ``into``, made of a backup younger than ``younger_than`` (epoch).

    ``takes`` is all that may go on the way down, as "schema.table" or "schema.table.column"; ``writes`` whether the plan
    says that it writes rows besides.
    """

    into: str
    younger_than: float
    down: Migrating
    up: Migrating
    takes: tuple[str, ...]
    writes: bool = False


@reading("release.revision", codes=_REVISION)
def revision(snapshot: Snapshot) -> Scalar:
    """Return at which revision the database is."""
    version = facts_in(snapshot, PostgresFacts).migration
    if version is None:
        raise UnreadableError(_("at which revision the database is"))
    return ", ".join(version.revisions)


def codes(site: Site) -> tuple[str, ...]:
    """Return what must be looked at besides what a restore needs."""
    backup_of(site)
    return (
        "docker.container",
        "release.server",
        "release.rollback.impossible",
        *_REVISION,
        *verbs.find(BACKUP).codes(site, ()),
        *swaps.codes(site),
        *in_flight.codes(site),
    )


def _looks(site: Site, _target: str = "") -> tuple[str, ...]:
    return codes(site)


def _typed(name: str) -> tuple[str, ...]:
    return ("--to", name) if name else ()


@verb(NAME, looks=_looks, typed=_typed)
def plan_database(snapshot: Snapshot, site: Site, target: str) -> Plan:
    """Plan that the database becomes one that an earlier release runs with; ``target`` is its image.

    Guards: the way is known, a backup can be made, there is room for a copy, nobody is at work beside whom neither goes.
    """
    releases = observed(snapshot, site)
    require_not_replacing(releases)
    way = way_back(releases, target)
    if way.verdict is Verdict.CODE_ONLY:
        plan = Plan(NAME, (target,), _title(releases, way), configured(site).database)
        command = typed(site, f"rollback app --to {releases.version(way.target) or short(way.target)}")
        text = _("{reason}: {command}")
        return replace(plan, nothing_to_do=text.format(reason=way.reason, command=command))
    require_known(site, releases, way)
    backup = verbs.find(BACKUP).planner(snapshot, site)
    if not backup.steps:
        text = _("No backup would be taken: {reason}")
        raise RefusedError(text.format(reason=backup.nothing_to_do), hint=typed(site, BACKUP))
    make = _down if way.verdict is Verdict.NEEDS_DOWNGRADE else _restored
    plan = make(snapshot, site, releases, way)
    meanwhile = still(releases)
    # The last step takes effect: the application that comes up meanwhile would meet another database than it began with.
    *earlier, last = plan.steps
    servers = dict.fromkeys((*(last.servers or ()), *(meanwhile.of if meanwhile else ())))
    last = (
        replace(last, needs=(*last.needs, meanwhile), servers=tuple(map(str, servers))) if meanwhile else last
    )
    return replace(
        plan,
        verb=NAME,
        arguments=(target,),
        steps=(*backup.steps, *earlier, last),
        notes=(*_between(site, releases, way), *in_flight.sentences(snapshot, site), *plan.notes),
        lock=LOCK,
    )


def require_known(site: Site, releases: Releases, way: WayBack) -> None:
    """Raise RefusedError where the way back of the database is not known, or there is none."""
    if way.verdict in (Verdict.NEEDS_DOWNGRADE, Verdict.NEEDS_RESTORE):
        return
    hint = typed(site, "rollback check")
    if not way.target and way.verdict is Verdict.UNKNOWN:
        text = _("Whether there is a way back is not known: {reason}")
        raise RefusedError(text.format(reason=way.reason), hint=hint)
    if not way.target:
        raise RefusedError(_("There is nothing to go back to: {reason}").format(reason=way.reason), hint=hint)
    text = (
        _("Whether there is a way back to {release} is not known: {reason}")
        if way.verdict is Verdict.UNKNOWN
        else _("There is no way back to {release}: {reason}")
    )
    raise RefusedError(text.format(release=releases.title(way.target), reason=way.reason), hint=hint)


def _title(releases: Releases, way: WayBack) -> str:
    text = _("Make the database one that {release} runs with")
    return text.format(release=releases.title(way.target))


def _between(site: Site, releases: Releases, way: WayBack) -> Iterator[str]:
    """Yield what the application meets between this and the way back of the code."""
    running = joined(releases.title(image) for image in releases.running)
    text = _(
        "Then at once: {command}. Until that has ended, {running} works on a database that it does not know: what "
        "needs what went away fails"
    )
    version = releases.version(way.target) or way.target
    yield text.format(command=typed(site, f"rollback app --to {version}"), running=running)


def _restored(snapshot: Snapshot, site: Site, releases: Releases, way: WayBack) -> Plan:
    """Plan the restore of the backup that was looked at: one of before the migrations."""
    seen = facts(snapshot)
    recorded = releases.recorded(way.target)
    was = seen.manifest.revisions if seen.manifest else ()
    if recorded is None or not recorded.runs_with(was):
        text = _("The backup {id} is of a database at {revision}, and {release} wants it at {heads}")
        words = text.format(
            id=seen.source.id if seen.source else "-",
            revision=joined(was) or "-",
            release=releases.title(way.target),
            heads=joined(sorted(recorded.heads if recorded else ())) or "-",
        )
        raise RefusedError(words, hint=typed(site, "backup list"))
    plan = restores.plan_restore(snapshot, site, "")
    text = _("{reason}: the newest backup that {release} runs with is put in its place, at {revision}")
    note = text.format(reason=way.reason, release=releases.title(way.target), revision=joined(was))
    return replace(plan, notes=(note, *plan.notes))


def _down(snapshot: Snapshot, site: Site, releases: Releases, way: WayBack) -> Plan:
    """Plan the downgrade: proved on a copy, then for the live database."""
    wanted, seen, rules = facts_in(snapshot, DowngradeFacts), facts(snapshot), site.settings.release
    database = configured(site).database
    live = seen.database(database)
    if (wanted.target, (wanted.came_from,)) != (way.target, way.live) or live is None:
        raise UnreadableError(_("the database has moved on while it was looked at"))
    down, up = _script(site, wanted.down), _script(site, wanted.up)
    _require_room(site, seen, live.bytes)
    busy = swaps.in_the_way(seen.sessions)
    if busy:
        text = _("{database} cannot be migrated while others work on all of it: {who}")
        raise RefusedError(text.format(database=database, who=busy), hint=typed(site, "db activity"))
    go_down = Migrating(wanted.came_from, wanted.to, down.statements, rules.version_table)
    go_up = Migrating(wanted.to, wanted.came_from, up.statements, rules.version_table)
    takes = tuple(f"{each.relation}.{each.column}".rstrip(".") for each in wanted.losses)
    rehearsing = Rehearsing(
        f"{DRILL}{seen.token}", wanted.asked_at, go_down, go_up, takes, bool(down.changes)
    )
    return Plan(
        NAME,
        (way.target,),
        _title(releases, way),
        database,
        steps=(
            _rehearse_step(site, rehearsing),
            _migrate_step(site, go_down, go_up, _destroys(wanted.losses, down.changes)),
        ),
        notes=(way.reason, *_listed(down)),
    )


def _script(site: Site, text: str) -> migration_sql.Script:
    try:
        return migration_sql.read(text, site.settings.release.version_table)
    except ValueError as error:
        words = _("What the migration tool wrote is not run: {reason}").format(reason=error)
        raise RefusedError(words, hint=typed(site, "rollback check")) from error


def _require_room(site: Site, seen: RestoringFacts, live_bytes: int) -> None:
    if seen.in_recovery:
        raise RefusedError(_("the server is a standby"), hint=typed(site, "diagnose"))
    need = round(live_bytes * SPACE_FACTOR)
    if seen.free_bytes < need:
        text = _("Not enough room for a copy of the database: {free} free, about {need} needed")
        words = text.format(free=size(seen.free_bytes), need=size(need))
        raise RefusedError(words, hint=typed(site, "db size"))


def _listed(script: migration_sql.Script) -> Iterator[str]:
    """Yield the statements as they will be run: people read them before they say yes."""
    for statement in script.statements[:_MOST_SHOWN]:
        yield f"SQL: {' '.join(statement.split())}"
    more = len(script.statements) - _MOST_SHOWN
    if more > 0:
        text = ngettext("and {count} more statement", "and {count} more statements", more)
        yield text.format(count=more)


def _destroys(losses: tuple[Loss, ...], changes: tuple[str, ...]) -> str:
    """Return what is lost, counted; "" where nothing is."""
    words = []
    for loss in losses:
        place = {"table": loss.relation, "column": loss.column, "rows": loss.rows, "values": loss.values}
        if loss.rows is None or loss.values is None:
            text = _("{column} of {table}, not counted") if loss.column else _("{table}, not counted")
        elif not loss.values:
            continue
        elif loss.column:
            text = _("{values} values in {column} of {table} ({rows} rows)")
        else:
            text = _("{table} with {rows} rows")
        words.append(text.format(**place))
    words += [
        _("what is written over by: {statement}").format(statement=statement[:200]) for statement in changes
    ]
    return "; ".join(words)


def _rehearse_step(site: Site, rehearsing: Rehearsing) -> Step:
    text = _("Prove it on a copy: restore the new backup into {into}, go down to {to} and up again, drop it")
    return Step(
        REHEARSE,
        text.format(into=rehearsing.into, to=rehearsing.down.to),
        Risk.SAFE,
        Operation(REHEARSE, to_builtins(rehearsing), configured(site).server, backup_of(site).drill.timeout),
        before=(),
        after=(),
        no_undo=_("it leaves nothing; what a trial that was killed has left, the next one drops"),
        servers=(),
    )


def _migrate_step(site: Site, down: Migrating, up: Migrating, destroys: str) -> Step:
    server, database = configured(site).server, configured(site).database
    text = _("{database} is at {revision}")
    here = Condition(
        "release.revision", (), down.came_from, text.format(database=database, revision=down.came_from)
    )
    there = Condition("release.revision", (), down.to, text.format(database=database, revision=down.to))
    title = _("Take {database} down from {came_from} to {to}, in one transaction")
    restores_text = _("the shape of the tables; what was in what went away is only in the backup")
    return Step(
        MIGRATE,
        title.format(database=database, came_from=down.came_from, to=down.to),
        Risk.DESTRUCTIVE if destroys else Risk.DISRUPTIVE,
        Operation(MIGRATE, to_builtins(down), server, MIGRATE_SECONDS),
        before=(here,),
        after=(there,),
        undo=Operation(MIGRATE, to_builtins(up), server, MIGRATE_SECONDS),
        destroys=destroys,
        undo_restores=restores_text if destroys else "",
        servers=(server,),
    )
