"""Roots among the objects of MinIO, which the copy of them tells."""

from __future__ import annotations

from samaops.causes.effects import codes
from samaops.causes.root import Rank, Root, disruptive, root, safe, words_of
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import samaops


@root(
    "objects-lost",
    on="backup.objects.lost",
    rank=Rank.STATE,
    effects=codes("backup.objects.failed", "backup.objects.old", "minio.bucket.missing"),
)
def objects_lost(finding: Finding, view: View) -> Root:
    """Somebody emptied a bucket, or replaced much of it: the copy has it, and took none of that over."""
    emptied = finding.evidence.get("emptied")
    names = ", ".join(map(str, emptied)) if isinstance(emptied, list) else ""
    if names:
        title = _("{buckets} was emptied; the copy has its objects").format(buckets=names)
    else:
        title = _("Many objects were deleted or replaced; the copy has them as they were")
    look = samaops(view.site, "restore objects --dry-run")
    back = samaops(view.site, "restore objects")
    return Root(
        title,
        (
            safe("objects.look", _("See what is missing or different; nothing is changed"), look),
            disruptive(
                "objects.restore",
                _(
                    "First take the key away from whoever did it; then put the objects back, nothing is deleted"
                ),
                back,
            ),
        ),
        speaks_for=(words_of(finding),),
    )
