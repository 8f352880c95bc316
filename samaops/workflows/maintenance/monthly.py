"""The tasks of monthly maintenance: those of the guide's ``monthly_maintenance.sh``, and what it left empty."""

from __future__ import annotations

from samaops.changes.restoring import drill
from samaops.collect import certificates
from samaops.facts.maintenance_month import AccessFacts, AccessSeen, AuditFacts, AuditSeen
from samaops.i18n import N_
from samaops.model.routine import Kept, Routine, Task, TaskChange
from samaops.site.site import Site
from samaops.workflows import restoring
from samaops.workflows.database import upkeep

# Compared with last month's run, also when somebody ran it by hand since.
_MONTH_HOURS = 27 * 24.0
# Until a rebuilt index is seen to be.
_UPKEEP_SECONDS = 120.0
_LATEST = "latest"

MONTHLY = Routine(
    "monthly",
    title=N_("Monthly maintenance"),
    spare=0.7,
    hours=31 * 24.0,
    limit_seconds=lambda settings: float(settings.maintenance.monthly_limit_seconds),
    tasks=(
        Task(
            "updates",
            N_("Tells the pending updates, those that close holes apart, and what waits for a restart."),
            codes=("maintenance.updates",),
            sections=("servers",),
        ),
        Task(
            "audit",
            N_("Has lynis look at each server, and tells what it did not warn of last month."),
            codes=("maintenance.audit",),
            sections=("servers",),
            keeps=Kept("audit", AuditFacts, AuditSeen, hours=_MONTH_HOURS, field="now"),
        ),
        Task(
            "access",
            N_("Tells who may log in, who has all rights and which keys are let in, and what is new in it."),
            codes=("maintenance.access",),
            sections=("servers",),
            keeps=Kept("access", AccessFacts, AccessSeen, hours=_MONTH_HOURS, field="now"),
        ),
        Task(
            "certificates",
            N_("Looks at the certificates in use: how long they last, and whether anybody trusts them."),
            codes=("certificates",),
            sections=("certificates", "postgresql", "pgbouncer", "redis", "rabbitmq", "notify"),
            on=lambda settings: any(True for _target in certificates.watched(Site(settings))),
        ),
        Task(
            "drill",
            N_("Restores the newest backup into a database of its own, compares it, and drops that again."),
            codes=("backup.run", "backup.grade"),
            sections=("backup",),
            change=TaskChange(
                drill.NAME, prepare=lambda site: restoring.plan(site, drill.NAME, (_LATEST,), _LATEST)
            ),
        ),
        Task(
            "logins",
            N_("Counts log-ins by source, refusals, and commands as root of the last month."),
            codes=("maintenance.logins",),
            sections=("servers",),
        ),
        Task(
            "safety",
            N_(
                "Looks for default passwords, open ports, readable secrets, TLS that trusts anyone, root, old versions."
            ),
            codes=(
                "maintenance.safety",
                "postgresql.service",
                "rabbitmq.credentials",
                "minio.credentials",
                "flower.credentials",
            ),
            sections=("servers",),
        ),
        Task(
            "reindex",
            N_("Rebuilds the indexes that need it, one by one, beside everybody's work."),
            codes=("postgresql.index.invalid",),
            sections=("postgresql",),
            change=TaskChange(
                "db reindex",
                prepare=lambda site: upkeep.prepare(site, "db reindex", ()),
                wait_seconds=_UPKEEP_SECONDS,
            ),
        ),
        Task(
            "report",
            N_("Writes the page of the month that is over, and mails it where [notify.mail] says to whom."),
            codes=("maintenance.report",),
            sections=("servers",),
            is_last=True,
        ),
    ),
)
