"""Removal of images that nothing uses, through the ``docker`` command on their server. Never volumes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from samaops.changes.readings import UnreadableError, facts_in, reading
from samaops.changes.verbs import verb
from samaops.config import consistency
from samaops.config.schedule_settings import Maintenance
from samaops.errors import UnavailableError, UsageError
from samaops.facts.maintenance import Image, ImagesFacts
from samaops.facts.observation import Snapshot
from samaops.i18n import _, joined, ngettext
from samaops.model.plan import Condition, Plan, Risk, Scalar, Step, shell
from samaops.site.site import Site

CODE = "maintenance.images.unused"
# What is left waits for the next night: a command line and a plan stay readable.
MOST_AT_ONCE = 50
REMOVE_SECONDS = 240.0


@reading("docker_images.are_unused", codes=(CODE,))
def are_unused(snapshot: Snapshot, server: str, *identifiers: str) -> Scalar:
    """Return whether all these images are there and no container uses any."""
    images = {image.id: image for image in facts_in(snapshot, ImagesFacts, server).images}
    return all(name in images and not images[name].is_used for name in identifiers)


@reading("docker_images.are_gone", codes=(CODE,))
def are_gone(snapshot: Snapshot, server: str, *identifiers: str) -> Scalar:
    """Return whether none of these images is there any more."""
    return not {image.id for image in facts_in(snapshot, ImagesFacts, server).images} & set(identifiers)


def _looks(site: Site, *servers: str) -> tuple[str, ...]:
    known = tuple(site.containers()) if site.settings.docker else ()
    for name in servers:
        if name not in known:
            text = _("No containers are configured on a server {name!r}")
            raise UsageError(text.format(name=name), hint=consistency.not_one_of(name, known))
    return (CODE,)


@verb("docker cleanup", looks=_looks)
def plan_cleanup(snapshot: Snapshot, site: Site, *servers: str) -> Plan:
    """Plan the removal of images that no container uses and no rollback needs, on one server or on all.

    Without ``servers``, on every server whose engine answers. Guards: the newest images of each repository stay,
    and so does what is younger than the configured age; an image in use is never named, and docker refuses it too.
    """
    chosen = servers or tuple(site.containers()) if site.settings.docker else ()
    steps, silent = [], []
    for server in chosen:
        try:
            facts = facts_in(snapshot, ImagesFacts, server)
        except UnreadableError as error:
            silent.append(str(error))
            continue
        rules = site.settings.maintenance
        images = facts.removable(rules.image_age_hours, rules.releases_kept)
        if images:
            steps.append(_step(server, facts, images[:MOST_AT_ONCE], rules))
    if silent and not steps and len(silent) == len(chosen):
        raise UnavailableError(_("Could not look at the images: {reason}").format(reason=joined(silent)))
    return Plan(
        verb="docker cleanup",
        arguments=servers,
        title=_("Remove the images that nothing uses"),
        target=site.settings.site,
        steps=tuple(steps),
        cures=tuple(
            f"{CODE}@images/{step.operation.server}" for step in steps if _is_all(step, snapshot, site)
        ),
        nothing_to_do=_("every image is used, recent, or needed for a rollback"),
        notes=tuple(silent),
    )


def _is_all(step: Step, snapshot: Snapshot, site: Site) -> bool:
    """Return whether nothing is left for the next night, so that the finding will be gone."""
    rules = site.settings.maintenance
    facts = facts_in(snapshot, ImagesFacts, step.operation.server)
    return len(facts.removable(rules.image_age_hours, rules.releases_kept)) <= MOST_AT_ONCE


def _step(server: str, facts: ImagesFacts, images: Sequence[Image], rules: Maintenance) -> Step:
    identifiers = tuple(image.id for image in images)
    names = tuple(name for image in images for name in image.names)
    hours = min(facts.epoch - image.since for image in images if image.since is not None) / 3600
    title = ngettext(
        "Remove {count} image on {server}, {hours} h old; the newest {kept} of each repository stay",
        "Remove {count} images on {server}, all over {hours} h old; the newest {kept} of each repository stay",
        len(images),
    )
    return Step(
        id="docker.cleanup",
        title=title.format(count=len(images), server=server, hours=f"{hours:.0f}", kept=rules.releases_kept),
        risk=Risk.SAFE,
        operation=shell(f"docker image rm {shlex.join(names)}", server, REMOVE_SECONDS),
        before=(
            Condition(
                "docker_images.are_unused",
                (server, *identifiers),
                True,
                _("no container on {server} uses any of them").format(server=server),
            ),
        ),
        after=(
            Condition(
                "docker_images.are_gone",
                (server, *identifiers),
                True,
                _("none of them is left on {server}").format(server=server),
            ),
        ),
        destroys=_("these images on {server}: {names}; no container and no volume").format(
            server=server, names=", ".join(names)
        ),
        no_undo=_("an image that is gone is pulled or built again when it is needed"),
        servers=(),
    )
