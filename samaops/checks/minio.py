"""Judge MinIO."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.minio import MinioFacts
from samaops.i18n import N_, _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import on_server

CURL = "curl -si -m 5 http://<serveur db>:9000/minio/health/live"


@check(
    "minio.service.unreachable",
    title=N_("MinIO answers"),
    facts=MinioFacts,
    access=True,
    explain=Explanation(
        meaning=N_("Avatars, documents and uploads cannot be read or stored: these parts of the API fail."),
        confirm=(CURL, "ssh <serveur db> systemctl status minio", "ssh <serveur db> df -h /data/minio"),
        fix=N_("Read why it ended (journalctl -u minio); a full or read-only disk comes first."),
        avoid=N_("Never delete anything under /data/minio by hand: go through S3."),
    ),
)
def answers(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    yield context.ok(_("MinIO answers in {ms} ms").format(ms=round(minio.health_ms, 1)))


@check(
    "minio.health.failing",
    title=N_("MinIO says that it is alive"),
    facts=MinioFacts,
    explain=Explanation(
        meaning=N_("MinIO's own health path does not answer 200: it is starting, or lost its drives."),
        confirm=(CURL, "ssh <serveur db> journalctl -u minio -n 50"),
        fix=N_("Read MinIO's journal for the drive or the lock it waits for."),
        avoid=N_("Do not restart it in a loop: the start-up scan begins again each time."),
    ),
)
def health(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    if minio.health_status == 200:
        yield context.ok(_("MinIO is alive"), value=200)
        return
    title = _("MinIO's health path answers with status {status}").format(status=minio.health_status)
    evidence = {"status": minio.health_status, "server_header": minio.server_header, "url": minio.url}
    yield context.crit(title, value=minio.health_status, evidence=evidence, hint=_journal(context))


@check(
    "minio.login.refused",
    title=N_("MinIO lets us list the buckets"),
    facts=MinioFacts,
    needs=("buckets",),
    explain=Explanation(
        meaning=N_(
            "The configured access key cannot list buckets: it was changed, or its policy does not allow it."
        ),
        confirm=("mc alias list", "mc ls <alias>"),
        fix=N_("Give [minio] a key whose policy has s3:ListAllMyBuckets, and nothing that writes."),
    ),
)
def login(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    if minio.buckets is None:
        yield _not_looked_at(minio, context)
        return
    yield context.ok(
        _("MinIO lists {count} buckets").format(count=len(minio.buckets)), value=len(minio.buckets)
    )


@check(
    "minio.bucket.missing",
    title=N_("The buckets of the application exist"),
    facts=MinioFacts,
    explain=Explanation(
        meaning=N_(
            "The application stores into buckets that it expects to exist; without one, its uploads fail."
        ),
        confirm=("mc ls <alias>",),
        fix=N_("Find out who removed it and whether its objects are in the backup before it is made again."),
        avoid=N_("Do not create an empty one in haste: it hides that the objects are gone."),
    ),
)
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


@check(
    "minio.credentials.default",
    title=N_("MinIO's credentials are not the default ones"),
    facts=MinioFacts,
    explain=Explanation(
        meaning=N_(
            "minioadmin/minioadmin opens this server: anybody on the network reads and deletes every object."
        ),
        confirm=("ssh <serveur db> grep MINIO_ROOT /etc/default/minio",),
        fix=N_(
            "Set MINIO_ROOT_USER and MINIO_ROOT_PASSWORD, restart MinIO, then change the application's key."
        ),
        avoid=N_("Do not change the key before the application has the new one: its uploads would fail."),
    ),
)
def credentials(minio: MinioFacts, context: Context) -> Iterator[Finding]:
    found = minio.default_credentials
    if found in ("configured", "accepted"):
        title = _("MinIO opens to the default credentials minioadmin/minioadmin")
        yield context.crit(title, evidence={"default_credentials": found})
    elif found == "refused":
        yield context.ok(_("MinIO refuses the default credentials"))
    else:
        title = _("The configured credentials of MinIO are not the default ones")
        yield context.ok(title, detail=_("the default ones were not tried on this server"))


def _not_looked_at(minio: MinioFacts, context: Context) -> Finding:
    if minio.health_status != 200:
        detail = _("not looked at, see {code}").format(code="minio.health.failing")
    else:
        detail = _("not looked at, see {code}").format(code="minio.login.refused")
    return context.finding(Status.SKIPPED, _(context.rule.title), detail=detail)


def _journal(context: Context) -> str:
    server = context.site.settings.minio.server if context.site.settings.minio else "db"
    return on_server(context.site, server, "journalctl -u minio -n 50 --no-pager")
