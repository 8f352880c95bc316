"""Judge whether notifications that are due are published: nothing else shows that their source has stopped."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, Explanation, check
from samaops.facts.postgresql import DueNotifications, PostgresFacts
from samaops.i18n import N_, _, ngettext
from samaops.model.finding import Finding
from samaops.model.status import Status
from samaops.site.commands import PSQL, direct, sql_name


@check(
    "postgresql.notifications.late",
    title=N_("Notifications that are due are published"),
    facts=PostgresFacts,
    needs=("notifications",),
    # No document says how late one may be; the guide's worker restarts in a minute, and ten are noticed.
    warning=300,
    critical=900,
    unit="s",
    explain=Explanation(
        meaning=N_(
            "Rows of the table are due and were not published: what reads them and publishes (a scheduler, a job, "
            "the API) has stopped, or cannot reach the broker. Queues are empty then, and every service looks well."
        ),
        confirm=(
            PSQL.format(
                "SELECT count(*), min(created_at) FROM notifications "
                "WHERE sent_at IS NULL AND created_at > now() - interval '1 day'"
            ),
            "docker logs --since 15m samaconso_api_1",
        ),
        fix=N_(
            "Find what publishes them, read its last words, and start exactly one of it again; what is due is "
            "published then."
        ),
        avoid=N_(
            "Do not mark the rows as sent, and do not start a second source beside the first: all go twice."
        ),
    ),
)
def late(server: PostgresFacts, context: Context) -> Iterator[Finding]:
    found = server.notifications
    if found is None or found.due is None:
        yield context.finding(Status.SKIPPED, _(context.rule.title), detail=_why_not(found))
        return
    evidence = {
        "table": found.table,
        "due": found.due,
        "oldest_seconds": found.oldest_seconds,
        "published_seconds": found.published_seconds,
    }
    if not found.due or found.oldest_seconds is None:
        yield context.ok(_("No notification is due and unpublished"), value=0, evidence=evidence)
        return
    seconds = round(found.oldest_seconds)
    words = ngettext(
        "{count} notification is due and not published, for {seconds} s",
        "{count} notifications are due and not published, the oldest for {seconds} s",
        found.due,
    )
    title = words.format(count=found.due, seconds=seconds)
    yield context.above(seconds, title, evidence=evidence, hint=_count(found, context))


def _why_not(found: DueNotifications | None) -> str:
    if found is None:
        return _("this look was saved by a samaops that did not look at it")
    if not found.table:
        return _("[postgresql] notifications_table is empty")
    if not found.exists:
        return _("there is no table {table} with the configured columns").format(table=found.table)
    text = _("the table {table} is large and has no index that begins with its due column: it is not read")
    return text.format(table=found.table)


def _count(found: DueNotifications, context: Context) -> str:
    section = context.site.settings.postgresql
    assert section is not None
    due, published = map(sql_name, (section.notifications_due_column, section.notifications_published_column))
    table = ".".join(map(sql_name, found.table.split(".")))
    return direct(
        context.site,
        f"SELECT count(*), min({due}) FROM {table} WHERE {published} IS NULL AND {due} > now() - interval '1 day'",
    )
