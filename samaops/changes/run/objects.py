"""Copy the objects, as a step of a plan."""

from __future__ import annotations

from samaops.changes.objects.copying import COPY
from samaops.changes.run import progress
from samaops.changes.run.object_copy import new_id, take
from samaops.changes.run.operations import runs
from samaops.facts.objects import WHOLE, ObjectRun
from samaops.i18n import _, joined
from samaops.model.plan import Operation, Outcome
from samaops.model.quantities import size
from samaops.site.site import Site

_MOST_NAMED = 5


def _lines(_operation: Operation, site: Site) -> tuple[str, ...]:
    backup = site.settings.backup
    directory = backup.objects.directory if backup and backup.objects else ""
    return (f"rclone copy minio: {directory}/incoming --files-from-raw LIST --no-traverse",)


@runs(COPY, lines=_lines)
def run_copy(_operation: Operation, site: Site) -> Outcome:
    """Take a copy, and say how it ended. Raises ClientError."""
    run = take(site, new_id(), progress.tell)
    if run.state != WHOLE:
        return Outcome(False, run.reason, is_seen=True)
    return Outcome(True, said(run), is_seen=True, measured={"objects": run.objects, "bytes": run.bytes})


def said(run: ObjectRun) -> str:
    """Return what a run brought, in a sentence."""
    counts = [(each.new, each.replaced, each.gone) for each in run.buckets.values()]
    new, replaced, gone = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0, 0)
    text = _("{run}: {count} objects, {size}; {new} new, {replaced} replaced, {gone} gone at the source")
    words = [text.format(run=run.id, count=run.objects, size=size(run.bytes), new=new, replaced=replaced, gone=gone)]  # fmt: skip
    if run.left_out:
        left = _("left out: {names}")
        words.append(left.format(names=joined(run.left_out[:_MOST_NAMED])))
    return joined(words)
