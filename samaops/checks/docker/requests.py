"""Judge what a member of the API answers its clients, as its own log tells: its health path may be well meanwhile."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from samaops.checks import log_words
from samaops.checks.docker.log import see_log
from samaops.checks.docker.subjects import about_container
from samaops.checks.registry import Context, check
from samaops.facts.docker import DockerFacts
from samaops.facts.log import LogLine
from samaops.i18n import _
from samaops.model.finding import Finding

# A line of the access log of uvicorn, gunicorn or nginx; the numbers in a path are customers.
_ACCESS = re.compile(r"\"[A-Z]+ (?P<path>/[^ ?\"]*)[^ \"]* HTTP/[\d.]+\" (?P<status>\d{3})\b")
_NUMBER = re.compile(r"(?<=/)(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27})(?=/|$)")
# A client may fail by itself once or twice. What is older may be over, and a log cannot tell that.
LEAST_FAILURES = 3
FRESH_SECONDS = 60.0


@check("docker.log.requests", DockerFacts, needs=("inside",))
def failing(docker: DockerFacts, context: Context) -> Iterator[Finding]:
    members = {member.container: member.name for member in context.site.members()}
    for name, container in docker.working.items():
        if name not in members or container.state != "running" or container.log is None:
            continue
        member = members[name]
        about = about_container(name, context)
        failed = _failed(container.log, docker.epoch - FRESH_SECONDS)
        path, statuses = max(failed.items(), key=lambda row: len(row[1]), default=("", []))
        if len(statuses) < LEAST_FAILURES:
            yield about.ok(
                _("The log of {member} has no request that fails again and again").format(member=member)
            )
            continue
        title = _(
            "{member} answers {path} with status {status}: {count} times within a minute, and never well since"
        )
        reason = log_words.last_words(
            [line for line in container.log if not _ACCESS.search(line.text)],
            "api",
            docker.epoch - FRESH_SECONDS,
        )
        yield about.warn(
            title.format(member=member, path=path, status=statuses[-1], count=len(statuses)),
            detail=reason.words if reason else "",
            evidence={
                "path": path,
                "failed": len(statuses),
                "statuses": sorted(set(statuses)),
                "paths": {other: len(answers) for other, answers in failed.items()},
                **(reason.evidence_at(docker.epoch) if reason else {}),
            },
            hint=see_log(container, context),
        )


def _failed(log: Sequence[LogLine], since: float) -> Mapping[str, list[int]]:
    """Return by its path each request that failed since then, and since the path was last answered well."""
    failed: dict[str, list[int]] = defaultdict(list)
    for line in log:
        request = _ACCESS.search(line.text)
        if request is None or line.at is None or line.at < since or log_words.HEALTH.search(request["path"]):
            continue
        path, status = _NUMBER.sub("{id}", request["path"]), int(request["status"])
        if status >= 500:
            failed[path].append(status)
        else:
            failed.pop(path, None)
    return failed
