"""A difference that samaops itself has made names its change; one that it did not make does not."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from samaops.changes import verbs
from samaops.config.settings import Settings
from samaops.journal.history import Change, Event
from samaops.model.difference import Difference
from samaops.portraits.made import _PLACES, with_changes
from samaops.site.site import Site

MOMENT = datetime(2026, 1, 31, 2, 0, tzinfo=timezone.utc)
SITE = Site(
    Settings.model_validate(
        {
            "servers": {"workers": {"address": "127.0.0.1"}},
            "celery": {
                "workers": {"worker1": {"server": "workers", "container": "celery_1", "queues": ["a"]}}
            },
        }
    )
)


def change(
    verb: str, name: str, target: str = "", minutes: float = 1, status: str = "verified", **plan: Any
) -> Change:
    at = (MOMENT + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    plan = {"verb": verb, "arguments": [name], "target": target or name, **plan}
    begun = Event(1, at, "id", "begun", None, {"plan": plan, "owner": {}})
    return Change("id", (begun, Event(2, at, "id", "ended", None, {"status": status})))


ROLLED = change("docker roll", "api", steps=[
    {"id": "balancer.drain", "operation": {"arguments": {"member": "c9"}}},
    {"id": "docker.restart", "operation": {"arguments": {"container": "c1", "command": "docker restart c1"}}},
])  # fmt: skip


def test_every_verb_is_one() -> None:
    for verb in _PLACES:
        verbs.find(verb)


@pytest.mark.parametrize(
    ("made", "place", "expected"),
    [
        (change("docker restart", "c1"), "docker/container/c1/started", "id"),
        (change("docker restart", "c1"), "docker/container/c1/image", ""),
        (change("docker restart", "c2"), "docker/container/c1/started", ""),
        (change("docker restart", "c*"), "docker/container/c1/started", ""),
        (change("docker restart", "c1", minutes=-1), "docker/container/c1/started", ""),
        (change("docker restart", "c1", status="failed"), "docker/container/c1/started", ""),
        (ROLLED, "docker/container/c1/started", "id"),
        (ROLLED, "docker/container/c2/started", ""),
        (change("workers restart", "worker1"), "docker/container/celery_1/started", "id"),
        (change("workers restart", "worker2"), "docker/container/celery_1/started", ""),
        (change("queue clear-policy", "low", "ttl-test"), "rabbitmq/policy/ttl-test", "id"),
        (change("queue clear-policy", "low", "ttl-test"), "rabbitmq/effective/low/policy", "id"),
        (change("queue purge", "low"), "rabbitmq/effective/low/policy", ""),
        (change("undo", "20260131-1", "worker1"), "celery/worker/worker1/queues", "id"),
    ],
)
def test_a_change_is_named_where_it_did_something(made: Change, place: str, expected: str) -> None:
    difference = Difference(place, None, "t", None, "x")
    assert with_changes((difference,), (made,), MOMENT, SITE)[0].change == expected
