"""What is different since all was well: kept by a look at everything, told when asked, first where no cause is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.contract.conftest import Samaops, redis_at

Address = tuple[str, int]
CANARY = "canary-e5c7"


@pytest.fixture(autouse=True)
def server(redis_server: Address) -> Iterator[redis.Redis]:
    """Make the Redis that is shared one that is all well; put back what is set in it."""
    usual = {"maxmemory-policy": "noeviction", "save": "", "hz": "10", "masterauth": ""}
    with redis.Redis(*redis_server) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("save", "3600 1")
        yield client
        for name, value in usual.items():
            client.config_set(name, value)


@pytest.fixture
def config(samaops: Samaops, redis_server: Address) -> Path:
    return samaops.configure(f'site = "contract"\n{redis_at(redis_server)}')


def kept(samaops: Samaops) -> list[Path]:
    return sorted((samaops.home / "state" / "samaops").glob("well/*"))


def documented(samaops: Samaops, *words: str | Path) -> Any:
    return samaops("--config", *words, "-o", "json").json()


def test_without_an_earlier_look_it_says_so_and_how_one_is_made(samaops: Samaops, config: Path) -> None:
    done = samaops("--config", config, "diagnose", "--since-well")
    assert done.code == 0, done
    assert "There is no earlier look to compare with" in done.stdout
    assert "samaops diagnose" in done.stdout
    assert kept(samaops) == []  # a question keeps nothing
    report = documented(samaops, config, "diagnose", "--since-well")
    assert (report["well_at"], report["differences"], report["not_compared"]) == (None, [], [])


def test_what_is_different_is_told_until_all_is_well_again(
    samaops: Samaops, config: Path, server: redis.Redis
) -> None:
    server.config_set("masterauth", CANARY)
    assert samaops("--config", config, "diagnose").code == 0
    (file,) = kept(samaops)
    assert file.stat().st_mode & 0o777 == 0o600
    assert CANARY not in file.read_text()
    assert (
        "Nothing is different since the last well look"
        in samaops("--config", config, "diagnose", "--since-well").stdout
    )

    server.config_set("hz", "20")
    server.config_set("masterauth", CANARY + "2")
    for _time in range(2):  # a question changes nothing
        report = documented(samaops, config, "diagnose", "--since-well")
        told = {difference["place"]: difference for difference in report["differences"]}
        assert set(told) == {"redis/setting/hz", "redis/setting/masterauth"}
        assert (told["redis/setting/hz"]["before"], told["redis/setting/hz"]["after"]) == ("10", "20")
        assert told["redis/setting/masterauth"]["after"] == "********"
        assert report["well_at"] is not None
        assert CANARY not in json.dumps(report)
    assert (
        "Redis setting hz is 20, it was 10" in samaops("--config", config, "diagnose", "--since-well").stdout
    )
    french = samaops("--config", config, "--lang", "fr", "diagnose", "--since-well").stdout
    assert "le réglage Redis hz : maintenant 20, auparavant 10" in french

    silent = samaops("--config", config, "diagnose")
    assert "hz" not in silent.stdout  # all is well, and nobody asked
    assert documented(samaops, config, "diagnose", "--since-well")["differences"] == []


def test_a_part_of_the_site_is_no_look_to_compare_with(samaops: Samaops, config: Path) -> None:
    for words in (("--only", "redis"), ("--skip", "redis.keys")):
        assert samaops("--config", config, "diagnose", *words).code == 0
    assert kept(samaops) == []


def test_where_no_cause_is_known_the_differences_come_first(
    samaops: Samaops, config: Path, server: redis.Redis
) -> None:
    assert samaops("--config", config, "diagnose").code == 0
    server.config_set("hz", "20")
    limited = config.with_name("limited.toml")
    limited.write_text(config.read_text() + '[thresholds]\n"redis.latency.high" = { warning = 0.000001 }\n')
    limited.chmod(0o600)
    done = samaops("--config", limited, "diagnose")
    assert done.code == 1, done
    assert done.stdout.index("Redis setting hz is 20") < done.stdout.index("redis/workers")
    saved = samaops.home / "look.json"
    live = documented(samaops, limited, "diagnose", "--save", saved)
    again = samaops("diagnose", "--from", saved, "-o", "json").json()
    assert [difference["place"] for difference in again["differences"]] == ["redis/setting/hz"]
    assert (again["differences"], again["causes"]) == (live["differences"], live["causes"])


def test_what_cannot_be_looked_at_is_not_different(samaops: Samaops, config: Path, refused: Address) -> None:
    assert samaops("--config", config, "diagnose").code == 0
    config.write_text(f'site = "contract"\n{redis_at(refused)}')
    report = documented(samaops, config, "diagnose")
    assert (report["status"], report["differences"]) == ("critical", [])
    assert report["not_compared"] == ["redis@workers"]


def test_without_a_place_for_it_the_answer_is_the_same(samaops: Samaops, config: Path) -> None:
    (samaops.home / "state").write_bytes(b"")
    done = samaops("--config", config, "diagnose")
    assert (done.code, done.stderr) == (0, "")
    assert samaops("--config", config, "diagnose", "--since-well").code == 0


def test_daily_maintenance_keeps_a_look_too(samaops: Samaops, config: Path) -> None:
    config.write_text(
        f'{config.read_text()}[maintenance]\nlog = "{samaops.home}/daily.log"\n[safety]\nlock_directory = "{samaops.home}"\n'
    )
    assert samaops("--config", config, "maintain", "daily", "--only", "redis").code == 0
    assert kept(samaops) == []
    done = samaops("--config", config, "maintain", "daily")
    assert done.code == 0, done
    assert len(kept(samaops)) == 1
