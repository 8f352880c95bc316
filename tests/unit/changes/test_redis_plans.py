"""What is planned for Redis: within its container and its server, in slices, exported first, and never a broker's keys."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.redis.keys import MOST_BYTES, MOST_KEY_BYTES, Expiring, Taking
from samaops.changes.run.operations import lines
from samaops.config.settings import Settings
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Observation
from samaops.facts.redis import KeysOf, RedisClientSeen, WaitingTasks
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes import test_notification_plans as notifications
from tests.unit.changes.test_plans import CONTAINER, snapshot
from tests.unit.checks.judged import with_fields
from tests.unit.checks.judging import seen
from tests.unit.checks.test_redis import FULL, HEALTHY, MB

CLIENT = RedisClientSeen(42, "10.0.0.7:41234", "api", "N", 12, "get")
SETTINGS = Settings.model_validate(
    {
        "servers": {"workers": {"address": "10.0.0.3"}},
        "redis": {},
        "rabbitmq": {"server": "workers"},
        "docker": {"containers": {"workers": ["samaconso_redis"]}},
    }
)


def chosen(word: str, matched: int = 100, **changes: Any) -> KeysOf:
    """Return what a word takes: small keys without expiry."""
    keys = KeysOf(word, matched, matched, matched, matched, matched * 1000, 1000, is_complete=True)
    return replace(keys, **changes)


def observed(fields: dict[str, Any] | None = None, **changes: Any) -> Observation:
    facts = with_fields(HEALTHY, fields or {})
    return seen("redis/workers", replace(facts, **changes), "workers")


def with_room(
    limit: int = 4096, available: int = 6000, fields: dict[str, Any] | None = None
) -> tuple[Observation, ...]:
    """Return a Redis in a container of so many MB, on a server with so many to spare; wherever it is."""
    container = replace(CONTAINER, name="samaconso_redis", memory_limit=limit * MB)
    engine = DockerFacts(1.0, 8192 * MB, (), (container,), None, None)
    return (
        observed(fields),
        *(
            observation
            for server in ("workers", "flower")
            for observation in (
                seen(f"docker/{server}", engine, server),
                notifications.server(server, available * MB),
            )
        ),
    )


def planned(verb: str, *words: str, given: tuple[Observation, ...]) -> Plan:
    found = verbs.find(verb)
    site = Site(SETTINGS)
    found.codes(site, words)
    return found.plan(snapshot(*given), site, words)


def test_a_higher_limit_is_set_where_container_and_server_have_it_and_both_are_shown() -> None:
    plan = planned("redis set-maxmemory", "3500mb", given=with_room())
    (step,) = plan.steps
    assert lines(step.operation, Site(SETTINGS)) == (
        f"samaops redis cli -- CONFIG SET maxmemory {3500 * MB}",
    )
    assert step.undo is not None
    assert lines(step.undo, Site(SETTINGS)) == (f"samaops redis cli -- CONFIG SET maxmemory {3000 * MB}",)
    assert step.risk is Risk.SAFE
    assert "its container samaconso_redis: 4.0 GB; workers: 5.9 GB free of" in plan.notes[0]


@pytest.mark.parametrize(
    ("amount", "given", "said"),
    [
        ("4gb", with_room(), "the container samaconso_redis may use 4.0 GB.*at most 3.6 GB"),
        ("3500mb", with_room(available=1000), "workers has 1000 MB of memory to spare"),
        ("500mb", with_room(), "Redis holds 1000 MB already"),
    ],
)
def test_a_limit_that_does_not_fit_is_refused(amount: str, given: tuple[Observation, ...], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        planned("redis set-maxmemory", amount, given=given)


def test_a_limit_is_not_set_where_the_container_could_not_be_seen() -> None:
    with pytest.raises(UnavailableError):
        planned("redis set-maxmemory", "3500mb", given=(observed(),))


@pytest.mark.parametrize("amount", ["much", "-1", "0", "3tb", "2 gb x"])
def test_what_is_no_amount_of_memory_is_refused(amount: str) -> None:
    with pytest.raises(UsageError):
        planned("redis set-maxmemory", amount, given=with_room())


def test_a_full_redis_is_not_forbidden_to_evict() -> None:
    with pytest.raises(RefusedError, match="has nothing to evict"):
        planned("redis set-policy", "noeviction", given=(observed(FULL),))
    with pytest.raises(RefusedError, match="has nothing to evict"):
        planned("redis set-policy", "volatile-lru", given=(observed({**FULL, "keys_with_expiry": 0}),))
    assert planned("redis set-policy", "volatile-lru", given=(observed(FULL),)).risk is Risk.DISRUPTIVE


def test_an_expiry_goes_to_all_that_begin_so_and_says_where_their_names_are_kept() -> None:
    plan = planned("redis expire", "cache:", "3600", given=(observed(chosen=chosen("cache:*")),))
    (step,) = plan.steps
    expiring = convert(step.operation.arguments, Expiring)
    assert (expiring.word, expiring.after, expiring.rate) == ("cache:*", 3600, 5000)
    assert "redis-cache__" in expiring.file
    assert step.undo is not None
    assert step.undo.arguments == {"file": expiring.file}
    assert step.is_undo_final
    assert "100 keys, 100 of them without expiry" in plan.notes[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (observed(chosen=chosen("cache:*", no_expiry=0)), "is without expiry"),
        (observed(chosen=chosen("cache:*", 0)), "is without expiry"),
    ],
)
def test_keys_that_all_expire_need_nothing(given: Observation, said: str) -> None:
    plan = planned("redis expire", "cache:", given=(given,))
    assert plan.steps == ()
    assert said in plan.nothing_to_do


def test_that_no_key_is_without_expiry_is_not_said_before_all_were_seen() -> None:
    half = chosen("cache:*", no_expiry=0, is_complete=False)
    with pytest.raises(UnavailableError, match="no time to look through all keys"):
        planned("redis expire", "cache:", given=(observed(chosen=half),))


def test_an_older_redis_could_not_tell_our_expiry_from_others() -> None:
    with pytest.raises(RefusedError, match="Redis 6"):
        planned("redis expire", "cache:", given=(observed(version="6.2.1", chosen=chosen("cache:*")),))


@pytest.mark.parametrize("verb", ["redis expire", "redis unlink"])
@pytest.mark.parametrize("word", ["celery", "unacked*", "_kombu.binding.celery", "normal*"])
def test_what_waits_in_a_broker_is_never_touched(verb: str, word: str) -> None:
    with pytest.raises(RefusedError, match="tasks wait in them"):
        planned(verb, word, given=(observed(chosen=chosen(word)),))


@pytest.mark.parametrize(
    ("verb", "word"), [("redis expire", ""), ("redis expire", "*"), ("redis unlink", "*")]
)
def test_what_would_take_all_keys_is_refused(verb: str, word: str) -> None:
    with pytest.raises(UsageError, match="redis flush"):
        planned(verb, word, given=(observed(chosen=chosen("*")),))


def test_a_key_is_exported_before_it_goes_and_its_name_must_be_typed() -> None:
    plan = planned("redis unlink", "big", given=(observed(chosen=chosen("big", 1)),))
    (step,) = plan.steps
    taking = convert(step.operation.arguments, Taking)
    assert (plan.target, step.risk, taking.word) == ("big", Risk.DESTRUCTIVE, "big")
    assert taking.file in step.destroys
    assert lines(step.operation, Site(SETTINGS))[0].endswith(" -- DUMP big")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (chosen("a*", largest_bytes=MOST_KEY_BYTES + 1), "could not be exported in one piece"),
        (chosen("a*", bytes=MOST_BYTES + 1), "are too much for one file"),
    ],
)
def test_what_is_too_large_to_be_exported_stays(keys: KeysOf, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        planned("redis unlink", "a*", given=(observed(chosen=keys),))


def test_all_keys_go_only_where_no_task_waits_among_them() -> None:
    plan = planned("redis flush", given=(observed(chosen=chosen("*")),))
    assert (plan.target, plan.risk) == ("db0", Risk.DESTRUCTIVE)
    waiting = observed(chosen=chosen("*"), backlog=(WaitingTasks("celery", 7),))
    with pytest.raises(RefusedError, match="7 tasks wait in Redis"):
        planned("redis flush", given=(waiting,))


def test_a_client_is_ended_by_its_id_or_its_address_and_no_replica_is() -> None:
    for word in ("42", "10.0.0.7:41234"):
        (step,) = planned("redis kill-client", word, given=(observed(clients=(CLIENT,)),)).steps
        assert tuple(step.operation.arguments["words"]) == ("CLIENT", "KILL", "ID", "42")
    gone = planned("redis kill-client", "43", given=(observed(clients=(CLIENT,)),))
    assert "no client 43" in gone.nothing_to_do
    with pytest.raises(RefusedError, match="replicates"):
        planned("redis kill-client", "42", given=(observed(clients=(replace(CLIENT, flags="S"),)),))
    with pytest.raises(UsageError):
        planned("redis kill-client", "the api", given=(observed(clients=(CLIENT,)),))


def test_memory_is_given_back_where_the_allocator_keeps_some() -> None:
    assert planned("redis purge-memory", given=(observed({"memory.purgeable": 5 * MB}),)).steps
    assert (
        "keeps nothing"
        in planned("redis purge-memory", given=(observed({"memory.purgeable": 0}),)).nothing_to_do
    )
