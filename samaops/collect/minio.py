"""What is observed of MinIO: is it alive, does S3 answer, which buckets are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from samaops.clients import footprint
from samaops.clients.errors import ClientError
from samaops.clients.http import get
from samaops.clients.minio import S3Connection, list_buckets
from samaops.collect.engine import Probe
from samaops.collect.health import url_of
from samaops.collect.probing import compare, marked_name, writing
from samaops.collect.registry import SPARE_SECONDS, Target, collects
from samaops.config.settings import MinIO
from samaops.facts.minio import MinioFacts, MinioProbe
from samaops.i18n import _
from samaops.model.failure import FailureKind
from samaops.site.site import Site

HEALTH_PATH = "/minio/health/live"
# 503 where too few drives are there for a write (MinIO, "Healthcheck Probe", cluster write quorum).
CLUSTER_PATH = "/minio/health/cluster"
# The root user and password of a MinIO that was given none; the guide's own texts use them.
DEFAULT_KEY = "minioadmin"


@collects("minio", MinioFacts)
def look(minio: MinIO, site: Site, probe: Probe) -> MinioFacts:
    """Read health and buckets of MinIO."""
    return observe(url_of_server(minio, site), minio, probe)


def _buckets_of(site: Site) -> Iterator[Target]:
    minio = site.settings.minio
    for bucket in minio.buckets if minio else ():
        yield Target(
            bucket, bucket, minio.server if minio else None, (minio or MinIO()).timeout + SPARE_SECONDS
        )


@collects("minio", MinioProbe, feeds=("minio.object.probe",), targets=_buckets_of, writes=True)
def write(bucket: str, site: Site, probe: Probe) -> MinioProbe:
    """Put a marked object into a bucket, read it, delete it."""
    minio = site.settings.minio or MinIO()
    if not minio.access_key or minio.secret_key is None:
        message = _("[minio] access_key and secret_key are not configured")
        raise ClientError(FailureKind.MISSING, message, "configuration")
    url, name = url_of_server(minio, site), marked_name()
    with writing(probe, minio.timeout) as milliseconds:
        with S3Connection(url, minio.access_key, minio.secret_key.reveal(), minio.timeout) as connection:
            footprint.count(writes=1)
            compare(name.encode(), connection.pass_through(bucket, name, name.encode()))
        return MinioProbe(bucket, milliseconds())


def url_of_server(minio: MinIO, site: Site) -> str:
    """Return where MinIO answers."""
    return minio.url or f"http://{site.address_of(minio.server)}:9000"


def observe(url: str, settings: MinIO, probe: Probe) -> MinioFacts:
    """Ask the health path, then S3. Raises ClientError when either does not serve."""
    probe.stage("GET " + HEALTH_PATH)
    health = get(url_of(url, HEALTH_PATH), timeout=settings.timeout, max_bytes=4096)
    buckets = None
    if health.status == 200 and probe.wants("minio.login", "minio.bucket"):
        buckets = probe.attempt("buckets", lambda: _buckets(url, settings, probe))
        failure = probe.missing.get("buckets")
        if failure is not None and failure.is_outage:
            raise ClientError(failure.kind, failure.message, failure.stage)
    server_header = health.headers.get("server", "")
    cluster = None
    if health.status == 200 and probe.wants("minio.write.refused"):
        path = url_of(url, CLUSTER_PATH)
        timeout = min(settings.timeout, probe.remaining())
        cluster = probe.attempt("cluster", lambda: get(path, timeout=timeout, max_bytes=4096))
    default = ""
    if health.status == 200 and probe.wants("minio.credentials"):
        is_ours_accepted = buckets is not None
        default = _default_credentials(url, settings, server_header, probe, is_ours_accepted)
    return MinioFacts(
        url=url,
        health_status=health.status,
        health_ms=health.total_ms,
        server_header=server_header,
        buckets=buckets,
        default_credentials=default,
        write_status=cluster.status if cluster else None,
        write_headers=_quorum(cluster.headers) if cluster else None,
    )


def _quorum(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:80] for name, value in headers.items() if name.startswith("x-minio-")}


def _buckets(url: str, settings: MinIO, probe: Probe) -> tuple[str, ...]:
    if not settings.access_key or settings.secret_key is None:
        message = _("[minio] access_key and secret_key are not configured")
        raise ClientError(FailureKind.MISSING, message, "list buckets")
    timeout = min(settings.timeout, probe.remaining())
    return list_buckets(url, settings.access_key, settings.secret_key.reveal(), timeout)


def _default_credentials(
    url: str, settings: MinIO, server_header: str, probe: Probe, is_ours_accepted: bool
) -> str:
    """Return whether the default credentials open this server.

    Only a server that calls itself MinIO is asked: an S3 stand-in that checks no signature lets anybody in.
    """
    secret = settings.secret_key.reveal() if settings.secret_key else ""
    if is_ours_accepted and (settings.access_key, secret) == (DEFAULT_KEY, DEFAULT_KEY):
        return "configured"
    if "minio" not in server_header.lower():
        return ""
    probe.stage("default credentials")
    try:
        list_buckets(url, DEFAULT_KEY, DEFAULT_KEY, min(settings.timeout, probe.remaining()))
    except ClientError as error:
        refused = error.kind in (FailureKind.AUTHENTICATION, FailureKind.PERMISSION)
        return "refused" if refused else ""
    return "accepted"
