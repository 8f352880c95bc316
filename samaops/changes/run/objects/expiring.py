"""Remove lists of objects that have expired, and what no other list names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from msgspec import convert

from samaops.changes.objects.expiring import EXPIRE, Expiring, unneeded, without
from samaops.changes.run import progress
from samaops.changes.run.objects.copying import store_of
from samaops.changes.run.operations import runs
from samaops.clients.lists import lines, nameless
from samaops.clients.object_store import ObjectStore
from samaops.clients.shells import ShellPool
from samaops.i18n import _
from samaops.model.plan import Operation, Outcome
from samaops.site.site import Site


def _lines(operation: Operation, site: Site) -> tuple[str, ...]:
    backup = site.settings.backup
    directory = backup.objects.directory if backup and backup.objects else ""
    of = convert(operation.arguments, Expiring)
    return tuple(f"rm {directory}/objects/{run}.jsonl.gz" for run in of.runs)


@runs(EXPIRE, lines=_lines)
def expire(operation: Operation, site: Site) -> Outcome:
    """Remove the lists, then what no list names that is left. Raises ClientError."""
    of = convert(operation.arguments, Expiring)
    shells = ShellPool(site.settings)
    try:
        store = store_of(site, shells)
        progress.tell(_("removes {count} lists of objects").format(count=len(of.runs)))
        store.remove([path for run in of.runs for path in (f"objects/{run}.jsonl.gz", f"runs/{run}.json")])
        left = set(store.lists())
        count = store.remove(_unnamed(store, sorted(left)))
    finally:
        shells.close()
    words = _("{lists} lists removed, and {count} files that no other list names")
    return Outcome(
        True, words.format(lists=len(of.runs), count=count), is_seen=True, measured={"files": count}
    )


def _unnamed(store: ObjectStore, left: list[str]) -> Iterator[str]:
    """Yield the files of the copy that no list names."""
    if not left:  # then nothing says what is needed
        return
    lists = {run: partial(store.kept, run) for run in left}
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
