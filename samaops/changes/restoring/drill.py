"""A trial restore: a backup becomes a throw-away database, is compared with its manifest, and goes again."""

from __future__ import annotations

from msgspec import Struct

from samaops.changes.restoring import recovery
from samaops.changes.restoring.work import (
    DRILL,
    LOCK,
    TRY,
    backup_of,
    configured,
    facts,
    operation,
    require_restorable,
)
from samaops.changes.verbs import verb
from samaops.facts.backup_run import Run
from samaops.facts.observation import Snapshot
from samaops.facts.restoring import DRILL as PREFIX
from samaops.facts.restoring import RestoringFacts
from samaops.i18n import _
from samaops.model.plan import Plan, Risk, Step
from samaops.model.quantities import duration, moment, size
from samaops.site.site import Site

NAME = "backup drill"


class Drilling(Struct, frozen=True):
    """A backup that is tried in a database of the name ``into``."""

    id: str
    into: str


def _looks(site: Site, _wanted: str) -> tuple[str, ...]:
    backup_of(site)
    return ()


@verb(NAME, looks=_looks)
def plan_drill(snapshot: Snapshot, site: Site, wanted: str) -> Plan:
    """Plan that a backup is restored for a trial; the live database is neither read nor written by it.

    Guards: as for a restore, room for a second database among them.
    """
    backup, seen = backup_of(site), facts(snapshot)
    run = recovery.physical_run(seen, wanted)
    if run is not None:
        return _of_physical(site, seen, run)
    of = require_restorable(site, seen, configured(site).database)
    into = f"{PREFIX}{seen.token}"
    text = _("Restore {id}, of {moment}, into {into} for a trial, compare it, and drop that again")
    title = text.format(id=of.id, moment=moment(of.epoch), into=into)
    step = Step(
        "backup.drill",
        title,
        Risk.SAFE,
        operation=operation(DRILL, Drilling(of.id, into), site, backup.drill.timeout),
        before=(),
        after=(),
        no_undo=_("it leaves nothing; what a trial that was killed has left, the next one drops"),
        servers=(),
    )
    limit = _("It works with the least priority, takes at most {time}, and {free} are free")
    left = [each.name for each in seen.databases if each.name.startswith(PREFIX) and each.mark]
    notes = [limit.format(time=duration(backup.drill.timeout), free=size(seen.free_bytes))]
    if left:
        notes.append(_("What an earlier trial left is dropped first: {names}").format(names=", ".join(left)))
    if not of.is_ours:
        notes.append(_("This dump has no manifest: its rows and rights have nothing to be compared with"))
    return Plan(NAME, (of.id,), title, target=of.id, steps=(step,), notes=tuple(notes), lock=LOCK)


def _of_physical(site: Site, seen: RestoringFacts, run: Run) -> Plan:
    """Return the plan of a trial of a backup of pgBackRest: a cluster beside the live one, which goes again."""
    backup = backup_of(site)
    trying, physical = recovery.trial(site, seen, run)
    text = _(
        "Recover {id} ({label}, {size}) beside the live cluster for a trial, read all of it, and remove it again"
    )
    title = text.format(id=run.id, label=run.label, size=size(physical.database_bytes))
    step = Step(
        "backup.drill",
        title,
        Risk.SAFE,
        operation=operation(TRY, trying, site, backup.drill.timeout),
        before=(),
        after=(),
        no_undo=_("it leaves nothing; what a trial that was killed has left, the next backup removes"),
        servers=(),
    )
    assert seen.survey is not None
    limit = _("It works with the least priority, takes at most {time}, and {free} are free")
    notes = (
        limit.format(time=duration(backup.drill.timeout), free=size(seen.survey.free_bytes)),
        _("It is recovered to its own end: that the log leads on from there, a restore db --to shows"),
    )
    return Plan(NAME, (run.id,), title, target=run.id, steps=(step,), notes=notes, lock=LOCK)
