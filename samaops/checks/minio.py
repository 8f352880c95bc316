"""Judge MinIO."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, access, check
from samaops.facts.minio import MinioFacts, MinioProbe
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.site.commands import on_server

access(
    "minio.service.unreachable",
    MinioFacts,
    title=lambda minio: _("MinIO answers in {ms} ms").format(ms=round(minio.health_ms, 1)),
)
access(
    "minio.object.probe",
    MinioProbe,
    title=lambda seen: _(
        "MinIO took a marked object in {bucket}, gave it back and removed it in {ms} ms"
    ).format(bucket=seen.place, ms=seen.milliseconds),
    value=lambda seen: seen.milliseconds,
)


@check("minio.write.refused", MinioFacts, needs=("cluster",))
def writes(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    evidence = {"status": minio.write_status, "headers": minio.write_headers or {}}
    if minio.write_status is None:
        yield context.skipped(_("not looked at, see {code}").format(code="minio.health.failing"))
    elif minio.write_status == 200:
        yield context.ok(_("MinIO has the drives it needs for writes"), evidence=evidence)
    elif minio.write_status in (404, 405, 501):
        yield context.skipped(_("this server does not know MinIO's path for its write quorum"))
    else:
        title = _("MinIO refuses writes: too few drives for its write quorum (status {status})")
        words = title.format(status=minio.write_status)
        yield context.crit(words, value=minio.write_status, evidence=evidence, hint=_journal(context))


@check("minio.health.failing", MinioFacts)
def health(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    if minio.health_status == 200:
        yield context.ok(_("MinIO is alive"), value=200)
        return
    title = _("MinIO's health path answers with status {status}").format(status=minio.health_status)
    evidence = {"status": minio.health_status, "server_header": minio.server_header, "url": minio.url}
    yield context.crit(title, value=minio.health_status, evidence=evidence, hint=_journal(context))


@check("minio.login.refused", MinioFacts, needs=("buckets",))
def login(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    if minio.buckets is None:
        yield _not_looked_at(minio, context)
        return
    yield context.ok(
        _("MinIO lists {count} buckets").format(count=len(minio.buckets)), value=len(minio.buckets)
    )


@check("minio.bucket.missing", MinioFacts)
def buckets(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    if minio.buckets is None:
        yield _not_looked_at(minio, context)
        return
    expected = context.site.settings.minio.buckets if context.site.settings.minio else ()
    missing = [name for name in expected if name not in minio.buckets]
    evidence = {"missing": missing, "expected": list(expected), "found": list(minio.buckets[:100])}
    if missing:
        title = _("MinIO lacks {names}").format(names=", ".join(missing))
        yield context.crit(title, value=len(missing), evidence=evidence)
    else:
        yield context.ok(_("All {count} buckets are there").format(count=len(expected)), evidence=evidence)


@check("minio.credentials.default", MinioFacts)
def credentials(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    state = minio.default_credentials
    if state in ("configured", "accepted"):
        title = _("MinIO opens to the default credentials minioadmin/minioadmin")
        yield context.crit(title, evidence={"default_credentials": state})
    elif state == "refused":
        yield context.ok(_("MinIO refuses the default credentials"))
    else:
        title = _("The configured credentials of MinIO are not the default ones")
        yield context.ok(title, detail=_("the default ones were not tried on this server"))


def _not_looked_at(minio: MinioFacts, context: Context) -> Finding:
    if minio.health_status != 200:
        return context.skipped(_("not looked at, see {code}").format(code="minio.health.failing"))
    return context.skipped(_("not looked at, see {code}").format(code="minio.login.refused"))


def _journal(context: Context) -> str:
    server = context.site.settings.minio.server if context.site.settings.minio else "db"
    return on_server(context.site, server, "journalctl -u minio -n 50 --no-pager")
