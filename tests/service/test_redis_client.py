"""Redis as it really is: a real redis-server, what it looks like when something is wrong, and broken servers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as driver

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.redis import RedisClient
from samaops.config.secrets import Secret
from samaops.config.settings import Redis, Settings
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.service import faulty
from tests.service.looking import look

pytestmark = pytest.mark.service
TIMEOUT = 0.6
SUBJECT = "redis/workers"


class Server:
    """A running redis-server on a port of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client: Any = driver.Redis(port=port)  # without types: some methods have none

    def settings(self, **changes: Any) -> Settings:
        section = {"host": "127.0.0.1", "port": self.port, "timeout": 4.0, "expected_policy": "noeviction"}
        return Settings.model_validate({"redis": section | changes})


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), *options]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    server = Server(port)
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(driver.exceptions.RedisError):
                server.client.ping()
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield server
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(
        tmp_path, "--appendonly", "yes", "--maxmemory", "64mb", "--enable-protected-configs", "yes"
    ) as started:
        yield started


def kind_of(address: tuple[str, int], **changes: Any) -> FailureKind:
    host, port = address
    started = time.monotonic()
    client = RedisClient(host, Redis.model_validate({"port": port, "timeout": TIMEOUT} | changes))
    with pytest.raises(ClientError) as caught:
        client.connect()
    client.close()
    assert time.monotonic() - started < TIMEOUT + 0.6, "the timeout must bound all of it"
    return caught.value.kind


@pytest.mark.parametrize(
    ("server_of", "kind"),
    [
        (faulty.refused_port, FailureKind.REFUSED),
        (faulty.silent, FailureKind.SILENT),
        (faulty.hanging, FailureKind.NO_ANSWER),
        (faulty.closing, FailureKind.CLOSED),
        (lambda: faulty.dripping(b"$100\r\n", every_seconds=0.1), FailureKind.NO_ANSWER),
        (lambda: faulty.dripping(b"", every_seconds=0.1, drop=b"+"), FailureKind.NO_ANSWER),
        (faulty.garbage, FailureKind.GARBAGE),
        (lambda: faulty.garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"), FailureKind.GARBAGE),
        (lambda: faulty.garbage(b"$xyz\r\n"), FailureKind.GARBAGE),
        (lambda: faulty.garbage(b"+HELLO\r\n" * 5), FailureKind.GARBAGE),
        (
            lambda: faulty.answering(b"-LOADING Redis is loading the dataset in memory\r\n"),
            FailureKind.UNAVAILABLE,
        ),
        (lambda: faulty.answering(b"-MASTERDOWN Link with MASTER is down\r\n"), FailureKind.UNAVAILABLE),
        (lambda: faulty.answering(b"-ERR max number of clients reached\r\n"), FailureKind.UNAVAILABLE),
        (lambda: faulty.answering(b"-NOAUTH Authentication required.\r\n"), FailureKind.AUTHENTICATION),
        (lambda: faulty.answering(b"-NOPERM this user has no permissions\r\n"), FailureKind.PERMISSION),
        (lambda: faulty.garbage(b"x", tls=True), FailureKind.CLOSED),  # it speaks TLS only
    ],
)
def test_each_fault_is_told_apart_in_bounded_time(
    server_of: Callable[[], contextlib.AbstractContextManager[tuple[str, int]]], kind: FailureKind
) -> None:
    with server_of() as address:
        assert kind_of(address) is kind


def test_a_name_that_does_not_resolve() -> None:
    assert kind_of(("redis.invalid", 6379)) is FailureKind.NAME


def test_an_answer_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samaops.clients.redis.MOST_ANSWER_BYTES", 1000)
    with faulty.garbage(b"$5000\r\n" + b"x" * 5000 + b"\r\n") as address:
        assert kind_of(address) is FailureKind.GARBAGE


def test_a_connection_that_was_lost_is_not_opened_again() -> None:
    tally = footprint.open_tally()
    with faulty.answering(b"+PONG\r\n") as (host, port):
        client = RedisClient(host, Redis.model_validate({"port": port, "timeout": TIMEOUT}))
        client.connect()
        for _number in range(2):
            with pytest.raises(ClientError) as caught:
                client.info()
            assert caught.value.kind is FailureKind.CLOSED
        client.close()
    assert tally.footprint().connections == 1


def test_a_healthy_redis_is_ok_in_every_check(server: Server) -> None:
    server.client.set("samaconso:consumption:1", "x", ex=60)
    seen = look(server.settings(), "redis")
    assert seen.bad() == set(), seen.summary()
    assert seen.snapshot.footprint.connections == 1


def test_a_frozen_redis_is_called_hung(server: Server) -> None:
    server.client.execute_command("CLIENT", "PAUSE", "3000", "ALL")
    seen = look(server.settings(timeout=TIMEOUT), "redis")
    finding = seen.one("redis.service.unreachable")
    assert finding.status is Status.CRITICAL
    assert finding.evidence["kind"] == "no_answer"


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_wrong_or_missing_password_is_not_an_outage(server: Server, password: str | None) -> None:
    server.client.config_set("requirepass", "right")
    changes = {"password": password} if password else {}
    finding = look(server.settings(**changes), "redis").one("redis.service.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, "authentication")


def test_a_password_that_redis_does_not_want_is_not_an_outage(server: Server) -> None:
    finding = look(server.settings(password="x"), "redis").one("redis.service.unreachable")
    assert (finding.status, finding.evidence["kind"]) == (Status.UNKNOWN, "no_authentication")


def test_a_user_with_few_rights_sees_what_it_may(server: Server) -> None:
    rules = ("on", ">secret", "+ping", "+info", "+select")
    server.client.execute_command("ACL", "SETUSER", "watcher", *rules)
    seen = look(server.settings(username="watcher", password="secret"), "redis")
    assert seen.status("redis.memory.high") is Status.OK
    unknown = {"redis.keys.no_expiry", "redis.keys.big", "redis.clients.buffers"}
    unknown |= {"redis.write.refused", "redis.acl.denied", "redis.queue.backlog"}
    assert seen.bad() == {f"{code}@{SUBJECT}" for code in unknown}
    denied = server.client.execute_command("ACL", "LOG")
    assert not any(b"client|setinfo" in entry[entry.index(b"object") + 1] for entry in map(list, denied))


def test_noeviction_at_maxmemory_refuses_writes_and_healing_is_seen(server: Server) -> None:
    server.client.config_set("maxmemory", "6mb")
    for number in range(1000):
        with contextlib.suppress(driver.exceptions.OutOfMemoryError):
            server.client.set(f"samaconso:consumption:{number}", "x" * 20_000)
    # What the buffers of connections give back within seconds must not make it room again.
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"] - 500_000)
    seen = look(server.settings(), "redis")
    finding = seen.one("redis.memory.refusing_writes")
    assert (finding.status, finding.evidence["reason"]) == (Status.CRITICAL, "OOM")
    assert seen.status("redis.memory.high") is Status.CRITICAL
    server.client.config_set("maxmemory", "64mb")
    assert look(server.settings(), "redis.memory.refusing_writes").bad() == set()


def test_results_without_expiry_are_told_from_a_cache_without_expiry(server: Server) -> None:
    with server.client.pipeline() as pipeline:
        for number in range(500):
            pipeline.set(f"celery-task-meta-{number:08x}-0000-4000-8000-000000000000", "x" * 500)
            pipeline.set(f"samaconso:consumption:{number}", "x" * 500, ex=600)
        pipeline.execute()
    finding = look(server.settings(), "redis").one("redis.keys.no_expiry")
    assert finding.status is Status.WARNING
    assert finding.evidence["dominant_prefix"] == "celery-task-meta-"
    assert finding.evidence["by_prefix"]["samaconso:consumption:"]["no_expiry"] == 0


def test_a_full_cache_that_evicts_fast_is_a_warning(server: Server) -> None:
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    server.client.config_set("maxmemory", "4mb")
    stopped = time.monotonic() + 3

    def fill() -> None:
        writer, number = driver.Redis(port=server.port), 0
        while time.monotonic() < stopped:
            with writer.pipeline(transaction=False) as pipeline:
                for number in range(number, number + 200):  # noqa: B020 - goes on where it stopped
                    pipeline.set(f"samaconso:consumption:{number}", "x" * 3000, ex=600)
                pipeline.execute()

    writer = threading.Thread(target=fill)
    writer.start()
    _wait_for(lambda: int(server.client.info("stats")["evicted_keys"]) > 500)
    seen = look(server.settings(expected_policy="allkeys-lru"), "redis")
    writer.join()
    assert seen.status("redis.evictions.high") is Status.WARNING
    assert seen.status("redis.memory.refusing_writes") is Status.OK


def test_a_big_key_is_found(server: Server) -> None:
    for _number in range(20):
        server.client.rpush("audit", *["x" * 1000] * 1000)
    finding = look(server.settings(), "redis").one("redis.keys.big")
    assert finding.status is Status.WARNING
    assert finding.evidence["key"] == "audit"


def test_a_save_that_fails_is_critical(server: Server, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    server.client.config_set("appendonly", "no")
    server.client.config_set("dir", str(gone))
    gone.rmdir()
    server.client.set("key", "value")
    server.client.bgsave()
    _wait_for(lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err")
    seen = look(server.settings(), "redis")
    assert seen.status("redis.persistence.failing") is Status.CRITICAL
    assert seen.one("redis.memory.refusing_writes").evidence["reason"] == "MISCONF"


def test_a_client_that_does_not_read_its_answers_is_found(server: Server) -> None:
    server.client.set("big", "x" * 1_000_000)
    server.client.config_set("client-output-buffer-limit", "normal 0 0 0")
    with socket.create_connection(("127.0.0.1", server.port)) as lazy:
        lazy.sendall(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n" * 30)
        _wait_for(lambda: any(int(one["omem"]) > 10_000_000 for one in server.client.client_list()))
        finding = look(server.settings(), "redis").one("redis.clients.buffers")
        assert finding.status is Status.WARNING
        assert finding.evidence["address"] == f"127.0.0.1:{lazy.getsockname()[1]}"


def test_hostile_key_names_are_sampled_and_stay_text(server: Server) -> None:
    names = [b"\xff\xfe\x00[red]\x1b[2J", b"x" * 10_000, "é\n:1".encode()]
    for name in names:
        server.client.set(name, "v" * 100)
    finding = look(server.settings(), "redis").one("redis.keys.no_expiry")
    assert finding.evidence["no_expiry"] == 3
    assert all(len(prefix) <= 200 for prefix in finding.evidence["by_prefix"])


def test_looking_changes_nothing(server: Server) -> None:
    server.client.set("samaconso:consumption:1", "x", ex=60)
    before = server.client.execute_command("INFO", "commandstats")
    look(server.settings(), "redis")
    after = server.client.execute_command("INFO", "commandstats")
    new = {name.removeprefix("cmdstat_") for name in set(after) - set(before)}
    reading = {"ping", "info", "select", "config|get", "client|list", "scan", "pttl", "memory|usage"}
    assert new <= reading | {"acl|log", "acl|dryrun", "pfcount", "type", "llen", "hlen"}


def test_the_sample_is_bounded(server: Server) -> None:
    with server.client.pipeline() as pipeline:
        for number in range(5000):
            pipeline.set(f"k:{number}", "x", ex=600)
        pipeline.execute()
    finding = look(server.settings(sample_keys=300), "redis").one("redis.keys.no_expiry")
    assert (finding.evidence["sampled"], finding.evidence["database_keys"]) == (300, 5000)


def _wait_for(is_so: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_all_that_it_holds_comes_as_the_file_that_it_saves(server: Server, tmp_path: Path) -> None:
    server.client.set("key", "a value that is looked for")
    section = server.settings().redis
    assert section is not None

    def snapshot(most_bytes: int, **changes: Any) -> bytes:
        client = RedisClient("127.0.0.1", section.model_copy(update=changes))
        with contextlib.closing(client):
            client.connect()
            return client.snapshot(most_bytes)

    content = snapshot(1_000_000)
    (tmp_path / "dump.rdb").write_bytes(content)
    with running(tmp_path) as restored:
        assert restored.client.get("key") == b"a value that is looked for"
    with pytest.raises(ClientError, match="larger than 10 bytes"):
        snapshot(10)
    server.client.execute_command("ACL", "SETUSER", "reader", "on", ">x", "~*", "+@all", "-sync")
    with pytest.raises(ClientError) as caught:
        snapshot(1_000_000, username="reader", password=Secret.model_validate("x"))
    assert caught.value.kind is FailureKind.PERMISSION


def test_a_marked_key_is_written_and_removed_when_asked_for(server: Server) -> None:
    healthy = look(server.settings(), "redis", probe=True)
    assert healthy.status("redis.write.probe") is Status.OK
    assert (healthy.snapshot.footprint.writes, server.client.dbsize()) == (1, 0)
    server.client.config_set("min-replicas-to-write", 1)
    refused = look(server.settings(), "redis.write.probe", probe=True).one("redis.write.probe")
    assert refused.status is Status.CRITICAL
    assert "NOREPLICAS" in refused.detail
    server.client.config_set("min-replicas-to-write", 0)
    assert look(server.settings(), "redis").snapshot.footprint.writes == 0
    late = look(server.settings(), "redis.write.probe", deadline_seconds=1.0, probe=True)
    assert late.status("redis.write.probe") is Status.UNKNOWN, "nothing is begun that could not be removed"
    assert late.snapshot.footprint.writes == 0


def test_writes_that_wait_for_replicas_or_for_the_end_of_a_pause_are_found(server: Server) -> None:
    server.client.config_set("min-replicas-to-write", 1)
    finding = look(server.settings(), "redis").one("redis.write.refused")
    assert (finding.status, finding.evidence["reason"]) == (Status.CRITICAL, "NOREPLICAS")
    server.client.config_set("min-replicas-to-write", 0)
    server.client.client_pause(60_000, all=False)
    paused = look(server.settings(), "redis.write.refused").one("redis.write.refused")
    assert (paused.status, paused.evidence["reason"]) == (Status.CRITICAL, "held")
    server.client.client_unpause()
    healed = look(server.settings(), "redis")
    assert healed.status("redis.write.refused") is Status.OK
    assert server.client.dbsize() == 0, "looking writes nothing"


def test_a_server_whose_clients_all_wait_is_told_from_one_that_hangs(server: Server) -> None:
    server.client.client_pause(2000)
    finding = look(server.settings(timeout=0.5), "redis").one("redis.service.unreachable")
    assert (finding.evidence["kind"], finding.evidence["stage"]) == ("no_answer", "paused")


def test_a_replica_and_a_user_without_rights_take_no_writes(server: Server) -> None:
    server.client.replicaof("127.0.0.1", 1)
    replica = look(server.settings(), "redis.write").one("redis.write.refused")
    assert (replica.status, replica.evidence["reason"]) == (Status.CRITICAL, "READONLY")
    server.client.replicaof("NO", "ONE")
    server.client.execute_command("ACL", "SETUSER", "default", "-@write")
    with pytest.raises(driver.exceptions.NoPermissionError):
        server.client.set("key", "value")
    seen = look(server.settings(), "redis")
    assert seen.one("redis.write.refused").evidence["reason"] == "NOPERM"
    assert seen.status("redis.acl.denied") is Status.WARNING
