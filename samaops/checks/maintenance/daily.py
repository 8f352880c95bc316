"""Judge what daily maintenance looks at beside a diagnosis: growth, logs, unused images, its own history."""

from __future__ import annotations

import re
from collections.abc import Iterator

from samaops.checks.registry import Context, Evidence, access_check, check
from samaops.facts.maintenance import DirectoriesFacts, Growth, HistoryFacts, ImagesFacts, LogFacts, MountUse
from samaops.i18n import _, joined, ngettext, some
from samaops.model.finding import Finding
from samaops.model.quantities import duration, moment, size
from samaops.model.status import Status
from samaops.site.commands import samaops
from samaops.site.shell_words import operands, quoted

DAY_SECONDS = 86400.0
# A pace taken from less says nothing about a week.
SHORTEST_PACE_SECONDS = 6 * 3600.0
# What a disk gains and loses every day by itself, as a share of it.
USUAL_SHARE = 0.01
LISTED = 10


@access_check("maintenance.history.unreadable", HistoryFacts)
def history_known(facts: HistoryFacts, context: Context) -> Iterator[Finding]:
    if facts.last_run_at is None:
        yield context.ok(_("This is the first run: the next one can compare"))
    else:
        title = _("The last run was at {moment}").format(moment=facts.last_run_at)
        yield context.ok(title, evidence={"last_run_at": facts.last_run_at})


# A week leaves time to order a disk or to clean up in working hours.
@access_check("maintenance.disk.growth", DirectoriesFacts, warning=7, unit="d", less_is_worse=True)
def growth(facts: DirectoriesFacts, context: Context) -> Iterator[Finding]:
    for mount in facts.mounts:
        grown = facts.growth(mount.mount)
        about = context.about(f"{context.subject}:{mount.mount}")
        if grown is None:
            title = _("{mount}: {used} used; nothing to compare with yet")
            yield about.ok(title.format(mount=mount.mount, used=size(mount.used_bytes)))
        else:
            yield _grown(mount, grown, about)


def _grown(mount: MountUse, grown: Growth, context: Context) -> Finding:
    title = _("{mount}: {change} in {time}; {used} used, {free} free").format(
        mount=mount.mount,
        change=("+" if grown.used_bytes >= 0 else "-") + size(abs(grown.used_bytes)),
        time=duration(grown.seconds),
        used=size(mount.used_bytes),
        free=size(mount.available_bytes),
    )
    detail = who_grew(grown)
    evidence = {
        "since": moment(grown.since),
        "used_bytes": mount.used_bytes,
        "grown_bytes": grown.used_bytes,
        "directories": [{"path": path, "grown_bytes": count} for path, count in grown.directories],
        "is_partial": mount.is_partial,
    }
    is_usual = grown.used_bytes <= USUAL_SHARE * mount.size_bytes or grown.seconds < SHORTEST_PACE_SECONDS
    if is_usual:
        return context.ok(title, detail=detail, evidence=evidence)
    days = round(mount.available_bytes / grown.used_bytes * grown.seconds / DAY_SECONDS, 1)
    hint = context.on_server(f"du -xah --max-depth=3 {operands(mount.mount)} | sort -rh | head")
    title += ": " + _("full in {days} days at this pace").format(days=days)
    return context.below(days, title, detail=detail, evidence=evidence, hint=hint)


def who_grew(grown: Growth) -> str:
    """Say which directories grew since an earlier run; empty when none did by much."""
    if not grown.directories:
        return ""
    names = ", ".join(f"{path} +{size(count)}" for path, count in grown.directories)
    return _("grew since {moment}: {names}").format(moment=moment(grown.since), names=names)


def _glob(pattern: str) -> str:
    """Return a pattern of names for the shell: what stands for other characters keeps doing so."""
    return "".join(part if part in "*?" else quoted(part) for part in re.split("([*?])", pattern) if part)


# The guide alerts above 100 lines.
@access_check("maintenance.logs.errors", LogFacts, warning=100, unit="lines")
def errors(logs: LogFacts, context: Context) -> Iterator[Finding]:
    if not logs.files_listed:
        title = _("There is no log {pattern} in {directory}: nothing was read")
        evidence = {"left_out": list(logs.left_out[:50])}
        hint = context.on_server(f"ls -la {operands(logs.directory)}/")
        title = title.format(pattern=logs.pattern, directory=logs.directory)
        yield context.unknown(title, evidence=evidence, hint=hint)
        return
    is_over = context.warning is not None and logs.errors > context.warning
    is_far_over = context.critical is not None and logs.errors > context.critical
    status = Status.CRITICAL if is_far_over else Status.WARNING if is_over else Status.OK
    detail = joined(f"{message.count}× {message.text}" for message in logs.messages[:3])
    command = f"grep -haiE 'error|critical|fatal' {operands(logs.directory)}/{_glob(logs.pattern)} | tail -50"
    yield context.finding(
        status,
        _errors_title(logs),
        value=logs.errors,
        detail=detail,
        evidence=_errors_evidence(logs),
        hint=context.on_server(command),
    )


def _errors_title(logs: LogFacts) -> str:
    counts = {
        "count": logs.errors,
        "criticals": sum(file.criticals for file in logs.files),
        "files": sum(1 for file in logs.files if not file.problem),
    }
    if logs.since is None:
        return _("{count} ERROR lines ({criticals} CRITICAL) in {files} files, first reading").format(
            **counts
        )
    title = _("{count} ERROR lines ({criticals} CRITICAL) in {files} files since {moment}")
    return title.format(moment=moment(logs.since), **counts)


def _errors_evidence(logs: LogFacts) -> Evidence:
    worst = sorted(logs.files, key=lambda file: -(file.errors + file.criticals))
    return {
        "since": None if logs.since is None else moment(logs.since),
        "files": {file.name: file.errors + file.criticals for file in worst[:50]},
        "criticals": sum(file.criticals for file in logs.files),
        "messages": [{"text": message.text, "count": message.count} for message in logs.messages],
        "is_sampled": logs.is_sampled,
        "left_out": list(logs.left_out[:50]),
    }


@check("maintenance.logs.unread", LogFacts, unit="files")
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
        ).format(count=len(logs.unread), names=", ".join(file.name for file in logs.unread[:LISTED])),
        value=len(logs.unread),
        detail=logs.unread[0].problem,
        evidence={"files": {file.name: file.problem for file in logs.unread[:50]}},
        hint=context.on_server(f"ls -l {operands(logs.directory)}/"),
    )


@access_check("maintenance.images.unused", ImagesFacts, unit="images")
def unused_images(facts: ImagesFacts, context: Context) -> Iterator[Finding]:
    settings = context.site.settings.maintenance
    unused = facts.removable(settings.image_age_hours, settings.releases_kept)
    evidence = {
        "images": len(facts.images),
        "disk_bytes": facts.disk_bytes,
        "removable": [
            {"id": image.id, "tags": list(image.tags), "size_bytes": image.size_bytes}
            for image in unused[:50]
        ],
        "age_unknown": [
            image.names[0] for image in facts.images if image.since is None and not image.is_used
        ][:50],
    }
    if not unused:
        title = _("None of {count} images can be removed: used, recent, or needed for a rollback")
        yield context.ok(title.format(count=len(facts.images)), value=0, evidence=evidence)
        return
    yield context.warn(
        _("{count} of {images} images are used by nothing: {names}").format(
            count=len(unused),
            images=len(facts.images),
            names=some((image.names[0] for image in unused), 3),
        ),
        value=len(unused),
        evidence=evidence,
        hint=samaops(context.site, "maintain daily --only images"),
    )
