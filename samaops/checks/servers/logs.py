"""Judge what the logs of PostgreSQL and PgBouncer say."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks import log_words
from samaops.checks.registry import Context, access_check
from samaops.facts.pgbouncer import PgBouncerFacts
from samaops.facts.servers import ServiceLog, ServiceLogs
from samaops.i18n import _
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.shell_words import operands, quoted


# Trouble that another check looks at is only the evidence for it: a log cannot tell that it is over.
@access_check("servers.log.trouble", ServiceLogs)
def trouble(seen: ServiceLogs, context: Context) -> Iterator[Finding]:
    for log in seen.logs:
        yield _of_service(log, seen.epoch, context.about(f"{log.system}/{context.server}"))
    if not seen.logs:
        yield context.skipped(_("no log of PostgreSQL or PgBouncer was found on this server"))


def _opens_sessions(context: Context) -> bool:
    """Return whether the application's user got a session through the pool in this look.

    FATAL ends the session of whom it is told. Where the application gets one now, it was of before, or of somebody
    else.
    """
    return any(
        facts.query is not None and facts.query.milliseconds is not None
        for _observation, facts in context.snapshot.facts_of(PgBouncerFacts)
    )


def _of_service(log: ServiceLog, now: float, context: Context) -> Finding:
    if log.lines is None:
        return context.unknown(
            _("The log of {name} may not be read: {source}").format(name=log.system, source=log.source)
        )
    reason = log_words.trouble(log.lines, log.system, now - log_words.FRESH_SECONDS)
    if reason is None:
        return context.ok(
            _("The log of {name} tells of no trouble").format(name=log.system),
            evidence={"source": log.source},
        )
    is_over = "FATAL" in reason.line and _opens_sessions(context)
    is_still_so = reason.is_still_so(now) and not is_over
    return context.finding(
        Status.WARNING if is_still_so else Status.OK,
        reason.title(log.system, is_still_so=is_still_so),
        evidence={"system": log.system, **reason.evidence_at(now), "source": log.source},
        hint=context.on_server(
            f"journalctl -u {quoted(f'{log.system}*')} -n 50"
            if log.source == "journalctl"
            else f"tail -n 50 {operands(log.source)}"
        ),
    )
