"""PostgreSQL, PgBouncer, Redis and RabbitMQ over TLS, real ones: verified, refused when not to be trusted, and watched."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from samaops.clients.amqp import AmqpSession, greet
from samaops.clients.errors import ClientError
from samaops.clients.pgbouncer import ConsoleClient, PooledClient
from samaops.clients.postgresql import PostgresClient
from samaops.clients.redis import RedisClient
from samaops.collect import certificates
from samaops.collect.registry import collectors_of
from samaops.config.settings import RabbitMQ, Redis, Settings
from samaops.model.failure import FailureKind
from samaops.model.finding import Finding
from samaops.site.site import Site
from tests.service import faulty, rabbitmq_server
from tests.service.listeners import mail_server
from tests.service.looking import look
from tests.service.postgres_server import (
    PgBouncerServer,
    PostgresServer,
    eventually,
    free_port,
    running_pgbouncer,
    running_postgres,
)

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a key and a certificate for 127.0.0.1, which is its own authority."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(faulty.self_signed(faulty.LOOPBACK))
    return path


def for_postgres(pem: Path, directory: Path) -> Path:
    """Put the certificate where the user postgres may read it, and nobody else."""
    path = directory / "server.pem"
    path.write_bytes(pem.read_bytes())
    path.chmod(0o600)
    shutil.chown(path, directory.owner(), directory.group())
    return path


@pytest.fixture(scope="module")
def postgres(pem: Path) -> Iterator[PostgresServer]:
    with running_postgres() as server:
        file = for_postgres(pem, server.directory)
        for name, value in (("ssl_cert_file", file), ("ssl_key_file", file), ("ssl", "on")):
            server.run(f"ALTER SYSTEM SET {name} = '{value}'")
        server.run("SELECT pg_reload_conf()")
        eventually(lambda: server.run("SHOW ssl") == [("on",)])
        yield server


@pytest.fixture(scope="module")
def pool(postgres: PostgresServer) -> Iterator[PgBouncerServer]:
    file = for_postgres(postgres.directory / "server.pem", postgres.directory)
    extra = f"client_tls_sslmode = allow\nclient_tls_cert_file = {file}\nclient_tls_key_file = {file}"
    with running_pgbouncer(postgres, extra) as server:
        yield server


@pytest.fixture(scope="module")
def redis_port(pem: Path) -> Iterator[int]:
    port = free_port()
    options = {
        "--port": "0", "--tls-port": str(port), "--bind": "127.0.0.1", "--save": "", "--dir": str(pem.parent),
        "--tls-cert-file": str(pem), "--tls-key-file": str(pem), "--tls-ca-cert-file": str(pem),
        "--tls-auth-clients": "no",
    }  # fmt: skip
    words = [word for pair in options.items() for word in pair]
    process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def terminator(pem: Path, behind: int) -> Iterator[int]:
    """Run what ends TLS in front of a plain port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while block := source.recv(65536):
                sink.sendall(block)
        except (OSError, ValueError):
            pass
        finally:
            sink.close()

    def serve(plain: socket.socket) -> None:
        try:
            inner = context.wrap_socket(plain, server_side=True)
        except OSError:
            return
        outer = socket.create_connection(("127.0.0.1", behind), 5)
        outer.settimeout(None)
        threading.Thread(target=pump, args=(outer, inner), daemon=True).start()
        pump(inner, outer)

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                plain, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(plain,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def refusal(connect: Callable[[], Any]) -> FailureKind:
    with pytest.raises(ClientError) as caught:
        connect()
    return caught.value.kind


def test_postgresql_is_verified(postgres: PostgresServer, pem: Path) -> None:
    def connect(**tls: Any) -> list[dict[str, Any]]:
        client = PostgresClient("127.0.0.1", postgres.settings(tls=tls), 5.0)
        try:
            client.connect()
            return client._session.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        finally:
            client.close()

    assert connect(ca_file=pem) == [{"ssl": True}]
    assert connect(verify=False) == [{"ssl": True}]
    assert refusal(connect) is FailureKind.TLS  # the system's authorities do not know it
    assert refusal(lambda: connect(ca_file=pem, server_name="db.other")) is FailureKind.TLS


def test_the_pool_is_verified(pool: PgBouncerServer, pem: Path) -> None:
    for client_type in (ConsoleClient, PooledClient):
        client = client_type("127.0.0.1", pool.settings(tls={"ca_file": pem}), 5.0)
        client.connect()
        assert client._session._connection is not None
        assert client._session._connection.pgconn.ssl_in_use
        client.close()
        refused = client_type("127.0.0.1", pool.settings(tls=True), 5.0)
        assert refusal(refused.connect) is FailureKind.TLS


def test_redis_is_verified(redis_port: int, pem: Path) -> None:
    def connect(**changes: Any) -> Any:
        settings = Redis.model_validate({"port": redis_port, "timeout": 3.0, **changes})
        client = RedisClient("127.0.0.1", settings)
        try:
            client.connect()
            return client.execute_command("ECHO", "over TLS")
        finally:
            client.close()

    assert connect(tls={"ca_file": pem}) == b"over TLS"
    assert connect(tls={"verify": False}) == b"over TLS"
    assert refusal(lambda: connect(tls=True)) is FailureKind.TLS
    assert refusal(lambda: connect(tls={"ca_file": pem, "server_name": "redis.other"})) is FailureKind.TLS
    assert refusal(connect) in (FailureKind.CLOSED, FailureKind.GARBAGE)  # without TLS


def test_redis_that_is_silent_or_speaks_no_tls_ends_in_time() -> None:
    with faulty.hanging() as (host, port):
        client = RedisClient(host, Redis(port=port, timeout=0.6, tls=True))  # type: ignore[arg-type]
        assert refusal(client.connect) is FailureKind.NO_ANSWER
    with faulty.garbage() as (host, port):
        client = RedisClient(host, Redis(port=port, timeout=2, tls=True))  # type: ignore[arg-type]
        assert refusal(client.connect) is FailureKind.TLS


def test_the_broker_is_verified(broker: rabbitmq_server.Broker, pem: Path) -> None:
    with terminator(pem, broker.port) as port:

        def settings(**tls: Any) -> RabbitMQ:
            values = {"port": port, "timeout": 5.0, "password": broker.password, "tls": tls}
            return RabbitMQ.model_validate(values)

        trusted = settings(ca_file=pem)
        greeting = greet("127.0.0.1", port, 5.0, trusted, trusted.tls)
        assert (greeting.properties["product"], greeting.stage) == ("RabbitMQ", "channel")
        with AmqpSession("127.0.0.1", trusted) as session:
            assert session.ready("no-such-queue") is None
        unknown = settings()
        assert refusal(lambda: greet("127.0.0.1", port, 5.0, unknown, unknown.tls)) is FailureKind.TLS
        assert refusal(lambda: AmqpSession("127.0.0.1", unknown).__enter__()) is FailureKind.TLS
        other = settings(ca_file=pem, server_name="mq.other")
        assert refusal(lambda: greet("127.0.0.1", port, 5.0, other, other.tls)) is FailureKind.TLS
        with AmqpSession("127.0.0.1", settings(verify=False)):
            pass


def test_their_certificates_are_watched_with_the_others(
    postgres: PostgresServer, pool: PgBouncerServer, redis_port: int, pem: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    at = {"host": "127.0.0.1", "tls": {"ca_file": str(pem)}}
    with mail_server(tls_context=context) as mail, terminator(pem, redis_port) as amqp:
        settings = Settings.model_validate(
            {
                "postgresql": {**at, "port": postgres.port},
                "pgbouncer": {**at, "port": pool.port},
                "redis": {**at, "port": redis_port},
                "rabbitmq": {**at, "port": amqp, "management_tls": True, "management_port": amqp},
                "notify": {
                    "mail": {
                        "host": "127.0.0.1",
                        "port": mail.port,
                        "encryption": "starttls",
                        "ca_file": str(pem),
                    }
                },
            }
        )
        findings: list[Finding] = [
            finding
            for finding in look(settings, "certificates").findings
            if finding.code == "certificates.expiry.near"
        ]
    assert {finding.subject for finding in findings} == {
        f"certificates/{name}"
        for name in ("postgresql", "pgbouncer", "redis", "rabbitmq", "rabbitmq-management", "mail")
    }
    assert all(finding.value is not None and 0 < float(finding.value) < 2 for finding in findings)


def test_without_tls_nothing_more_is_watched() -> None:
    assert not list(certificates.watched(Site(Settings.model_validate({"redis": {}, "rabbitmq": {}}))))
    assert not collectors_of("certificates", Site(Settings.model_validate({"postgresql": {}})))
