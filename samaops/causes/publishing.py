"""The root before the first hop: notifications are due, all that carries them is well, and nobody publishes them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from samaops.causes.candidate import NOTHING, Candidate, View
from samaops.i18n import _
from samaops.model.cause import Fix, Verdict
from samaops.model.finding import Finding
from samaops.model.plan import Risk
from samaops.site.commands import on_server


def candidates(view: View) -> Iterator[Candidate]:
    """Yield the source that has stopped."""
    for finding in view.bad("postgresql.notifications.late"):
        since = finding.evidence.get("published_seconds")
        # The oldest one waits since before the last one was published: the source works, and leaves some behind.
        is_partial = isinstance(since, (int, float)) and since < (finding.warning or 0)
        yield Candidate(
            id="nothing-published",
            rank=9,
            runbook="notifications",
            subject=finding.subject,
            title=_title(finding, is_partial),
            triggers=(finding,),
            effects=NOTHING,
            verdict=Verdict.PROBABLE if is_partial else Verdict.CONFIRMED,
            speaks_for=(finding.title, *_all_is_well(view)),
            speaks_against=(_others(float(since)),) if is_partial and since is not None else (),
            fixes=_look_for_the_source(view),
        )


def _title(finding: Finding, is_partial: bool) -> str:
    if is_partial:
        return _("Notifications are published, and {count} that are due are left behind").format(
            count=finding.evidence.get("due")
        )
    return _("Nobody publishes: {count} notifications are due").format(count=finding.evidence.get("due"))


def _others(seconds: float) -> str:
    return _("others were published {seconds} s ago: their source works").format(seconds=round(seconds))


def _all_is_well(view: View) -> Iterator[str]:
    """Yield what was looked at and rules the neighbours out."""
    alarms = (*view.ok("rabbitmq.alarm.memory"), *view.ok("rabbitmq.alarm.disk"))
    if view.ok("rabbitmq.amqp.unreachable") and len(alarms) > 1:
        yield _("RabbitMQ takes messages: it greets and has no alarm")
    if view.ok("rabbitmq.queue.no_consumer") and not view.not_ok("rabbitmq.queue.*"):
        yield _("every queue has a consumer and nothing is stuck in any")
    members = view.ok("api.member.unreachable")
    if members and not view.not_ok("api.member.unreachable"):
        yield _("every API member answers")


def _look_for_the_source(view: View) -> tuple[Fix, ...]:
    members = view.site.settings.api.instances if view.site.settings.api else ()
    commands = tuple(
        on_server(
            view.site, one.server, f"docker logs --since 15m {shlex.quote(one.container)} 2>&1 | tail -20"
        )
        for one in members
        if one.container
    )
    text = _(
        "Find what publishes (a task of the API, a scheduler, a line of crontab), read its last words, and start "
        "exactly one of it again: what is due is published then"
    )
    return (Fix("source.find", Risk.SAFE, text, commands),)
