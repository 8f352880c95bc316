"""The tasks of daily maintenance: those of the guide's ``daily_maintenance.sh``, and the backup's age."""

from __future__ import annotations

from collections.abc import Sequence

from samaops.config import consistency
from samaops.config.settings import Threshold
from samaops.errors import ConfigurationError, UsageError
from samaops.i18n import N_, _
from samaops.model.task import Task
from samaops.site.site import Site

# The guide's daily script alerts above 85 %; a diagnosis warns from 80 on.
DISK_CODE, DISK_PERCENT = "servers.disk.full", 85.0

DAILY = (
    Task(
        "disk",
        N_("Alerts when a disk is over 85 % full, and says which directories grew since yesterday."),
        (DISK_CODE, "servers.disk.inodes", "maintenance.disk"),
        ("servers",),
    ),
    Task(
        "containers",
        N_("Sees that every container runs, is healthy, and does not restart again and again."),
        ("docker.engine", "docker.container"),
        ("docker",),
    ),
    Task(
        "images",
        N_("Removes images that no container uses and no rollback needs; never a volume."),
        ("maintenance.images",),
        ("docker",),
        changes=True,
    ),
    Task(
        "logs",
        N_("Counts ERROR and CRITICAL lines since the last run, and names the messages that repeat."),
        ("maintenance.logs",),
        ("api", "celery"),
    ),
    Task(
        "postgresql",
        N_("Asks PostgreSQL SELECT 1 through the pool, as the application does."),
        ("pgbouncer.query.failed",),
        ("pgbouncer",),
    ),
    Task("redis", N_("Asks Redis whether it answers."), ("redis.service",), ("redis",)),
    Task(
        "backup",
        N_("Sees that last night's backup is there, young, and of the usual size."),
        ("backup.directory", "backup.newest", "backup.size"),
        ("backup",),
    ),
)
_HISTORY = "maintenance.history"


def choose(site: Site, only: Sequence[str]) -> tuple[Task, ...]:
    """Return the tasks that are asked for and can be done with this configuration.

    Raises UsageError for a name that is no task, ConfigurationError when nothing of what is asked for is configured.
    """
    names = tuple(one.name for one in DAILY)
    for name in only:
        if name not in names:
            raise UsageError(
                _("There is no task {name!r}").format(name=name) + "; " + consistency.not_one_of(name, names),
                hint="samaops maintain list",
            )
    asked = tuple(one for one in DAILY if not only or one.name in only)
    found = tuple(one for one in asked if any(site.section(section) for section in one.sections))
    if not found or (only and len(found) < len(asked)):
        missing = ", ".join(one.name for one in asked if one not in found)
        raise ConfigurationError(
            _("Nothing of {names} is configured").format(names=missing), hint="samaops config show"
        )
    return found


def codes(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return the checks that some tasks ask for, and what is known of earlier runs."""
    return (*(code for one in tasks for code in one.codes), _HISTORY)


def with_limits(site: Site) -> Site:
    """Return the settings with the guide's daily limits where the site has none of its own."""
    if DISK_CODE in site.settings.thresholds:
        return site
    own = {**site.settings.thresholds, DISK_CODE: Threshold(warning=DISK_PERCENT)}
    return Site(site.settings.model_copy(update={"thresholds": own}))
