"""The commands that exist: where each is, and one line of help. A command's module is imported when it is called."""

from __future__ import annotations

from samaops.i18n import N_

COMMANDS = {
    "diagnose": ("samaops.cli.diagnose", N_("Find what is broken and why, the root cause first.")),
    "explain": (
        "samaops.cli.explain",
        N_("What a finding or a cause means, how to confirm it, the least risky fix."),
    ),
    "troubleshoot": (
        "samaops.cli.troubleshoot",
        N_("From one symptom to its cause, its fix, and the proof that it helped."),
    ),
    "maintain": (
        "samaops.cli.maintain",
        N_("The daily, weekly and monthly tasks, for the crontab and for people."),
    ),
    "report": (
        "samaops.cli.report",
        N_("What is told of a period: availability, the guide's objectives, what grows."),
    ),
    "schedule": (
        "samaops.cli.schedule",
        N_("What runs by itself: the scheduler, its jobs, why one did not run."),
    ),
    "silence": (
        "samaops.cli.silence",
        N_("Tell nobody of a finding for some time; it stays in every report."),
    ),
    "notify": ("samaops.cli.notify", N_("Who is told: try out each channel.")),
    "checklist": (
        "samaops.cli.checklist",
        N_("The checklists of going live: look, sign, go or no-go."),
    ),
    "workers": ("samaops.cli.workers", N_("The Celery workers: list, restart, scale, add a queue.")),
    "queue": (
        "samaops.cli.queue",
        N_("RabbitMQ's queues: list, peek, export, purge, park a poison message."),
    ),
    "docker": (
        "samaops.cli.docker",
        N_("The containers: list, measure, read logs, clean up images, restart one."),
    ),
    "disk": (
        "samaops.cli.disk",
        N_("The servers' disks: who uses them, who grew, clean up, keep a reserve."),
    ),
    "network": (
        "samaops.cli.network",
        N_("Who reaches whom: the connectivity matrix as it is found, and its firewall rules."),
    ),
    "db": ("samaops.cli.db", N_("The database: look at it, end a session, psql.")),
    "pool": (
        "samaops.cli.pool",
        N_("PgBouncer: look at its pools, pause and resume, size, reload."),
    ),
    "release": (
        "samaops.cli.release",
        N_("The application's releases: list them, record and keep what runs."),
    ),
    "rollback": (
        "samaops.cli.rollback",
        N_("Go back to an earlier release: see whether and how that can be done, and do it."),
    ),
    "balancer": (
        "samaops.cli.balancer",
        N_("The load balancer's pool: list its members, take one out, put it back."),
    ),
    "backup": (
        "samaops.cli.backup",
        N_("The backups: make one, list, prove, keep and remove them."),
    ),
    "restore": (
        "samaops.cli.restore",
        N_("Bring a backup back: the database, one table, objects; and the way back from that."),
    ),
    "redis": ("samaops.cli.redis", N_("Redis: who has its memory, large keys, expiry, limits, redis-cli.")),
    "ssh": ("samaops.cli.ssh", N_("Log in to a server of the configuration, or run one command there.")),
    "history": ("samaops.cli.history", N_("What was changed, when, by whom, and how it ended.")),
    "undo": ("samaops.cli.undo", N_("Take a change back.")),
    "sites": ("samaops.cli.sites", N_("The sites that are configured, and how each was found last.")),
    "doctor": (
        "samaops.cli.doctor",
        N_("What this machine lacks to run samaops, and what to do about it."),
    ),
    "config": ("samaops.cli.config", N_("Write, check and show the configuration.")),
    "docs": ("samaops.cli.docs", N_("The documentation: list its pages, read one, write them as a site.")),
    "lab": ("samaops.cli.lab", N_("A small real SamaConso production on this machine, for practice.")),
}
# What runs for months loads no more than it needs: nothing that connects to a server, nor what plans a change.
ALONE = {"schedule run": "samaops.cli.scheduler", "maintain sample": "samaops.cli.sampler"}
