"""Compare the rows of a restored database with the copy of the objects: what they point to must be in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from samaops.changes.objects.comparing import shown, together
from samaops.changes.restoring.work import backup_of
from samaops.changes.run import progress
from samaops.changes.run.restoring import Workshop
from samaops.clients.errors import ClientError
from samaops.clients.lists import nameless
from samaops.clients.object_store import ObjectStore
from samaops.facts.backup_run import Manifest
from samaops.i18n import _, ngettext

_MOST_NAMED = 3


def missing(
    at: Workshop, into: str, manifest: Manifest | None, seconds: float, remarks: list[str]
) -> Iterator[str]:
    """Yield, for each query of [backup.drill] references, how many of its objects are in no copy, with some of them.

    ``remarks`` gets how many were found, or why nothing was compared. Raises ClientError where the list cannot be read.
    """
    backup = backup_of(at.site)
    queries = backup.drill.references
    if not queries:
        return
    if manifest is None or manifest.objects is None or backup.objects is None:
        remarks.append(_("rows were not compared with objects: no copy of the objects goes with this backup"))
        return
    store = ObjectStore(at.store.shell, backup.objects.directory.rstrip("/"), backup.os_user, backup.timeout)
    for number, query in enumerate(queries, 1):
        progress.tell(_("compares the rows of {into} with the objects").format(into=into))
        answer = nameless()
        try:
            at.server.stream("references", {"query": query.rstrip("; \n")}, into, seconds, answer.write)
            count, absent, found = _compared(_paths(answer), store, manifest.objects)
        except ClientError as error:
            yield f"[backup.drill] references {number}: {error.message}"
            continue
        finally:
            answer.close()
        if count:
            text = ngettext(
                "rows point to {count} object that is not in the copy: {names}",
                "rows point to {count} objects that are not in the copy: {names}",
                count,
            )
            yield text.format(count=count, names=", ".join(map(shown, absent)))
        else:
            text = ngettext(
                "{count} object to which rows point is in the copy",
                "{count} objects to which rows point are in the copy",
                found,
            )
            remarks.append(text.format(count=found))


def _paths(answer: BinaryIO) -> Iterator[str]:
    answer.seek(0)
    for line in answer:
        if line.strip():
            yield str(json.loads(line))


def _compared(paths: Iterator[str], store: ObjectStore, run: str) -> tuple[int, list[str], int]:
    """Return how many paths are in no copy, some of them, and how many are."""
    absent: list[str] = []
    count = found = 0
    for path, wanted, kept in together(paths, store.kept(run), str):
        if wanted is None:
            continue
        if kept is not None:
            found += 1
            continue
        count += 1
        if len(absent) < _MOST_NAMED:
            absent.append(path)
    return count, absent, found
