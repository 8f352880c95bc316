"""Roots in the releases: not all of one, and no way back."""

from __future__ import annotations

from samaops.causes.effects import codes
from samaops.causes.root import Rank, Root, root, safe
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import samaops


def _points_nowhere(finding: Finding) -> bool:
    """Return whether a container's environment differs in what leads to no other service."""
    return not finding.evidence.get("points")


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
