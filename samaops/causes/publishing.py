"""The root before the first hop: notifications are due, all that carries them is well, and nobody publishes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from samaops.causes import reasons
from samaops.causes.effects import codes, in_part
from samaops.causes.root import Rank, Root, root, safe
from samaops.causes.topology import NOT_PUBLISHED
from samaops.causes.view import View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import direct, on_server, sql_text
from samaops.site.shell_words import operands
from samaops.site.site import Site

_SHOWN = 3
_LOGS = ("servers.log.trouble", "docker.log.trouble")
# Who publishes tries again all the time: what is older may be over.
_FRESH_SECONDS = 120


@root(
    "publishing-refused",
    on=NOT_PUBLISHED,
    rank=Rank.WORK,
    runbook="notifications",
    effects=in_part(codes(*_LOGS)),
    distinguished_from=("nothing-published",),
)
def publishing_refused(finding: Finding, view: View) -> Root | None:
    """Who publishes is there, and is refused: it may send what is due again and again, and never mark it."""
    table = str(finding.evidence.get("table") or "")
    logs = [log for code in _LOGS for log in view.findings_of(code) if _refuses(log, table)]
    if not logs:
        return None
    reason = logs[0].evidence.get("reason")
    text = _(
        "Ask which release brought what refuses it, and take that back; users may get the same message again"
    )
    constraints = (
        f"SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint "
        f"WHERE conrelid = to_regclass({sql_text(table)})"
    )
    return Root(
        _("What is due cannot be published or marked as published: {words}").format(
            words=logs[0].evidence.get("words")
        ),
        (safe("publishing.refused", text, direct(view.site, constraints)),),
        speaks_for=(finding.title, *(log.title for log in logs)),
        effects=codes(*_LOGS, when=lambda log: log.evidence.get("reason") == reason),
    )


def _refuses(log: Finding, table: str) -> bool:
    """Return whether a line of a log, written just now, speaks of a write to the table that is refused."""
    reason, line = reasons.of_finding(log), str(log.evidence.get("line") or "")
    age = log.evidence.get("age_seconds")
    is_fresh = isinstance(age, (int, float)) and age <= _FRESH_SECONDS
    is_refusal = reason is not None and reason.kind in ("constraint", "conflict", "rights", "absent", "limit")
    return is_fresh and is_refusal and bool(table) and bool(re.search(rf"\b{re.escape(table)}\b", line))


@root(
    "nothing-published",
    on=NOT_PUBLISHED,
    rank=Rank.REMAINDER,
    runbook="notifications",
    distinguished_from=("broker-memory-alarm", "broker-disk-alarm", "pgbouncer-paused", "rabbitmq-down"),
)
def nothing_published(finding: Finding, view: View) -> Root:
    """The source has stopped, or leaves some behind."""
    since = finding.evidence.get("published_seconds")
    beside = _beside(view)
    # The oldest one waits since before the last one was published: the source works, and leaves some behind.
    if isinstance(since, (int, float)) and since < (finding.warning or 0):
        verdict = Verdict.PROBABLE
        title = _("Notifications are published, and {count} that are due are left behind")
        text = _("others were published {seconds} s ago: their source works")
        against = [text.format(seconds=round(since))]
    elif beside or not _takes_messages(view):
        # A publisher that is refused looks the same from here: nothing is published, and nothing waits.
        verdict, against = Verdict.PROBABLE, [*beside]
        title = _(
            "{count} notifications are due and none is published: their source has stopped, or is refused"
        )
    else:
        # Whether it would be refused decides between a source that has stopped and one that is kept from it.
        unseen = [other.title for other in view.not_ok("rabbitmq.*") if other.status is Status.UNKNOWN]
        verdict, against = Verdict.PROBABLE if unseen else Verdict.CONFIRMED, unseen[:_SHOWN]
        title = _("Nobody publishes: {count} notifications are due")
    return Root(
        title.format(count=finding.evidence.get("due")),
        (_look_for_the_source(view.site),),
        verdict,
        speaks_for=(finding.title, *_all_is_well(view)),
        speaks_against=tuple(against),
    )


# What may refuse a publisher: its database and pool, the broker, the API that it may be a part of. Queues wait behind it.
_ON_THE_WAY = (
    "postgresql.recovery.active",
    "postgresql.application.*",
    "postgresql.connections.high",
    "postgresql.locks.*",
    "pgbouncer.*",
    "rabbitmq.[!q]*",
    "api.*",
    "docker.log.trouble",
)


def _beside(view: View) -> list[str]:
    """Return what else is wrong on the publisher's way: it may be refused there."""
    return [
        wrong.title for pattern in _ON_THE_WAY for wrong in view.bad(pattern) if wrong.code != NOT_PUBLISHED
    ][:_SHOWN]


def _takes_messages(view: View) -> bool:
    alarms = (*view.ok("rabbitmq.alarm.memory"), *view.ok("rabbitmq.alarm.disk"))
    return bool(view.ok("rabbitmq.amqp.unreachable")) and len(alarms) > 1


def _all_is_well(view: View) -> Iterator[str]:
    """Yield what was looked at and rules the neighbours out."""
    if _takes_messages(view):
        yield _("RabbitMQ takes messages: it greets and has no alarm")
    if view.ok("rabbitmq.queue.no_consumer") and not view.not_ok("rabbitmq.queue.*"):
        yield _("every queue has a consumer and nothing is stuck in any")
    members = view.ok("api.member.unreachable")
    if members and not view.not_ok("api.member.unreachable"):
        yield _("every API member answers")


def _look_for_the_source(site: Site) -> Fix:
    logs = [
        on_server(
            site, member.server, f"docker logs --since 15m {operands(member.container)} 2>&1 | tail -20"
        )
        for member in site.members()
        if member.container
    ]
    text = _(
        "Find what publishes (a task of the API, a scheduler, a line of crontab), read its last words, and start "
        "exactly one of it again: what is due is published then"
    )
    return safe("source.find", text, *logs)
