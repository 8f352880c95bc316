"""Differences speak for the causes that they can bring about, and for no others."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from samaops.causes import graph
from samaops.causes.suspects import SUSPECTS, suspects_of, with_differences
from samaops.config.settings import Settings
from samaops.model.cause import Cause, Verdict
from samaops.model.difference import Comparison, Difference
from samaops.portraits.compare import _THINGS
from samaops.site.site import Site

SITE = Site(
    Settings.model_validate(
        {
            "servers": {"api": {"address": "127.0.0.1"}, "workers": {"address": "127.0.0.2"}},
            "redis": {"container": "redis_1"},
            "celery": {
                "workers": {"worker1": {"server": "workers", "container": "celery_1", "queues": ["a"]}}
            },
        }
    )
)
MOMENT = datetime(2026, 1, 31, 2, 10, tzinfo=timezone.utc)


def difference(place: str) -> Difference:
    return Difference(place, None, place, None, "x")


def cause(identifier: str, subject: str) -> Cause:
    return Cause(identifier, None, Verdict.PROBABLE, subject, "title", speaks_for=("seen",))


def test_every_suspect_is_of_a_cause_that_there_is() -> None:
    declared = {name for declaration in graph.DECLARATIONS for name in declaration.ids}
    assert SUSPECTS.keys() <= declared


def test_every_pattern_is_of_a_kind_that_there_is() -> None:
    kinds = {*_THINGS, *(f"{place.partition('/')[0]}/service" for place in _THINGS)}
    systems = {place.partition("/")[0] for place in _THINGS}
    for pattern in {pattern for patterns in SUSPECTS.values() for pattern in patterns}:
        system, kind = pattern.split("/")[:2]
        if system == "{system}":
            assert kind in {place.partition("/")[2] for place in kinds}, pattern
        else:
            assert f"{system}/{kind}" in kinds or (kind == "*" and system in systems), pattern


@pytest.mark.parametrize(
    ("identifier", "subject", "place", "fits"),
    [
        ("messages-dropped", "rabbitmq/low", "rabbitmq/policy/ttl-test", True),
        ("messages-dropped", "rabbitmq/low", "rabbitmq/effective/low/policy", True),
        ("messages-dropped", "rabbitmq/low", "rabbitmq/effective/other/policy", False),
        ("messages-dropped", "rabbitmq/[a]*", "rabbitmq/effective/[a]*/policy", True),
        ("messages-dropped", "rabbitmq/low", "redis/setting/maxmemory", False),
        ("login-refused", "postgresql/db", "postgresql/role/samaconso_user/log-in", True),
        ("login-refused", "postgresql/db", "rabbitmq/user/samaconso_admin", False),
        ("worker-down", "celery/worker1", "docker/container/celery_1/environment A", True),
        ("worker-down", "celery/worker1", "docker/container/celery_2/environment A", False),
        ("worker-down", "celery/worker9", "docker/container/celery_1/environment A", False),
        ("redis-memory-full", "redis/workers", "docker/container/redis_1/memory limit", True),
        ("container-stopped", "docker/c", "docker/container/c", True),
        ("poison-message", "rabbitmq/low", "rabbitmq/policy/ttl-test", False),
    ],
)
def test_a_difference_fits_by_what_it_can_bring_about(
    identifier: str, subject: str, place: str, fits: bool
) -> None:
    assert bool(suspects_of(cause(identifier, subject), (difference(place),), SITE)) == fits


def test_what_fits_speaks_for_the_cause_with_its_time() -> None:
    differences = (
        Difference("rabbitmq/policy/a", "api", "policy a is new", None, "x", at=MOMENT.replace(minute=30)),
        Difference("rabbitmq/policy/b", "api", "policy b is new", None, "x", change="20260131-1"),
        difference("redis/setting/maxmemory"),
    )
    comparison = Comparison(MOMENT, differences)
    now = MOMENT.replace(hour=23)
    (explained,) = with_differences((cause("messages-dropped", "rabbitmq/low"),), comparison, now, SITE)
    clocks = [moment.astimezone().strftime("%H:%M") for moment in (MOMENT.replace(minute=30), MOMENT)]
    assert explained.speaks_for == (
        "seen",
        f"since {clocks[0]}: policy a is new",
        f"since the last well look ({clocks[1]}): policy b is new (changed by samaops, 20260131-1)",
    )
