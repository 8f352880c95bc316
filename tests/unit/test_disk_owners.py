"""Whose a path is, and what each owner holds of a disk."""

from __future__ import annotations

import pytest

from samaops.config.settings import Settings
from samaops.site import disk_owners

SETTINGS = Settings.model_validate(
    {
        "servers": {name: {"address": "10.0.0.1"} for name in ("db", "workers")},
        "postgresql": {"data_directory": "/srv/pg"},
        "backup": {"server": "db", "directory": "/data/backups/postgresql"},
        "maintenance": {"log_directory": "/opt/samaconso/journaux"},
    }
)
CONTAINER = "/var/lib/docker/containers/" + "0f" * 32


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/srv/pg/pg_wal", "wal"),
        ("/srv/pg/pg_wal/000000010000000000000001", "wal"),
        ("/srv/pg/base/pgsql_tmp/pgsql_tmp12.0", "temporary"),
        ("/srv/pg/base/16385", "tables"),
        ("/srv/pg/log/postgresql.log", "tables"),
        ("/srv/pgadmin", ""),
        (CONTAINER, "container_log"),
        (f"{CONTAINER}/{'0f' * 32}-json.log.1", "container_log"),
        ("/var/lib/docker/containers", "images"),
        ("/var/lib/docker/overlay2/abc/diff", "images"),
        ("/var/lib/docker/buildkit", "build_cache"),
        ("/var/lib/docker/volumes/samaconso_rabbitmq_data/_data/x", "broker"),
        ("/var/lib/rabbitmq/mnesia", "broker"),
        ("/var/lib/docker/volumes/samaconso_redis_data/_data/dump.rdb", "redis"),
        ("/data/temp-4711.rdb", "redis"),
        ("/var/lib/docker/volumes/outil_data/_data", "volume"),
        ("/data/minio/.minio.sys/multipart/abc", "uploads"),
        ("/data/minio/.minio.sys/buckets", "objects"),
        ("/var/log/journal/1234", "journal"),
        ("/var/log/syslog.1", "logs"),
        ("/opt/samaconso/journaux/api.txt", "logs"),
        ("/data/backups/postgresql/samaops/1.log", "backups"),
        ("/data/backups/postgresql.old", ""),
        ("/var/lib/systemd/coredump", "dumps"),
        ("/opt/samaconso/core.4711", "dumps"),
        ("/var/cache/apt/archives", "packages"),
        ("/data/.samaops-reserve", "reserve"),
        ("/data/exports/clients.csv", ""),
    ],
)
def test_a_path_tells_whose_it_is(path: str, owner: str) -> None:
    assert disk_owners.of(path, SETTINGS, "db") == owner


def test_what_is_configured_for_one_server_says_nothing_of_another() -> None:
    assert disk_owners.of("/srv/pg/base/16385", SETTINGS, "workers") == ""


def test_wal_within_the_directory_of_the_database_is_not_counted_as_tables() -> None:
    tree = {
        "/data": 100,
        "/data/pg": 95,
        "/data/pg/pg_wal": 55,
        "/data/pg/base": 38,
        "/data/pg/base/16385": 30,
    }
    settings = SETTINGS.model_copy(
        update={"postgresql": SETTINGS.postgresql.model_copy(update={"data_directory": "/data/pg"})}  # type: ignore[union-attr]
    )
    found = disk_owners.shares_of_tree(tree, "/data", settings, "db")
    assert [(share.owner, share.size_bytes) for share in found] == [("wal", 55), ("tables", 40)]


def test_two_things_that_nobody_owns_are_not_one_owner() -> None:
    tree = {"/data/a": 60, "/data/b": 30, "/data/a/x.csv": 59}
    found = disk_owners.shares_of_tree(tree, "/data", SETTINGS, "db")
    assert [(share.path, share.size_bytes) for share in found] == [
        ("/data/a/x.csv", 59), ("/data/b", 30), ("/data/a", 1),
    ]  # fmt: skip


def test_what_nobody_owns_is_counted_without_what_lies_in_it_and_has_an_owner() -> None:
    tree = {"/srv": 100, "/srv/pg": 60, "/srv/pg/pg_wal": 30, "/srv/x": 35}
    assert disk_owners.unowned(tree, SETTINGS, "db") == {"/srv": 40, "/srv/x": 35}


def test_the_place_of_many_files_is_the_directory_that_they_are_in() -> None:
    tree = {"/srv/pg": 62, **{f"/srv/pg/pg_wal/{number}": 10 for number in range(6)}}
    (wal, _tables) = disk_owners.shares_of_tree(tree, "/srv", SETTINGS, "db")
    assert (wal.path, wal.size_bytes) == ("/srv/pg/pg_wal", 60)
