"""Remove lists of objects that have expired, and what no other list names."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial

from msgspec import convert

from samaops.changes.backup.copy import places
from samaops.changes.objects.expiring import EXPIRE, Expiring, Lists, unneeded, without
from samaops.changes.run import progress
from samaops.changes.run.objects.copying import store_of
from samaops.changes.run.operations import runs
from samaops.clients.lists import lines, nameless
from samaops.clients.object_store import ObjectStore
from samaops.clients.shells import ShellPool
from samaops.i18n import _
from samaops.model.plan import Operation, Outcome
from samaops.site.commands import on_server
from samaops.site.site import Site


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    backup = site.settings.backup
    directory = backup.objects.directory if backup and backup.objects else ""
    of = convert(operation.arguments, Expiring)
    if backup is None or not of.place:
        return tuple(f"rm {directory}/objects/{run}.jsonl.gz" for run in of.runs)
    place = places(backup, of.place)[0]
    lists = (shlex.quote(f"{place.objects_of(site.name)}/objects/{run}.jsonl.gz") for run in of.runs)
    return tuple(on_server(site, place.server or "", f"rm {path}") for path in lists)


@runs(EXPIRE, lines=_lines)
def expire(operation: Operation, site: Site) -> Outcome:
    """Remove the lists, then what no list names that is left. Raises ClientError.

    On another server what a list here names stays too: a copy that was cut off has objects whose list was still to come.
    """
    of = convert(operation.arguments, Expiring)
    shells = ShellPool(site.settings)
    try:
        here = store_of(site, shells)
        store = _store_at(of.place, site, shells) if of.place else here
        progress.tell(_("removes {count} lists of objects").format(count=len(of.runs)))
        store.remove([path for run in of.runs for path in (f"objects/{run}.jsonl.gz", f"runs/{run}.json")])
        count = store.remove(_unnamed(store, _lists(store, here, of)))
    finally:
        shells.close()
    words = _("{lists} lists removed, and {count} files that no other list names")
    return Outcome(
        True, words.format(lists=len(of.runs), count=count), is_seen=True, measured={"files": count}
    )


def _store_at(name: str, site: Site, shells: ShellPool) -> ObjectStore:
    backup = site.settings.backup
    assert backup is not None
    place = places(backup, name)[0]
    return ObjectStore(shells.of(place.server or ""), place.objects_of(site.name), "", backup.timeout)


def _lists(store: ObjectStore, here: ObjectStore, of: Expiring) -> Lists:
    """Return how each list is read that says what is needed; none where nothing does. Raises ClientError."""
    lists: Lists = {run: partial(store.kept, run) for run in store.lists()}
    if store is here or not lists:
        return lists
    ours = {run: partial(here.kept, run) for run in here.lists() if run not in of.runs}
    return {**ours, **lists}


def _unnamed(store: ObjectStore, lists: Lists) -> Iterator[str]:
    """Yield the files of the copy that no list names."""
    if not lists:  # then nothing says what is needed
        return
    gone, is_newest = unneeded(lists, store.replaced())
    yield from (f"generations/{run}/{path}" for run, path in sorted(gone))
    rest = nameless()
    for path, _size in store.files():
        rest.write(path.encode() + b"\n")
    sums: set[str] = set(store.noted_sums())
    for run, read in lists.items():
        needed = (kept.path for kept in read() if not kept.is_odd and is_newest(run, kept.path))
        still = nameless()
        for path in without(lines(rest), needed):
            still.write(path.encode() + b"\n")
        rest = still
        sums.update(kept.sha256 for kept in read() if kept.is_odd)
    yield from (f"current/{path}" for path in lines(rest))
    yield from (f"odd/{name}" for name, _size in store.files("odd") if name not in sums)
