"""What facts say of how a system is set up."""

from __future__ import annotations

import gzip
from datetime import datetime, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from samaops.collect import store
from samaops.facts.celery import CeleryFacts, CeleryNode
from samaops.facts.docker import DockerFacts
from samaops.facts.observation import Observation, Snapshot
from samaops.facts.pgbouncer import Console, PgBouncerFacts, PooledDatabase
from samaops.facts.portrait import NAME_CHARACTERS, Trait, gather, joined
from samaops.portraits import compare
from samaops.portraits.portrait import portrait_of

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
MOMENT = datetime(2026, 1, 31, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    path = tmp_path_factory.mktemp("look") / "look.json"
    path.write_bytes(gzip.decompress((GOLDEN / "look.healthy.json.gz").read_bytes()))
    return store.load(path).snapshot


def test_a_look_of_an_earlier_version_has_what_was_looked_at_then(look: Snapshot) -> None:
    portrait = portrait_of(look)
    assert portrait["redis@workers/service"]["Redis"].keys() == {"version"}
    assert "postgresql@db/setting" not in portrait  # unknown, and not empty
    assert "memory limit" in portrait["docker@api/container"]["samaconso_api_1"]


def test_every_kind_has_words(look: Snapshot) -> None:
    kinds = {
        f"{part.partition('@')[0].partition('/')[0]}/{part.rpartition('/')[2]}" for part in portrait_of(look)
    }
    assert {kind for kind in kinds if not kind.endswith("/service")} <= compare._THINGS.keys()


def test_what_failed_has_no_part(look: Snapshot) -> None:
    failed = tuple(replace(observation, facts=None) for observation in look.observations)
    assert portrait_of(replace(look, observations=failed)) == {}


def test_what_changes_by_itself_is_left_out() -> None:
    def portrait(capacity: int, unacknowledged: int) -> object:
        node = CeleryNode("worker1@h", "127.0.0.1", ("b", "a"), unacknowledged, capacity)
        facts = CeleryFacts((node,), (), None, None, None)
        observation = Observation("celery", "celery/workers", "workers", "CeleryFacts", facts)
        return portrait_of(Snapshot(MOMENT, (observation,)))

    assert (
        portrait(4, 0) == portrait(5, 3) == {"celery@workers/worker": {"worker1": {"queues": Trait("a, b")}}}
    )


def test_a_pooled_database_is_set_up_by_where_it_leads() -> None:
    database = PooledDatabase(
        name="samaconso",
        host="127.0.0.1",
        pool_size=20,
        reserve_pool=5,
        pool_mode=None,
        max_connections=None,
        current_connections=3,
        is_paused=False,
        is_disabled=False,
        port=5432,
        real_name="samaconso_2",
    )
    facts = PgBouncerFacts("console", "1.18.0", Console({"pool_mode": "transaction"}, (database,), (), (), 3))
    observation = Observation("pgbouncer", "pgbouncer/db", "db", "PgBouncerFacts", facts)
    assert portrait_of(Snapshot(MOMENT, (observation,)))["pgbouncer@db/database"] == {
        "samaconso": {
            "host": Trait("127.0.0.1"),
            "port": Trait("5432"),
            "database": Trait("samaconso_2"),
            "pool_size": Trait("20"),
            "reserve_pool": Trait("5"),
        }
    }


def test_a_kind_that_was_looked_at_is_there_without_rows() -> None:
    assert gather(("policy",), []) == {"policy": {}}
    long = "n" * 500
    assert list(gather((), [("a", long, "", Trait("1"))])["a"]) == [long[:NAME_CHARACTERS]]
    one, other = gather((), [("a", "b", "c", Trait("1"))]), gather((), [("a", "b", "d", Trait("2"))])
    assert joined(one, None, other) == {"a": {"b": {"c": Trait("1"), "d": Trait("2")}}}


def test_a_container_that_came_for_a_single_task_is_left_out(look: Snapshot) -> None:
    (observation, facts), *_others = look.facts_of(DockerFacts)
    task = replace(facts.containers[0], name="task", restart_policy="no")
    more = replace(facts, containers=(*facts.containers, task))
    parts = [
        portrait_of(replace(look, observations=(replace(observation, facts=seen),)))
        for seen in (facts, more, replace(more, expected=(*more.expected, "task")))
    ]
    (part,) = parts[0]
    assert parts[0] == parts[1]
    assert parts[2][part].keys() - parts[0][part].keys() == {"task"}
