"""Which differences a change of samaops itself has made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from glob import escape

from msgspec.structs import replace

from samaops.journal.history import DONE, Change
from samaops.model.difference import Difference
from samaops.site.site import Site

# By verb, the places in which it changes something; {name} is what it was asked for, {container} where that runs.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "queue clear-policy": ("rabbitmq/policy/{name}", "rabbitmq/effective/{name}/policy"),
    "queue set-watermark": ("rabbitmq/node/{name}/memory limit",),
    "workers add-queue": ("celery/worker/{name}/queues",),
    "workers restart": ("docker/container/{container}/started",),
    "docker restart": ("docker/container/{name}/started",),
    "docker roll": ("docker/container/{name}/started",),
}


def with_changes(
    differences: Iterable[Difference], changes: Iterable[Change], since: datetime, site: Site
) -> tuple[Difference, ...]:
    """Return the differences; one that a change since then has made names it. ``changes`` are newest first."""
    made = [
        (change.id, pattern)
        for change in changes
        if datetime.fromisoformat(change.began_at) >= since and change.status(None) in DONE
        for pattern in _patterns(change, site)
    ]
    return tuple(
        replace(
            difference,
            change=next((number for number, pattern in made if fnmatchcase(difference.place, pattern)), ""),
        )
        for difference in differences
    )


def _patterns(change: Change, site: Site) -> Iterable[str]:
    """Yield the places of a change; taking back one changes what that one did, whichever it was."""
    verb = str(change.plan["verb"])
    places = (
        [place for of_one in _PLACES.values() for place in of_one]
        if verb == "undo"
        else _PLACES.get(verb, ())
    )
    names = (
        *change.plan["arguments"],
        change.plan["target"],
        *(_rolled(change) if verb == "docker roll" else ()),
    )
    for name in dict.fromkeys(names):
        worker = site.worker(str(name))
        container = worker.container if worker else None
        for place in places:
            if container or "{container}" not in place:
                yield place.format(name=escape(str(name)), container=escape(container or ""))


def _rolled(change: Change) -> Iterable[str]:
    """Yield the containers that were restarted by turns: its arguments name none."""
    for step in change.plan["steps"]:
        if step["id"] == "docker.restart":
            yield str(step["operation"]["arguments"]["container"])
