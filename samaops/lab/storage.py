"""Object storage and backups of server db: MinIO where it is installed, else the lab's own S3 server."""

from __future__ import annotations

import io
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from samaops.changes.run.objects import copying as object_copy
from samaops.clients.errors import ClientError
from samaops.config.load import load
from samaops.facts.objects import WHOLE
from samaops.i18n import _
from samaops.lab.database import SUPERUSER, system_user
from samaops.lab.layout import (
    BUCKETS,
    DATABASE,
    DB_ADDRESS,
    MINIO_ACCESS_KEY,
    POSTGRESQL_PORT,
    S3_PORT,
    Layout,
    Secrets,
)
from samaops.lab.probes import answers_http
from samaops.lab.processes import ProcessSpec, StartError
from samaops.lab.requirements import find_program, postgresql_programs
from samaops.lab.servers import Server, checked_in, run_in
from samaops.site.site import Site

if TYPE_CHECKING:
    from minio import Minio

OBJECTS_PER_BUCKET = 5
OBJECT_BYTES = 4096
BACKUPS = Path("backups") / "postgresql"
BACKUPS_KEPT = 2
OBJECTS = Path("backups") / "minio"


def spec(layout: Layout, server: Server) -> ProcessSpec:
    """Return the S3 server."""
    secrets = layout.secrets()
    minio = find_program("minio")
    if minio:
        endpoint = f"{server.address}:{S3_PORT}"
        argv: tuple[str, ...] = (
            minio,
            "server",
            "--address",
            endpoint,
            "--quiet",
            str(server.data / "minio"),
        )
    else:
        argv = (sys.executable, "-m", "samaops.lab.s3_server", server.address, str(S3_PORT))
    return ProcessSpec(
        name="minio",
        server=server.name,
        address=server.address,
        port=S3_PORT,
        argv=argv,
        ready=lambda: answers_http(f"http://{server.address}:{S3_PORT}/minio/health/live"),
        environment={
            "MINIO_ROOT_USER": MINIO_ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": secrets.minio_secret_key,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            # moto asks no cloud for anything.
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        ready_seconds=40.0,
    )


def client(secrets: Secrets) -> Minio:
    """Return an S3 client with the lab's credentials."""
    from minio import Minio
    from urllib3 import PoolManager, Retry, Timeout

    pool = PoolManager(timeout=Timeout(5.0), retries=Retry(0))
    return Minio(
        f"{DB_ADDRESS}:{S3_PORT}",
        access_key=MINIO_ACCESS_KEY,
        secret_key=secrets.minio_secret_key,
        secure=False,
        region="us-east-1",
        http_client=pool,
    )


def fill(secrets: Secrets) -> bool:
    """Make the buckets that are missing, with a few objects. Return whether any was made."""
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    has_made_any = False
    try:
        storage = client(secrets)
        for bucket in BUCKETS:
            if not storage.bucket_exists(bucket):
                storage.make_bucket(bucket)
                has_made_any = True
                for number in range(OBJECTS_PER_BUCKET):
                    content = io.BytesIO(bytes([number]) * OBJECT_BYTES)
                    storage.put_object(bucket, f"{bucket}-{number:03}.bin", content, OBJECT_BYTES)
    except (MinioException, HTTPError) as error:
        raise StartError(_("object storage: {reason}").format(reason=str(error))) from error
    return has_made_any


def copy_objects(layout: Layout, server: Server) -> bool:
    """Let samaops make its first copy of the objects, unless there is one. Return whether it did."""
    site = Site(load(layout.config_file))
    backup = site.settings.backup
    runs = server.outer(server.data / OBJECTS / "runs")
    if backup is None or backup.objects is None or (runs.is_dir() and any(runs.iterdir())):
        return False
    try:
        run = object_copy.take(site, object_copy.new_id(), lambda _words: None)
    except ClientError as error:
        raise StartError(f"{error.stage}: {error.message}") from error
    if run.state != WHOLE:
        raise StartError(run.reason)
    return True


def back_up(layout: Layout, server: Server) -> bool:
    """Make backups of the last nights with a real pg_dump unless there are some. Return whether any was made."""
    directory = server.data / BACKUPS
    outer = server.outer(directory)
    if outer.is_dir() and any(outer.glob(f"{DATABASE}_*.backup")):
        return False
    outer.mkdir(parents=True, exist_ok=True)
    if system_user():
        checked_in(server, ["chown", f"{SUPERUSER}:", str(directory)])
    newest = _dump(layout, server, directory)
    for night in range(1, BACKUPS_KEPT):
        made_at = datetime.now(timezone.utc) - timedelta(days=night)
        checked_in(server, ["cp", str(directory / newest), str(directory / _file_name(made_at))])
        checked_in(
            server, ["touch", "-d", f"@{int(made_at.timestamp())}", str(directory / _file_name(made_at))]
        )
    return True


def _file_name(made_at: datetime) -> str:
    return f"{DATABASE}_{made_at:%Y%m%d_%H%M%S}.backup"


def _dump(layout: Layout, server: Server, directory: Path) -> str:
    name = _file_name(datetime.now(timezone.utc))
    address = ["-h", server.address, "-p", str(POSTGRESQL_PORT), "-U", SUPERUSER]
    argv = [
        str(postgresql_programs() / "pg_dump"),
        *address,
        "-F",
        "c",
        "-Z",
        "1",
        "-f",
        str(directory / name),
        DATABASE,
    ]
    done = run_in(server, argv, system_user(), variables={"PGPASSWORD": layout.secrets().postgres_password})
    if done.returncode:
        raise StartError(f"pg_dump: {done.stderr.strip()}")
    return name
