"""Put objects back as they were: what is missing or different as of a run. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from samaops.changes.readings import facts_in
from samaops.changes.verbs import verb
from samaops.errors import RefusedError, UsageError
from samaops.facts.objects import WHOLE, ObjectCopyFacts, ObjectDifferences, ObjectRun
from samaops.facts.observation import Snapshot
from samaops.i18n import _
from samaops.model.plan import Operation, Plan, Risk, Step
from samaops.model.quantities import size
from samaops.site.site import Site

PROVE, RESTORE, PUT_BACK = "objects.prove", "objects.restore", "objects.put_back"
RUNS = ("backup.objects.old",)


class Part(Struct, frozen=True):
    """Which objects: those of a bucket (all where it is empty) whose names begin so."""

    bucket: str = ""
    prefix: str = ""

    def holds(self, bucket: str, key: str) -> bool:
        """Return whether an object is among them."""
        return self.bucket in ("", bucket) and key.startswith(self.prefix)


class Restoring(Struct, frozen=True):
    """What is put back: of which run; ``id`` names this work, ``most_different`` is how many may be overwritten."""

    id: str
    run: str
    part: Part
    most_different: int = 0


def chosen(runs: tuple[ObjectRun, ...], asked: str) -> ObjectRun:
    """Return the run that is meant: by its id or the beginning of it, or the last of a day or before; else the newest.

    Raises UsageError, RefusedError where there is none.
    """
    whole = [run for run in runs if run.state == WHOLE]
    if not whole:
        raise RefusedError(_("there is no copy of the objects yet"))
    if not asked:
        return whole[0]
    named = [run for run in whole if run.id.startswith(asked)]
    if len(named) == 1 or (named and not _is_day(asked)):
        if len(named) > 1:
            raise UsageError(_("{asked} is the beginning of several runs").format(asked=asked))
        return named[0]
    if not _is_day(asked):
        raise UsageError(_("there is no whole copy {asked}").format(asked=asked))
    until = [run for run in whole if run.started_at[:10] <= asked]
    if not until:
        text = _("there is no copy of {asked} or before; the first is of {first}")
        raise UsageError(text.format(asked=asked, first=whole[-1].started_at[:10]))
    return until[0]


def _is_day(words: str) -> bool:
    parts = words.split("-")
    return [len(part) for part in parts] == [4, 2, 2] and all(part.isdigit() for part in parts)


def _typed(as_of: str = "", bucket: str = "", prefix: str = "") -> tuple[str, ...]:
    options = (("--as-of", as_of), ("--bucket", bucket), ("--prefix", prefix))
    return tuple(word for name, value in options if value for word in (name, value))


@verb("restore objects", looks=RUNS, typed=_typed)
def plan_restore_objects(
    snapshot: Snapshot, site: Site, as_of: str = "", bucket: str = "", prefix: str = ""
) -> Plan:
    """Plan that objects are put back. Guards: the run is whole, the copy was compared, nobody works on it."""
    copied = facts_in(snapshot, ObjectCopyFacts)
    run = chosen(copied.runs, as_of)
    seen = facts_in(snapshot, ObjectDifferences)
    if seen.run != run.id:
        raise RefusedError(_("a newer copy was made meanwhile: look again"))
    if copied.is_busy:
        raise RefusedError(_("another samaops works on the copy of the objects"))
    backup = site.settings.backup
    assert backup is not None
    title = _("Put objects back as of {run} ({time})").format(run=run.id, time=run.started_at)
    plan = Plan("restore objects", (as_of, bucket, prefix), title, target=bucket or backup.server)
    count = seen.missing + seen.different
    if not count:
        words = _("all {count} objects are as they were then").format(count=seen.same)
        return replace(plan, nothing_to_do=words)
    wanted = Restoring(seen.id, run.id, Part(bucket, prefix), seen.different)
    server, seconds = backup.server, backup.timeout
    prove = Step(
        "objects.prove",
        _("Lay {count} objects together and see that their sums are right").format(count=count),
        Risk.SAFE,
        operation=Operation(PROVE, to_builtins(wanted), server, seconds),
        before=(),
        after=(),
        no_undo=_("it changes nothing in the storage"),
        servers=_servers(site),
    )
    restore = Step(
        "objects.restore",
        title,
        Risk.DISRUPTIVE if seen.different else Risk.SAFE,
        operation=Operation(RESTORE, to_builtins(wanted), server, seconds),
        before=(),
        after=(),
        undo=Operation(PUT_BACK, to_builtins(wanted), server, seconds),
        undo_restores=_("what was overwritten is as it was before; what was missing stays"),
        servers=_servers(site),
    )
    notes = tuple(_notes(seen))
    # What is damaged in the copy is no reason to leave out the rest.
    return replace(plan, steps=(prove, restore), notes=notes, steps_stand_alone=True)


def _servers(site: Site) -> tuple[str, ...]:
    return (site.settings.minio.server,) if site.settings.minio else ()


def _notes(seen: ObjectDifferences) -> Iterator[str]:
    if seen.missing:
        text = _("{count} objects are missing and come back: {size}")
        yield text.format(count=seen.missing, size=size(seen.missing_bytes))
    if seen.different:
        text = _("{count} objects are different and are overwritten: {size}; as they are now they are kept")
        yield text.format(count=seen.different, size=size(seen.different_bytes))
    text = _("{same} are as they were then; {extra} that were not there then stay: nothing is deleted")
    yield text.format(same=seen.same, extra=seen.extra)
    if seen.missing_buckets:
        yield _("made anew: {names}").format(names=", ".join(seen.missing_buckets))
    if seen.examples:
        yield _("for instance {names}").format(names=", ".join(seen.examples))
