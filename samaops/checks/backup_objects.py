"""Judge the copy of the objects: is it young, and did the source lose what the copy still has."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access_check, check
from samaops.facts.objects import FAILED, STARTED, STOPPED, ObjectCopyFacts, ObjectRun
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.quantities import duration, size
from samaops.site.commands import samaops

HOUR_SECONDS = 3600.0


@access_check("backup.objects.unreadable", ObjectCopyFacts)
def readable(copied: ObjectCopyFacts, context: Context) -> Iterator[Finding]:
    evidence = {"directory": copied.directory, "free_bytes": copied.free_bytes, "runs": len(copied.runs)}
    if not copied.exists:
        title = _("There is no copy of the objects: {directory} is not there").format(
            directory=copied.directory
        )
        yield context.crit(title, evidence=evidence, hint=_again(context))
        return
    title = _("{directory} has {count} runs of the copy of the objects")
    yield context.ok(title.format(directory=copied.directory, count=len(copied.runs)), evidence=evidence)


# As for the database: two hours of a slow night, two nights without any.
@check("backup.objects.old", ObjectCopyFacts, warning=26, critical=50, unit="h")
def age(copied: ObjectCopyFacts, context: Context) -> Iterator[Finding]:
    if not copied.exists:
        return  # backup.objects.unreadable speaks
    newest = copied.newest
    if newest is None:
        title = _("No copy of the objects was made to its end")
        yield context.crit(title, evidence={"runs": len(copied.runs)}, hint=_again(context))
        return
    seconds = copied.epoch - newest.epoch
    if seconds < -HOUR_SECONDS:
        title = _(
            "The newest copy of the objects, {run}, is dated {time} in the future: how old it is is not known"
        )
        title = title.format(run=newest.id, time=duration(-seconds))
        yield context.unknown(title, evidence={"run": newest.id}, hint=_again(context))
        return
    seconds = max(0.0, seconds)
    title = _("The newest copy of the objects is {age} old: {run}, {count} objects, {size}").format(
        age=duration(seconds), run=newest.id, count=newest.objects, size=size(newest.bytes)
    )
    evidence = {"run": newest.id, "objects": newest.objects, "bytes": newest.bytes}
    yield context.above(round(seconds / HOUR_SECONDS, 1), title, evidence=evidence, hint=_again(context))


@check("backup.objects.lost", ObjectCopyFacts, needs=("emptied",))
def lost(copied: ObjectCopyFacts, context: Context) -> Iterator[Finding]:
    last, newest = _last_ended(copied), copied.newest
    if last is None or newest is None:
        return
    evidence = {
        "run": last.id,
        "reason": last.reason,
        "newest": newest.id,
        "emptied": list(copied.emptied or ()),
    }
    restore = samaops(context.site, "restore objects --dry-run")
    if copied.emptied:
        text = _("{buckets}: no object is left of the {count} that {run} has")
        count = sum(newest.buckets[name].objects for name in copied.emptied if name in newest.buckets)
        title = text.format(buckets=", ".join(copied.emptied), count=count, run=newest.id)
        yield context.crit(title, value=count, evidence=evidence, hint=restore)
    elif last.state == STOPPED:
        title = _("The storage lost objects that the copy still has: {reason}").format(reason=last.reason)
        detail = _("The copy stopped, and kept all it has.")
        yield context.crit(title, detail=detail, evidence=evidence, hint=restore)
    elif copied.emptied is None:
        yield context.skipped(_("the storage was not asked"))
    else:
        yield context.ok(_("The storage has what the last copy of the objects expected"), evidence=evidence)


@check("backup.objects.failed", ObjectCopyFacts)
def failed(copied: ObjectCopyFacts, context: Context) -> Iterator[Finding]:
    last = _last_ended(copied)
    if last is None:
        return
    evidence = {"run": last.id, "state": last.state, "reason": last.reason, "left_out": list(last.left_out)}
    if last.state == FAILED:
        title = _("The last copy of the objects failed: {reason}").format(reason=last.reason)
        yield context.warn(title, evidence=evidence, hint=_again(context))
    elif last.left_out:
        title = _("The last copy of the objects left some out: {names}").format(names=last.left_out[0])
        yield context.warn(title, evidence=evidence, value=len(last.left_out), hint=_again(context))
    else:
        yield context.ok(_("The last copy of the objects left nothing out"))


def _last_ended(copied: ObjectCopyFacts) -> ObjectRun | None:
    """Return the newest run that says how it ended; one that goes on, or was killed, says nothing."""
    return next((run for run in copied.runs if run.state != STARTED), None)


def _again(context: Context) -> str:
    return samaops(context.site, "backup objects")
