"""What a disk can give back is planned from what was seen of it: nothing that is open, nothing of a database, nothing unnamed that loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from samaops.changes import verbs
from samaops.changes.disk.reserving import bytes_of
from samaops.errors import RefusedError, UnavailableError, UsageError
from samaops.facts.disks import CleanableFacts, CleanDisk, Holder, LogFile, Store
from samaops.facts.docker import DiskUse, DockerFacts
from samaops.facts.observation import Observation
from samaops.facts.servers import DeletedFile
from samaops.model.failure import Failure, FailureKind
from samaops.model.plan import Plan, Risk
from samaops.site.site import Site
from tests.unit.changes.test_plans import SETTINGS, snapshot
from tests.unit.checks.judging import seen
from tests.unit.checks.test_servers import disk as server_disk

MB = 1024**2
GB = 1024**3
NOW = 1_800_000_000.0
SITE = Site(SETTINGS)
APPENDING, FROM_START = Holder(7, 3, 0o102001), Holder(8, 4, 0o100001)
READING = Holder(9, 5, 0o100000)
CONTAINER = "/data/docker/containers/" + "ab" * 32 + "/" + "ab" * 32 + "-json.log"


def log(path: str, megabytes: int = 300, *holders: Holder, **fields: Any) -> LogFile:
    held = megabytes * MB
    return replace(LogFile(path, "/data", len(path), held, held, NOW - 60, holders), **fields)


ROTATED = log("/opt/samaconso/logs/api.log.1")
GROWING = log("/opt/samaconso/logs/api.log", 400, APPENDING, READING)
OF_CONTAINER = log(CONTAINER, 500, APPENDING)


def cleanable(
    logs: Sequence[LogFile] = (ROTATED, GROWING, OF_CONTAINER), used: int = 5 * GB, reserve: int = 0
) -> CleanableFacts:
    return CleanableFacts(
        NOW,
        True,
        (CleanDisk("/data", 10 * GB, used, 10 * GB - used, reserve), CleanDisk("/", GB, GB // 2, GB // 2, 0)),
        tuple(logs),
        Store("/var/log/journal", 900 * MB),
        Store("/var/cache/apt/archives", 90 * MB),
    )


def observed(reserve: int = 0, **fields: Any) -> Observation:
    return seen("cleanable/workers", cleanable(reserve=reserve, **fields), "workers")


HELD = DeletedFile("/data", "/data/logs/sms.log", 3 * GB, 77, "sms", 3, 0o102001, 5)


def holding(*files: DeletedFile) -> Observation:
    return seen("servers/workers", server_disk(95, deleted=files or (HELD,)), "workers")


def caching(reclaimable: int = GB) -> Observation:
    uses = (DiskUse("Build Cache", 3, 0, 2 * GB, reclaimable), DiskUse("Local Volumes", 3, 0, GB, GB))
    return seen("docker/workers", DockerFacts(NOW, 8 * GB, (), (), None, uses), "workers")


def planned(kinds: str, *observations: Observation, server: str = "workers") -> Plan:
    return verbs.find("disk clean").plan(snapshot(*observations), SITE, (server, kinds))


def ids(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


def test_without_a_name_only_what_loses_nothing_is_done_and_the_rest_is_told_with_its_command() -> None:
    plan = planned("", observed(), holding(), caching())
    assert ids(plan) == ["disk.cache", "disk.packages", "disk.rotated", "disk.deleted"]
    assert plan.risk is Risk.DISRUPTIVE
    told = " ".join(plan.notes)
    for kind in ("journal", "container-logs", "logs"):
        assert f"samaops disk clean --server workers --only {kind}" in told


def test_each_step_says_how_much_it_frees() -> None:
    plan = planned("rotated,journal,packages,container-logs,logs", observed())
    assert [step.title for step in plan.steps] == [
        "Compress 1 rotated log on /data of workers: up to 300 MB, mostly some nine tenths of it",
        "Have journald give up its oldest files on workers, down to 256 MB: 644 MB",
        "Remove the packages that apt keeps on workers once they are installed: 90.0 MB",
        f"Empty {CONTAINER} on workers in place: 500 MB; its last 10.0 MB stay, compressed beside it",
        "Empty /opt/samaconso/logs/api.log on workers in place: 400 MB; its last 10.0 MB stay, compressed beside it",
    ]


@pytest.mark.parametrize(
    "spared",
    [
        replace(ROTATED, holders=(READING,)),
        replace(ROTATED, holders=None),
        replace(ROTATED, held_bytes=MB),
        log("/opt/samaconso/logs/api.log"),
        log("/data/docker/volumes/samaconso_redis_data/_data/redis.log.1"),
        log("/data/docker/volumes/x/_data/000123.log", modified_at=0.0),
        log("/data/minio/uploads/client.log.1/part.1"),
    ],
    ids=["open", "nobody knows", "small", "written a minute ago", "of Redis", "part of a store", "object"],
)
def test_what_is_open_young_small_or_no_log_of_ours_is_not_compressed(spared: LogFile) -> None:
    plan = planned("rotated", observed(logs=(spared,)))
    assert ids(plan) == []
    assert plan.nothing_to_do == "nothing of rotated is seen to give back"


@pytest.mark.parametrize(
    "holders", [(FROM_START,), (APPENDING, FROM_START), (), None], ids=["writes", "both", "nobody", "unknown"]
)
def test_a_log_is_emptied_only_where_all_who_write_go_on_at_its_end(holders: Any) -> None:
    assert ids(planned("logs", observed(logs=(replace(GROWING, holders=holders),)))) == []


def test_what_is_emptied_is_destructive_and_says_what_is_lost() -> None:
    (step,) = planned("logs", observed()).steps
    assert step.risk is Risk.DESTRUCTIVE
    assert "all lines of /opt/samaconso/logs/api.log but the last 10.0 MB" in step.destroys


@pytest.mark.parametrize("flags", [0o102002, 0o100001, 0], ids=["readable", "not at its end", "unknown"])
def test_a_deleted_file_that_somebody_may_still_read_is_left_alone(flags: int) -> None:
    assert ids(planned("deleted", holding(replace(HELD, flags=flags)))) == []
    assert ids(planned("deleted", holding(HELD))) == ["disk.deleted"]


def test_docker_gives_back_its_build_cache_and_never_a_volume() -> None:
    assert [step.operation.arguments["command"] for step in planned("cache", caching()).steps] == [
        "docker builder prune -f"
    ]
    assert ids(planned("cache", caching(reclaimable=0))) == []


def test_a_server_that_could_not_be_looked_at_is_no_server_with_nothing_to_clean() -> None:
    failure = Failure(FailureKind.NO_ANSWER, "no answer in 5 s", "ssh")
    silent = Observation("maintenance", "cleanable/workers", "workers", "CleanableFacts", None, failure)
    with pytest.raises(UnavailableError, match="no answer in 5 s"):
        planned("rotated", silent)


@pytest.mark.parametrize(
    ("arguments", "words"), [(("nowhere", ""), "nowhere"), (("workers", "volumes"), "volumes")]
)
def test_what_names_nothing_is_refused_before_anything_is_looked_at(
    arguments: tuple[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        verbs.find("disk clean").codes(SITE, arguments)


def reserved(amount: str, facts: CleanableFacts, mount: str = "/data") -> Plan:
    look = seen("cleanable/workers", facts, "workers")
    return verbs.find("disk reserve").plan(snapshot(look), SITE, ("workers", mount, amount))


def test_a_reserve_is_made_and_given_up_and_each_takes_the_other_back() -> None:
    (make,) = reserved("", cleanable()).steps
    assert make.operation.arguments["count"] == round(0.02 * 10 * GB)
    (give,) = reserved("--give-up", cleanable(reserve=GB)).steps
    assert give.operation.arguments["what"] == "give_up"
    assert make.undo is not None
    assert give.undo is not None
    assert make.undo.arguments["what"] == "give_up"
    assert give.undo.arguments == {**make.operation.arguments, "count": GB}


def test_no_reserve_makes_a_disk_as_full_as_a_warning() -> None:
    with pytest.raises(RefusedError, match="would be 8"):
        reserved("3G", cleanable(used=5 * GB + 1))
    with pytest.raises(RefusedError, match="clean up first"):
        reserved("", cleanable(used=8 * GB))


def test_a_second_reserve_and_one_that_is_not_there_have_nothing_to_do() -> None:
    assert "already" in reserved("", cleanable(reserve=GB)).nothing_to_do
    assert "no reserve is kept" in reserved("--give-up", cleanable()).nothing_to_do


def test_the_disk_is_named_where_it_is_not_the_only_one() -> None:
    assert "/data" in reserved("", cleanable(), mount="").title
    facts = cleanable()
    several = replace(facts, disks=(*facts.disks, CleanDisk("/srv", GB, 0, GB, 0)))
    with pytest.raises(UsageError, match="say which disk of workers"):
        reserved("", several, mount="")
    with pytest.raises(UsageError, match="/nowhere"):
        reserved("", facts, mount="/nowhere")


@pytest.mark.parametrize(("amount", "expected"), [("500M", 500 * MB), ("1.5G", GB + GB // 2), ("64k", 65536)])
def test_sizes_are_read_as_people_write_them(amount: str, expected: int) -> None:
    assert bytes_of(amount) == expected
    assert bytes_of("much") is None
