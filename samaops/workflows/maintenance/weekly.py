"""The tasks of weekly maintenance: those of the guide's ``weekly_maintenance.sh``."""

from __future__ import annotations

from samaops.changes.maintenance.rotation import NAME as RUN
from samaops.changes.maintenance.rotation import TASK as ROTATION
from samaops.facts.maintenance_week import (
    BrokerUse,
    CeleryUse,
    IndexesFacts,
    IndexUse,
    RedisUse,
    Sizes,
    SizesFacts,
    Statements,
    StatementsFacts,
    Use,
)
from samaops.i18n import N_
from samaops.model.routine import Kept, Routine, Task, TaskChange
from samaops.workflows.database import upkeep

# Compared with last week's run, also when somebody ran it by hand since.
_WEEK_HOURS = 6.5 * 24
_MONTH_HOURS = 30 * 24.0
# Until a rebuilt or vacuumed table is seen to be.
_UPKEEP_SECONDS = 120.0

WEEKLY = Routine(
    "weekly",
    title=N_("Weekly maintenance"),
    spare=0.7,
    hours=7 * 24.0,
    limit_seconds=lambda settings: float(settings.maintenance.weekly_limit_seconds),
    tasks=(
        Task(
            "tables",
            N_("Names the largest tables, and those that grew by half since last week."),
            codes=("maintenance.tables",),
            sections=("postgresql",),
            keeps=Kept("sizes", SizesFacts, Sizes, hours=_WEEK_HOURS, field="now"),
        ),
        Task(
            "statements",
            N_("Names the statements that took more than a second on average since last week."),
            codes=("maintenance.statements",),
            sections=("postgresql",),
            keeps=Kept("statements", StatementsFacts, Statements, hours=_WEEK_HOURS, field="now"),
        ),
        Task(
            "indexes",
            N_("Names the indexes that are missing, and those that are of no use."),
            codes=("maintenance.indexes",),
            sections=("postgresql",),
            keeps=Kept("indexes", IndexesFacts, IndexUse, hours=_MONTH_HOURS, field="now"),
        ),
        Task(
            "vacuum",
            N_("Vacuums and analyzes the tables that need it, one by one, beside everybody's work."),
            codes=("postgresql.tables.dead", "postgresql.tables.not_analyzed"),
            sections=("postgresql",),
            change=TaskChange(
                "db vacuum",
                prepare=lambda site: upkeep.prepare(site, "db vacuum", ()),
                wait_seconds=_UPKEEP_SECONDS,
            ),
        ),
        Task(
            "redis-use",
            N_("Compares the use of Redis with last week's: commands, hits, evictions, memory."),
            codes=("maintenance.redis",),
            sections=("redis",),
            keeps=Kept("redis", RedisUse, Use, hours=_WEEK_HOURS, field="now"),
        ),
        Task(
            "rabbitmq-use",
            N_("Compares the use of RabbitMQ with last week's: published, unroutable and waiting messages."),
            codes=("maintenance.rabbitmq",),
            sections=("rabbitmq",),
            keeps=Kept("broker", BrokerUse, Use, hours=_WEEK_HOURS, field="now"),
        ),
        Task(
            "celery-use",
            N_("Compares the tasks of Celery with last week's, and sees that every worker is there."),
            codes=("maintenance.celery", "celery.worker"),
            sections=("flower",),
            keeps=Kept("celery", CeleryUse, Use, hours=_WEEK_HOURS, field="now"),
        ),
        Task(
            "prune",
            N_("Removes the backups that have expired by the policy; never after a failed one."),
            codes=("backup.run", "backup.grade", "backup.retention"),
            sections=("backup",),
            change=TaskChange("backup prune"),
        ),
        Task(
            ROTATION,
            N_("Rotates and compresses the application's logs; nothing is lost that is written meanwhile."),
            codes=("maintenance.rotation",),
            sections=("api", "celery"),
            change=TaskChange(RUN, arguments=(ROTATION,)),
        ),
    ),
)
