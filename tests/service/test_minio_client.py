"""Object storage: the lab's real S3 server, whose signatures are checked, and servers that are broken."""

from __future__ import annotations

import http.server
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.versioningconfig import VersioningConfig

from samaops.clients import http as http_client
from samaops.clients import tls
from samaops.clients.errors import ClientError
from samaops.clients.minio import list_buckets
from samaops.config.settings import Settings
from samaops.model.failure import FailureKind
from samaops.model.status import Status
from tests.service import faulty
from tests.service.looking import Look, look
from tests.service.postgres_server import eventually, free_port

pytestmark = pytest.mark.service
ACCESS, SECRET = "samaconso_storage", "canary-minio-secret"
BUCKETS = ("avatars", "documents", "uploads")


def _is_alive(url: str) -> bool:
    try:
        return http_client.get(f"{url}/minio/health/live", timeout=1).status == 200
    except ClientError:
        return False


def _serve(access: str, secret: str) -> Iterator[str]:
    port = free_port()
    environment = {**os.environ, "MINIO_ROOT_USER": access, "MINIO_ROOT_PASSWORD": secret}
    command = [sys.executable, "-m", "samaops.lab.s3_server", "127.0.0.1", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _is_alive(f"http://127.0.0.1:{port}"), 60)
        client = Minio(f"127.0.0.1:{port}", access, secret, secure=False, region="us-east-1")
        for bucket in BUCKETS:
            client.make_bucket(bucket)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    yield from _serve(ACCESS, SECRET)


def seen(url: str, **changes: Any) -> Look:
    values = {"url": url, "access_key": ACCESS, "secret_key": SECRET, "timeout": 2.0, **changes}
    return look(Settings.model_validate({"minio": values}), "minio", deadline_seconds=20)


def test_a_marked_object_passes_through_each_bucket_and_nothing_is_left(storage: str) -> None:
    values = {"url": storage, "access_key": ACCESS, "secret_key": SECRET, "timeout": 4.0}
    settings = Settings.model_validate({"minio": {**values, "buckets": [*BUCKETS, "absent"]}})
    client = Minio(storage.removeprefix("http://"), ACCESS, SECRET, secure=False, region="us-east-1")
    client.set_bucket_versioning("documents", VersioningConfig("Enabled"))
    answer = look(settings, "minio", deadline_seconds=20, probe=True)
    probed = {finding.subject: finding for finding in answer.findings if finding.code == "minio.object.probe"}
    assert {subject for subject, finding in probed.items() if finding.status is Status.OK} == {
        f"minio/{bucket}" for bucket in BUCKETS
    }
    assert probed["minio/absent"].status is Status.CRITICAL
    assert "NoSuchBucket" in probed["minio/absent"].detail
    assert answer.snapshot.footprint.writes == 4
    assert not [left for bucket in BUCKETS for left in client.list_objects(bucket, include_version=True)]


def test_nothing_is_written_without_being_asked(storage: str) -> None:
    answer = seen(storage)
    assert answer.snapshot.footprint.writes == 0
    assert not [finding for finding in answer.findings if finding.code.endswith(".probe")]


def test_a_storage_without_its_write_quorum_is_critical() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if self.path.endswith("cluster") else 200)
            self.send_header("Content-Length", "0")
            self.send_header("X-Minio-Write-Quorum", "3")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = Settings.model_validate({"minio": {"url": f"http://127.0.0.1:{server.server_port}"}})
        finding = look(settings, "minio.write").one("minio.write.refused")
        server.shutdown()
    assert (finding.status, finding.value) == (Status.CRITICAL, 503)
    assert finding.evidence["headers"] == {"x-minio-write-quorum": "3"}


def test_a_healthy_storage_with_its_buckets_is_ok(storage: str) -> None:
    answer = seen(storage)
    assert not answer.bad(), answer.summary()
    assert answer.one("minio.login.refused").value == 3
    assert SECRET not in repr(answer)


def test_a_missing_bucket_is_critical_and_named(storage: str) -> None:
    finding = seen(storage, buckets=["avatars", "invoices"]).one("minio.bucket.missing")
    assert finding.status is Status.CRITICAL
    assert finding.evidence["missing"] == ["invoices"]


@pytest.mark.parametrize("wrong", [{"secret_key": "another"}, {"access_key": "nobody"}, {"access_key": ""}])
def test_refused_or_absent_credentials_are_unknown_and_nothing_else(
    storage: str, wrong: dict[str, str]
) -> None:
    answer = seen(storage, **wrong)
    assert answer.bad() == {"minio.login.refused@minio/db"}, answer.summary()
    assert answer.status("minio.login.refused") is Status.UNKNOWN
    assert answer.status("minio.bucket.missing") is Status.SKIPPED
    assert SECRET not in repr(answer)


def test_the_default_credentials_are_critical_configured_or_not() -> None:
    for url in _serve("minioadmin", "minioadmin"):
        default = {"access_key": "minioadmin", "secret_key": "minioadmin"}
        assert seen(url, **default).status("minio.credentials.default") is Status.CRITICAL
        other = seen(url).one("minio.credentials.default")
        assert (other.status, other.evidence["default_credentials"]) == (Status.CRITICAL, "accepted")


FAULTS: dict[str, tuple[Callable[[], AbstractContextManager[faulty.Address]], str]] = {
    "refused": (faulty.refused_port, "refused"),
    "silent": (faulty.silent, "silent"),
    "hanging": (faulty.hanging, "no_answer"),
    "closing": (faulty.closing, "closed"),
    "garbage": (faulty.garbage, "garbage"),
    "drip": (lambda: faulty.dripping(b"HTTP/1.1 200 OK\r\n", 0.3), "no_answer"),
    # Healthy on its health path, and no S3 behind it: the same answer to everything.
    "no S3": (lambda: faulty.answering(faulty.http_response(b"<html>")), "garbage"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_storage_is_told_by_its_kind_and_in_time(fault: str) -> None:
    server, kind = FAULTS[fault]
    with server() as (host, port):
        started = time.monotonic()
        finding = seen(f"http://{host}:{port}", timeout=0.8).one("minio.service.unreachable")
        took = time.monotonic() - started
    assert (finding.status, finding.evidence["kind"]) == (Status.CRITICAL, kind), finding.detail
    assert took < 4


def test_a_health_path_that_fails_is_critical_and_s3_is_not_asked() -> None:
    with faulty.answering(faulty.http_response(b"", "503 Service Unavailable")) as (host, port):
        answer = seen(f"http://{host}:{port}")
    finding = answer.one("minio.health.failing")
    assert (finding.status, finding.value) == (Status.CRITICAL, 503)
    assert answer.status("minio.login.refused") is Status.SKIPPED
    assert answer.snapshot.footprint.connections == 1


def test_a_skewed_clock_is_told_in_the_servers_words() -> None:
    body = b"<Error><Code>RequestTimeTooSkewed</Code><Message>too large</Message></Error>"
    refusal = faulty.http_response(body, "403 Forbidden", "Content-Type: application/xml\r\n")
    with faulty.answering(refusal) as (host, port), pytest.raises(ClientError) as caught:
        list_buckets(f"http://{host}:{port}", ACCESS, SECRET, 1.0)
    assert "RequestTimeTooSkewed" in caught.value.message


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n"
DRIPS: dict[str, Callable[[], AbstractContextManager[faulty.Address]]] = {
    "headers": lambda: faulty.dripping(HEAD, 0.1),
    "body": lambda: faulty.dripping(HEAD + b"Content-Length: 100000\r\n\r\n<", 0.1),
    "body over TLS": lambda: faulty.dripping(HEAD + b"Content-Length: 100000\r\n\r\n<", 0.1, tls=True),
    "handshake": lambda: faulty.dripping(b"\x16\x03\x03\x40\x00", 0.1),
}


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
@pytest.mark.parametrize("part", DRIPS)
def test_a_server_that_drips_is_given_up_in_time_wherever_it_does(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samaops.clients.tls.verifying", _trusting_context)
    scheme = "https" if part in ("body over TLS", "handshake") else "http"
    with DRIPS[part]() as (host, port):
        started = time.monotonic()
        with pytest.raises(ClientError) as caught:
            list_buckets(f"{scheme}://{host}:{port}", ACCESS, SECRET, 0.6)
        took = time.monotonic() - started
    assert caught.value.kind is FailureKind.NO_ANSWER
    assert took < 1.6


def _trusting_context(_ca_file: Path | None) -> ssl.SSLContext:
    return tls.unverified()
