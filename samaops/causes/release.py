"""Roots in the releases: not all of one, and no way back."""

from __future__ import annotations

from collections.abc import Mapping

from samaops.causes.effects import OfSite, codes
from samaops.causes.root import Rank, Root, disruptive, root, safe
from samaops.causes.topology import CONTAINER_GONE, effects_of_container
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import samaops
from samaops.site.site import Site


def _leads_elsewhere(finding: Finding) -> bool:
    """Return whether a container's environment leads to another service, or lacks what its peers have.

    A variable that it alone has may be one that its image brings, such as its version: that leads nowhere.
    """
    if not finding.evidence.get("points"):
        return False
    rows = [row for row in finding.evidence.get("differences") or () if isinstance(row, Mapping)]
    telling = [row for row in rows if row.get("points", True)]
    return not rows or any(not (row.get("part") == "presence" and row.get("own")) for row in telling)


def _points_nowhere(finding: Finding) -> bool:
    return not _leads_elsewhere(finding)


_ONE_RELEASE = codes("release.running.differs", "docker.image.differs", "api.version.differs")
# How a member fails whose release is bad: it answers errors, ends again and again, or does not come up. That its port is
# closed says nothing by itself: a container that was started a moment ago is so too, and Docker tells when it is too long.
_FAILS = (
    "api.health.*",
    "docker.container.restarting",
    "docker.container.unhealthy",
    "docker.container.stopped",
)


def _of_all(_finding: Finding, _site: Site) -> tuple[()]:
    return ()  # the function says of which members


@root(
    "bad-release",
    on="release.running.differs",
    rank=Rank.ENGINE,
    runbook="api-down",
    effects=OfSite(_of_all, (*_ONE_RELEASE, *codes("docker.container.environment"), *CONTAINER_GONE.shown)),
    distinguished_from=("releases-differ", "api-unhealthy", "environment-differs"),
)
def bad_release(finding: Finding, view: View) -> Root | None:
    """A member fails, its peer serves, and what tells them apart is their release: nothing else was seen to."""
    members = {member.name: member for member in view.site.members() if member.container}
    failing = {
        name
        for name, member in members.items()
        for code in _FAILS
        for witness in view.bad(code)
        if witness.subject in (f"api/{name}", f"docker/{member.container}")
    }
    serving = {
        name
        for name in members
        for witness in view.ok("api.health.failing")
        if witness.subject == f"api/{name}"
    }
    images = {name: finding.evidence.get(str(member.container)) for name, member in members.items()}
    good, bad = ({images[name] for name in names} for names in (serving - failing, failing))
    if not good or not bad or None in good | bad or good & bad:
        return None
    containers = [str(members[name].container) for name in sorted(failing)]
    if any(
        _leads_elsewhere(differing) and differing.subject == f"docker/{container}"
        for differing in view.bad("docker.container.environment")
        for container in containers
    ):
        return None  # that is enough to fail
    names = ", ".join(sorted(failing))
    title = _("The release of {names} is bad: it fails, and those with another release serve")
    text = _("Bring all back to the release that serves; look first whether the database lets you")
    check = samaops(view.site, "rollback check")
    back = samaops(view.site, "rollback app")
    witnesses = [
        witness.title
        for code in _FAILS
        for witness in view.bad(code)
        if witness.subject in {f"api/{name}" for name in failing} | {f"docker/{name}" for name in containers}
    ]
    well = (
        witness.title
        for witness in view.ok("api.health.failing")
        if witness.subject.partition("/")[2] in serving
    )
    return Root(
        title.format(names=names),
        (disruptive("release.back", text, check, back),),
        subject=f"api/{min(failing)}",
        speaks_for=(finding.title, *witnesses[:3], *well),
        effects=(
            *_ONE_RELEASE,
            *(effect for container in containers for effect in effects_of_container(view.site, container)),
            *codes("docker.container.environment", when=_points_nowhere),
        ),
    )


@root(
    "releases-differ",
    on="release.running.differs",
    rank=Rank.CONTAINER,
    runbook="api-down",
    effects=(
        *codes("docker.image.differs", "api.version.differs"),
        # An image brings variables of its own, such as its version; one that leads elsewhere is none of these.
        *codes("docker.container.environment", when=_points_nowhere),
    ),
)
def releases_differ(_finding: Finding, view: View) -> Root:
    """A deployment or a way back has ended half-way."""
    text = _("See which releases there are, and bring all to one: finish the deployment, or go back")
    commands = (samaops(view.site, "release list"), samaops(view.site, "rollback check"))
    return Root(fixes=(safe("release.one", text, *commands),))


@root(
    "rollback-impossible",
    on="release.rollback.impossible",
    rank=Rank.PART,
    effects=codes("release.kept.incomplete"),
)
def rollback_impossible(_finding: Finding, view: View) -> Root:
    """The image is gone, or the database has gone on without a way down."""
    text = _("See why, and to which releases there is a way; before the next deployment: release begin")
    return Root(fixes=(safe("rollback.check", text, samaops(view.site, "rollback check")),))


@root("release-not-kept", on="release.kept.incomplete", rank=Rank.REMAINDER, effects=())
def release_not_kept(_finding: Finding, view: View) -> Root:
    """A prune, or a hand, has taken something of what keeps a release."""
    text = _("Make it whole again: an image that is gone comes back from its file")
    return Root(fixes=(safe("release.record", text, samaops(view.site, "release record")),))
