"""Plan the way back of the database: what is needed for a downgrade, or for a restore, is looked at first."""

from __future__ import annotations

import time

from samaops.changes import verbs
from samaops.changes.release import migration_sql
from samaops.changes.release.database import NAME, require_known
from samaops.changes.release.keeping import require_not_replacing
from samaops.changes.restoring.work import configured
from samaops.changes.run.restoring import Workshop, workshop
from samaops.clients import shells
from samaops.clients.errors import ClientError
from samaops.clients.migration_tool import MigrationTool
from samaops.clients.shells import ShellPool
from samaops.errors import RefusedError, UnavailableError
from samaops.facts.backup_run import DUMP, WHOLE
from samaops.facts.downgrade import DowngradeFacts, Loss
from samaops.facts.observation import Observation
from samaops.i18n import _, joined
from samaops.model.plan import Plan
from samaops.site.commands import typed
from samaops.site.releases import Releases
from samaops.site.site import Site
from samaops.site.way_back import Verdict, WayBack, way_back
from samaops.workflows import change, restoring
from samaops.workflows.release.listed import observe

# How many manifests are read for one of before a migration.
_MOST_BACKUPS = 40
_SHORT_SECONDS = 60.0


def prepare(site: Site, name: str = "") -> Plan:
    """Plan the way back of the database to a release; the one that ran before where none is named.

    Raises UsageError, RefusedError, and UnavailableError where what must be known cannot be looked at.
    """
    verb = verbs.find(NAME)
    verb.codes(site, ("",))
    with shells.kept():
        releases = observe(site)
        require_not_replacing(releases)
        way = way_back(releases, releases.named(name) if name else "")
        if way.verdict is Verdict.CODE_ONLY:
            return change.prepare_verb(site, verb, (way.target,))
        require_known(site, releases, way)
        if way.verdict is Verdict.NEEDS_RESTORE:
            return restoring.plan(site, NAME, (way.target,), _backup_before(site, releases, way))
        server = releases.parts[0].server
        observed = Observation(
            "release", f"release/{server}", server, DowngradeFacts.__name__, _downgrade(site, releases, way)
        )
        return restoring.plan(site, NAME, (way.target,), recalled=(observed,))


def _backup_before(site: Site, releases: Releases, way: WayBack) -> str:
    """Return the newest backup of ours that a release runs with. Raises RefusedError where there is none."""
    recorded = releases.recorded(way.target)
    read = 0
    try:
        with workshop(site) as at:
            runs = [run for run in at.store.rows().rows if (run.state, run.engine) == (WHOLE, DUMP)]
            for run in runs[:_MOST_BACKUPS]:
                read += 1
                if recorded is not None and recorded.runs_with(at.store.manifest(run.id).revisions):
                    return run.id
    except ClientError as error:
        text = _("Could not look at the backups: {reason}")
        raise UnavailableError(text.format(reason=error.message), typed(site, "backup list")) from error
    text = _("None of the newest {count} backups is of a database that {release} runs with")
    raise RefusedError(
        text.format(count=read, release=releases.title(way.target)), hint=typed(site, "backup list")
    )


def _downgrade(site: Site, releases: Releases, way: WayBack) -> DowngradeFacts:
    """Return the SQL of the way down, and of the way up again, with what goes by it. Raises RefusedError."""
    recorded = releases.recorded(way.target)
    heads = sorted(recorded.heads) if recorded else []
    if len(heads) != 1 or len(way.live) != 1:
        text = _("With several heads ({live} to {heads}) a downgrade is for people: use Alembic itself")
        words = text.format(live=joined(way.live), heads=joined(heads))
        raise RefusedError(words, hint=typed(site, "rollback check"))
    part = next((part for part in releases.parts if part.image in releases.running), None)
    if part is None:
        raise RefusedError(_("Nothing of the application runs that could write its own downgrade"))
    asked_at = time.time()
    pool = ShellPool(site.settings)
    try:
        shell = pool.of(part.server)
        tool = MigrationTool(shell, part.known_as, part.image, site.settings.release.migrate)
        down = tool.written("downgrade", way.live[0], heads[0])
        up = tool.written("upgrade", heads[0], way.live[0])
    except ClientError as error:
        raise RefusedError(
            _("The way down is not known: {reason}").format(reason=error.message),
            hint=typed(site, "rollback check"),
        ) from error
    finally:
        pool.close()
    losses = _losses(site, down)
    return DowngradeFacts(asked_at, way.target, part.image, way.live[0], heads[0], down, up, losses)


def _losses(site: Site, down: str) -> tuple[Loss, ...]:
    try:
        script = migration_sql.read(down, site.settings.release.version_table)
    except ValueError:
        return ()  # the plan refuses it, with the reason
    try:
        with workshop(site) as at:
            return tuple(_loss(at, site, takes) for takes in script.takes)
    except ClientError as error:
        text = _("Could not look at the database's server: {reason}")
        raise UnavailableError(text.format(reason=error.message), typed(site, "diagnose")) from error


def _loss(at: Workshop, site: Site, takes: migration_sql.Takes) -> Loss:
    """Count what goes. A table that takes too long, or is not found, is not counted, and that is said."""
    schema, _dot, name = takes.relation.rpartition(".")
    values = {"schema": schema, "name": name, "column": takes.column}
    try:
        rows = at.server.ask("loss", _SHORT_SECONDS, values, configured(site).database)
    except ClientError:
        rows = []
    if len(rows) != 1:
        return Loss(takes.relation if schema else f"public.{name}", takes.column, None, None)
    return Loss(str(rows[0]["relation"]), takes.column, int(rows[0]["rows"]), int(rows[0]["values"]))
