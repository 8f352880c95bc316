"""Judge whether notifications that are due are published: nothing else shows that their source has stopped."""

from __future__ import annotations

from collections.abc import Iterator

from samaops.checks.registry import Context, check
from samaops.facts.postgresql import DueNotifications, PostgresFacts
from samaops.i18n import _, ngettext
from samaops.model.finding import Finding
from samaops.site.commands import direct, sql_name


@check(
    "postgresql.notifications.late",
    PostgresFacts,
    needs=("notifications",),
    # No document says how late one may be; the guide's worker restarts in a minute, and ten are noticed.
    warning=300,
    critical=900,
    unit="s",
)
def late(server: PostgresFacts, context: Context) -> Iterator[Finding]:
    notifications = server.notifications
    if notifications is None or notifications.due is None:
        yield context.skipped(_reason(notifications))
        return
    due, oldest = notifications.due, notifications.oldest_seconds
    evidence = {
        "table": notifications.table,
        "due": due,
        "oldest_seconds": oldest,
        "published_seconds": notifications.published_seconds,
    }
    if due and oldest is None:
        yield context.not_given("oldest_seconds")
        return
    if not due or oldest is None:
        yield context.ok(_("No notification is due and unpublished"), value=0, evidence=evidence)
        return
    seconds = round(oldest)
    if context.warning is not None:
        evidence["age_seconds"] = round(oldest - context.warning, 1)  # since when it is late
    title = ngettext(
        "{count} notification is due and not published, for {seconds} s",
        "{count} notifications are due and not published, the oldest for {seconds} s",
        due,
    ).format(count=due, seconds=seconds)
    yield context.above(seconds, title, evidence=evidence, hint=_count(notifications, context))


def _reason(notifications: DueNotifications | None) -> str:
    if notifications is None:
        return _("this look was saved by a samaops that did not look at it")
    if not notifications.table:
        return _("[postgresql] notifications_table is empty")
    if not notifications.exists:
        text = _("there is no table {table} with the configured columns")
    else:
        text = _(
            "the table {table} is large and has no index that begins with its due column: it is not read"
        )
    return text.format(table=notifications.table)


def _count(notifications: DueNotifications, context: Context) -> str:
    section = context.site.settings.postgresql
    assert section is not None
    due, published = map(sql_name, (section.notifications_due_column, section.notifications_published_column))
    table = ".".join(map(sql_name, notifications.table.split(".")))
    return direct(
        context.site,
        f"SELECT count(*), min({due}) FROM {table} WHERE {published} IS NULL AND {due} > now() - interval '1 day'",
    )
