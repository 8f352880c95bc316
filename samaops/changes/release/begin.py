"""Before a deployment: what runs is recorded as what to go back to, and the backup is taken that a way back may need."""

from __future__ import annotations

from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.release.keeping import keep_steps, require_observed
from samaops.changes.release.keeping import looks as release_looks
from samaops.changes.verbs import verb
from samaops.errors import RefusedError
from samaops.facts.observation import Snapshot
from samaops.i18n import _, joined
from samaops.model.plan import Plan
from samaops.site import in_flight
from samaops.site.commands import samaops
from samaops.site.releases import observed
from samaops.site.site import Site

BACKUP = "backup create"


def _looks(site: Site, *_arguments: str) -> tuple[str, ...]:
    return (*release_looks(site), *_backup(site).codes(site, ()), *in_flight.codes(site))


def _backup(site: Site) -> verbs.Verb:
    """Return the verb that takes a backup. Raises RefusedError where there is none: nothing is begun without one."""
    if BACKUP not in verbs.names():
        raise RefusedError(
            _("No backup can be taken: a release is not begun without one"), hint=samaops(site, "diagnose")
        )
    return verbs.find(BACKUP)


def _typed(name: str) -> tuple[str, ...]:
    return (name,) if name else ()


@verb("release begin", looks=_looks, typed=_typed)
def plan_begin(snapshot: Snapshot, site: Site, name: str) -> Plan:
    """Plan that a deployment may begin.

    Guards: members and workers run one release, and whatever the backup wants.
    """
    releases = observed(snapshot, site)
    require_observed(releases)
    if len(releases.running) != 1:
        names = joined(releases.title(image) for image in releases.running)
        text = _("Members and workers run different releases ({names}): which one to go back to is not known")
        raise RefusedError(text.format(names=names), hint=samaops(site, "release list"))
    backup = _backup(site).planner(snapshot, site)
    if not backup.steps:
        text = _("No backup would be taken: {reason}")
        raise RefusedError(text.format(reason=backup.nothing_to_do), hint=samaops(site, BACKUP))
    running = releases.title(releases.running[0])
    title = _("Begin a release: back to {release} stays possible").format(release=running)
    if name:
        title = _("Begin the release {name}: back to {release} stays possible").format(
            name=name, release=running
        )
    return replace(
        backup,
        verb="release begin",
        arguments=(name,),
        title=title,
        target=site.name,
        steps=(*keep_steps(releases), *backup.steps),
        notes=(*backup.notes, *in_flight.sentences(snapshot, site)),
        cures=(),
        steps_stand_alone=False,
    )
