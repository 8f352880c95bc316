"""Judge what daily maintenance looks at beside a diagnosis: growth, logs, unused images, its own history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from samaops.checks.quantities import duration, size
from samaops.checks.registry import Context, Explanation, check
from samaops.facts.maintenance import DirectoriesFacts, Growth, HistoryFacts, ImagesFacts, LogFacts, MountUse
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import on_server, samaops

DAY_SECONDS = 86400.0
# A pace taken from less says nothing about a week.
SHORTEST_PACE_SECONDS = 6 * 3600.0
# What a disk gains and loses every day by itself, as a share of it.
USUAL_SHARE = 0.01
LISTED = 10


@check(
    "maintenance.history.unreadable",
    title=N_("What earlier runs of maintenance saw is known"),
    facts=HistoryFacts,
    access=True,
    explain=Explanation(
        meaning=N_(
            "The history cannot be read or written: logs are counted whole, and nobody knows what has grown."
        ),
        confirm=("samaops history list", "samaops config show"),
        fix=N_("Make its file writable for the user of the crontab, or correct [history] url."),
        avoid=N_("Do not delete the history: the journal of all changes is in it."),
    ),
)
def history_known(facts: HistoryFacts, context: Context) -> Iterator[Finding]:
    if facts.last_run_at is None:
        yield context.ok(_("This is the first run: the next one can compare"))
    else:
        title = _("The last run was at {moment}").format(moment=facts.last_run_at)
        yield context.ok(title, evidence={"last_run_at": facts.last_run_at})


# A week leaves time to order a disk or to clean up in working hours.
@check(
    "maintenance.disk.growth",
    title=N_("Growth of each disk since the last run"),
    facts=DirectoriesFacts,
    access=True,
    warning=7,
    unit="d",
    explain=Explanation(
        meaning=N_("At the pace since the last run this disk will be full within days."),
        confirm=("df -h", "du -xah --max-depth=3 /data | sort -rh | head -20"),
        fix=N_(
            "Look at the directories that grew: logs without rotation, backups not expired, WAL that stays."
        ),
        avoid=N_("Never delete anything under pg_wal, and never prune Docker volumes: both are data."),
    ),
)
def growth(facts: DirectoriesFacts, context: Context) -> Iterator[Finding]:
    for one in facts.mounts:
        grown = facts.growth(one.mount)
        subject = f"{context.subject}:{one.mount}"
        if grown is None:
            title = _("{mount}: {used} used; nothing to compare with yet")
            yield context.ok(title.format(mount=one.mount, used=size(one.used_bytes)), subject=subject)
        else:
            yield _grown(one, grown, context, subject)


def _grown(one: MountUse, grown: Growth, context: Context, subject: str) -> Finding:
    title = _("{mount}: {change} in {time}; {used} used, {free} free").format(
        mount=one.mount,
        change=("+" if grown.used_bytes >= 0 else "-") + size(abs(grown.used_bytes)),
        time=duration(grown.seconds),
        used=size(one.used_bytes),
        free=size(one.available_bytes),
    )
    detail = who_grew(grown)
    evidence = {
        "since": _moment(grown.since),
        "used_bytes": one.used_bytes,
        "grown_bytes": grown.used_bytes,
        "directories": [{"path": path, "grown_bytes": count} for path, count in grown.directories],
        "is_partial": one.is_partial,
    }
    is_usual = grown.used_bytes <= USUAL_SHARE * one.size_bytes or grown.seconds < SHORTEST_PACE_SECONDS
    if is_usual:
        return context.ok(title, subject=subject, detail=detail, evidence=evidence)
    days = round(one.available_bytes / grown.used_bytes * grown.seconds / DAY_SECONDS, 1)
    hint = on_server(context.site, _server(context), f"du -xah --max-depth=3 {one.mount} | sort -rh | head")
    title += ": " + _("full in {days} days at this pace").format(days=days)
    return context.below(days, title, subject=subject, detail=detail, evidence=evidence, hint=hint)


def who_grew(grown: Growth) -> str:
    """Say which directories grew since an earlier run; empty when none did by much."""
    if not grown.directories:
        return ""
    names = ", ".join(f"{path} +{size(count)}" for path, count in grown.directories)
    return _("grew since {moment}: {names}").format(moment=_moment(grown.since), names=names)


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


# The guide alerts above 100 lines.
@check(
    "maintenance.logs.errors",
    title=N_("ERROR and CRITICAL lines since the last run"),
    facts=LogFacts,
    access=True,
    warning=100,
    unit="lines",
    explain=Explanation(
        meaning=N_(
            "The application logged more errors since the last run than it should on an ordinary day."
        ),
        confirm=(
            "grep -hE 'ERROR|CRITICAL' /opt/samaconso/logs/*.log | tail -50",
            "zgrep -cE 'ERROR|CRITICAL' /opt/samaconso/logs/*.log*",
        ),
        fix=N_("Begin with the message that repeats most; samaops diagnose names a broken neighbour."),
        avoid=N_("Do not lower the log level to make the alert go away."),
    ),
)
def errors(logs: LogFacts, context: Context) -> Iterator[Finding]:
    if not logs.files_listed:
        title = _("There is no log {pattern} in {directory}: nothing was read")
        yield context.unknown(title.format(pattern=logs.pattern, directory=logs.directory))
        return
    is_over = context.warning is not None and logs.errors > context.warning
    is_far_over = context.critical is not None and logs.errors > context.critical
    status = Status.CRITICAL if is_far_over else Status.WARNING if is_over else Status.OK
    detail = "; ".join(f"{one.count}× {one.text}" for one in logs.messages[:3])
    command = f"grep -hE 'ERROR|CRITICAL' {logs.directory}/{logs.pattern} | tail -50"
    yield context.finding(
        status,
        _errors_title(logs),
        value=logs.errors,
        detail=detail,
        evidence=_errors_evidence(logs),
        hint=on_server(context.site, _server(context), command),
    )


def _errors_title(logs: LogFacts) -> str:
    criticals = sum(one.criticals for one in logs.files)
    counts = {
        "count": logs.errors,
        "criticals": criticals,
        "files": sum(1 for one in logs.files if not one.problem),
    }
    if logs.since is None:
        return _("{count} ERROR lines ({criticals} CRITICAL) in {files} files, first reading").format(
            **counts
        )
    title = _("{count} ERROR lines ({criticals} CRITICAL) in {files} files since {moment}")
    return title.format(moment=_moment(logs.since), **counts)


def _errors_evidence(logs: LogFacts) -> dict[str, object]:
    worst = sorted(logs.files, key=lambda one: -(one.errors + one.criticals))
    return {
        "since": None if logs.since is None else _moment(logs.since),
        "files": {one.name: one.errors + one.criticals for one in worst[:50]},
        "criticals": sum(one.criticals for one in logs.files),
        "messages": [{"text": one.text, "count": one.count} for one in logs.messages],
        "is_sampled": logs.is_sampled,
    }


@check(
    "maintenance.logs.unread",
    title=N_("Every log could be read"),
    facts=LogFacts,
    unit="files",
    explain=Explanation(
        meaning=N_("Errors in these files were not counted: nobody knows how many there are."),
        confirm=("ls -l /opt/samaconso/logs", "df -h /opt/samaconso/logs"),
        fix=N_("Let samaops' user read the logs (group, or sudo), and rotate files of many gigabytes."),
        avoid=N_("Do not truncate a log that nobody has read."),
    ),
)
def unread(logs: LogFacts, context: Context) -> Iterator[Finding]:
    if not logs.unread:
        yield context.ok(
            ngettext(
                "{count} part of a log was read", "{count} parts of logs were read", len(logs.files)
            ).format(count=len(logs.files))
        )
        return
    yield context.unknown(
        ngettext(
            "{count} log could not be read: {names}",
            "{count} logs could not be read: {names}",
            len(logs.unread),
        ).format(count=len(logs.unread), names=", ".join(one.name for one in logs.unread[:LISTED])),
        value=len(logs.unread),
        detail=logs.unread[0].problem,
        evidence={"files": {one.name: one.problem for one in logs.unread[:50]}},
        hint=on_server(context.site, _server(context), f"ls -l {logs.directory}"),
    )


@check(
    "maintenance.images.unused",
    title=N_("Images that nothing uses are removed"),
    facts=ImagesFacts,
    access=True,
    unit="images",
    explain=Explanation(
        meaning=N_(
            "Images older than three days that no container uses, and that no rollback needs, take space on the disk."
        ),
        confirm=("docker image ls", "docker system df", "docker ps -a --format '{{.Names}} {{.Image}}'"),
        fix=N_(
            "samaops maintain daily --only images --dry-run shows which would go; without --dry-run they go."
        ),
        avoid=N_(
            "Never docker system prune -a or --volumes: it takes the image a rollback needs, and data of stopped services."
        ),
    ),
)
def unused_images(facts: ImagesFacts, context: Context) -> Iterator[Finding]:
    settings = context.site.settings.maintenance
    found = facts.removable(settings.image_age_hours, settings.releases_kept)
    evidence = {
        "images": len(facts.images),
        "disk_bytes": facts.disk_bytes,
        "removable": [
            {"id": one.id, "tags": list(one.tags), "size_bytes": one.size_bytes} for one in found[:50]
        ],
    }
    if not found:
        title = _("None of {count} images can be removed: used, recent, or needed for a rollback")
        yield context.ok(title.format(count=len(facts.images)), value=0, evidence=evidence)
        return
    yield context.warn(
        _("{count} of {images} images are used by nothing: {names}").format(
            count=len(found),
            images=len(facts.images),
            names=", ".join(one.names[0] for one in found[:3]) + ("…" if len(found) > 3 else ""),
        ),
        value=len(found),
        evidence=evidence,
        hint=samaops(context.site, "maintain daily --only images"),
    )


def _server(context: Context) -> str | None:
    return context.observation.server if context.observation else None
