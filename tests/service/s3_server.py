"""The lab's real S3 server on a free port, whose signatures are checked, for tests of objects."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from samaops.clients import http as http_client
from samaops.clients.errors import ClientError
from samaops.clients.minio import S3Connection
from tests.service.postgres_server import eventually, free_port

ACCESS, SECRET = "samaconso_storage", "canary-minio-secret"


@dataclass
class S3Server:
    """One server; ``process`` is None while it is down."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> S3Connection:
        """Return a connection for some requests."""
        return S3Connection(self.url, ACCESS, SECRET, 60.0)

    def put(self, bucket: str, objects: Mapping[str, bytes]) -> None:
        """Put objects into a bucket, which is made."""
        with self.connect() as connection:
            with contextlib.suppress(ClientError):
                connection.make_bucket(bucket)
            for key, content in objects.items():
                connection.put(bucket, key, io.BytesIO(content), hashlib.sha256(content).hexdigest())

    def delete(self, bucket: str, *keys: str) -> None:
        """Delete objects."""
        with self.connect() as connection:
            for key in keys:
                connection.request("DELETE", f"/{bucket}/{quote(key, safe='/-_.~')}")

    def drop(self, bucket: str) -> None:
        """Delete a bucket with all that is in it."""
        self.delete(bucket, *self.all(bucket))
        with self.connect() as connection:
            connection.request("DELETE", f"/{bucket}")

    def all(self, bucket: str) -> dict[str, bytes]:
        """Return all objects of a bucket."""
        found, after = {}, ""
        with self.connect() as connection:
            while True:
                page = connection.page(bucket, after)
                for each in page.objects:
                    content = bytearray()
                    connection.get(bucket, each.key, content.extend)
                    found[each.key] = bytes(content)
                if page.is_last:
                    return found
                after = page.objects[-1].key

    def start(self) -> None:
        """Start it, empty."""
        environment = {**os.environ, "MINIO_ROOT_USER": ACCESS, "MINIO_ROOT_PASSWORD": SECRET}
        command = [sys.executable, "-m", "samaops.lab.s3_server", "127.0.0.1", str(self.port)]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._is_alive, 60)

    def stop(self) -> None:
        """Stop it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def _is_alive(self) -> bool:
        try:
            return http_client.get(f"{self.url}/minio/health/live", timeout=1).status == 200
        except ClientError:
            return False


@contextlib.contextmanager
def running() -> Iterator[S3Server]:
    """Start one, and stop it at the end."""
    server = S3Server(free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
